"""The run: bounded, in order, stopped without losing what is done."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from mxcheck_service.bulk import run as bulk_run
from mxcheck_service.bulk.lines import InputError, Line
from mxcheck_service.bulk.rows import Row, failed
from mxcheck_service.bulk.run import Run
from mxcheck_service.bulk.tally import Tally
from tests.unit.fakes import soon


class Numbers:
    """Writes a row as its line number."""

    head = b""

    def encode(self, row: Row) -> bytes:
        return b"%d " % row.line

    def decode(self, data: bytes) -> Row:
        raise NotImplementedError


class World:
    def __init__(self, concurrency: int = 3) -> None:
        self.hold: dict[int, asyncio.Event] = {}
        self.under_way: set[int] = set()
        self.most = 0
        self.read = 0
        self.out = b""
        self.tally = Tally()
        self.stop = asyncio.Event()
        self.run = Run(self._check, self._write, Numbers(), self.tally, concurrency=concurrency)

    async def lines(self, count: int, error: Exception | None = None) -> AsyncGenerator[Line, None]:
        for number in range(1, count + 1):
            self.read = number
            yield Line(number, f"{number}.test", number)
        if error:
            raise error

    async def _check(self, line: Line) -> Row:
        self.under_way.add(line.number)
        self.most = max(self.most, len(self.under_way))
        try:
            await asyncio.sleep(0)
            if event := self.hold.get(line.number):
                await event.wait()
        finally:
            self.under_way.remove(line.number)
        return failed(line, "-")

    async def _write(self, data: bytes) -> None:
        self.out += data


def numbers(first: int, last: int) -> bytes:
    return b"".join(b"%d " % number for number in range(first, last + 1))


async def test_rows_come_in_the_order_of_lines_and_checks_are_bounded() -> None:
    world = World()
    world.hold[2] = asyncio.Event()
    task = asyncio.create_task(world.run.run(world.lines(30), world.stop))
    for _ in range(10):
        await soon()
    assert world.under_way == {2}
    assert world.out == b"1 ", "what is there is written; what comes later waits for its place"
    world.hold[2].set()
    assert await task
    assert world.out == numbers(1, 30)
    assert world.most == 3
    assert world.tally.rows == world.tally.octets == 30


async def test_a_line_that_takes_long_does_not_let_rows_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_run, "_WINDOW", 5)
    world = World()
    world.hold[1] = asyncio.Event()
    task = asyncio.create_task(world.run.run(world.lines(1000), world.stop))
    for _ in range(20):
        await soon()
    assert world.under_way == {1}
    assert world.read <= 3 * 5 + 1
    world.hold[1].set()
    assert await task
    assert world.out == numbers(1, 1000)


async def test_when_stopped_what_is_under_way_ends_and_is_written() -> None:
    world = World()
    for number in (4, 5, 6):
        world.hold[number] = asyncio.Event()
    task = asyncio.create_task(world.run.run(world.lines(1000), world.stop))
    await soon()
    assert world.under_way == {4, 5, 6}
    world.stop.set()
    await soon()
    for event in world.hold.values():
        event.set()
    assert not await task
    assert world.out == numbers(1, 6)


async def test_what_does_not_end_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_run, "GRACE", 0.0)
    world = World()
    world.hold[4] = asyncio.Event()
    task = asyncio.create_task(world.run.run(world.lines(1000), world.stop))
    for _ in range(10):
        await soon()
    world.stop.set()
    assert not await task
    assert world.out == numbers(1, 3)
    assert not world.under_way


async def test_an_input_that_fails_ends_the_run_after_the_rows_before_it() -> None:
    world = World()
    with pytest.raises(InputError, match="line 12"):
        await world.run.run(world.lines(11, InputError("line 12: is odd")), world.stop)
    assert world.out == numbers(1, 11)


async def test_an_output_that_fails_ends_the_run() -> None:
    world = World()

    async def full(data: bytes) -> None:
        raise OSError("no space left")

    world.run._write = full
    with pytest.raises(OSError, match="no space left"):
        await asyncio.wait_for(world.run.run(world.lines(100_000), world.stop), 5)
    assert world.read < 1000
    assert not world.under_way
