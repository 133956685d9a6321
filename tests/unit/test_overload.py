"""How late the loop is, told from what is waiting for it; and who is told of refusals."""

import asyncio
import logging
import time
from collections.abc import Callable

import pytest

from mxcheck_service.web.overload import Lag, Refusal
from tests.unit.fakes import soon


def spin(seconds: float) -> None:
    """Keep the processor, and the loop, busy for so long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_a_loop_that_stands_still_is_late() -> None:
    lag, told = Lag(), list[tuple[float, float]]()
    watching = asyncio.create_task(lag.watch(lambda *each: told.append(each)))
    await soon()
    spin(0.1)
    assert lag.at(time.monotonic()) >= 0.08
    assert lag.worked(time.monotonic()) >= 0.07  # the part of it that was due
    await until(lambda: bool(told))
    late, busy = told[0]
    assert late >= 0.08
    assert (busy, lag.busy) == (1, True)
    # What has come meanwhile is begun now.
    assert lag.at(time.monotonic()) >= 0.08
    assert lag.worked(time.monotonic()) >= 0.08
    watching.cancel()


async def test_that_is_forgotten_when_it_is_in_time_again() -> None:
    lag, told = Lag(), list[tuple[float, float]]()
    watching = asyncio.create_task(lag.watch(lambda *each: told.append(each)))
    await soon()
    spin(0.1)
    await until(lambda: bool(told))
    assert lag.at(0) >= 0.08
    await until(lambda: lag.at(0) == 0)
    watching.cancel()


async def test_who_has_lost_the_processor_to_others_is_late_but_not_by_its_own_doing() -> None:
    lag, told = Lag(), list[tuple[float, float]]()
    watching = asyncio.create_task(lag.watch(lambda *each: told.append(each)))
    await soon()
    time.sleep(0.1)  # noqa: ASYNC251 - the loop is to stand still without using the processor
    await until(lambda: bool(told))
    assert lag.at(time.monotonic()) >= 0.08
    assert lag.worked(time.monotonic()) < 0.08
    assert told[0][0] < 0.08
    watching.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the loop has no event to tell of it
            await asyncio.sleep(0)


def test_nothing_is_late_before_it_is_looked_at() -> None:
    assert Lag().at(time.monotonic()) == 0


def test_who_is_late_by_a_blink_is_not_late() -> None:
    lag = Lag()
    lag._due = 10.0
    assert lag.at(10.049) == 0
    assert lag.at(10.06) == pytest.approx(0.06)


def test_refusals_are_told_together(caplog: pytest.LogCaptureFixture) -> None:
    refusal = Refusal(75)
    with caplog.at_level(logging.WARNING):
        for now in (100.0, 101.0, 109.9, 110.1, 111.0):
            if refusal.is_to_be_told(now):
                refusal.tell(now, 7, 0.25)
    told = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[1].split()[0] for line in told] == ["1", "3"]
    assert "lookups under way: 7, the loop is late by: 0.250 s" in told[0]
