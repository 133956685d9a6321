"""Background work and single flights: who waits, who is cancelled, who takes over."""

import asyncio

import pytest

from mxcheck_service.background import Background, SingleFlight
from tests.unit.fakes import soon


class Work:
    """Work that counts its runs and goes on when told to."""

    def __init__(self, *results: str | Exception) -> None:
        self._results = list(results)
        self.runs = 0
        self.cancelled = 0
        self.go = asyncio.Event()

    async def __call__(self) -> str:
        self.runs += 1
        result = self._results[min(self.runs, len(self._results)) - 1]
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(result, Exception):
            raise result
        return result


async def test_spawned_task_is_kept_until_it_ends() -> None:
    background = Background()
    work = Work("done")
    task = background.spawn(work())
    assert len(background) == 1
    work.go.set()
    assert await task == "done"
    await soon()
    assert len(background) == 0


async def test_drain_waits_for_what_ends_in_time() -> None:
    background = Background()
    work = Work("done")
    tasks = [background.spawn(work()) for _ in range(3)]
    drain = asyncio.create_task(background.drain(60))
    await soon()
    assert not drain.done()
    work.go.set()
    assert await drain == 0
    assert [task.result() for task in tasks] == ["done"] * 3


async def test_drain_cancels_what_does_not_end_and_tells_how_many() -> None:
    background = Background()
    work, quick = Work("never"), Work("done")
    quick.go.set()
    tasks = [background.spawn(work()) for _ in range(3)]
    background.spawn(quick())
    assert await background.drain(0.01) == 3
    assert all(task.cancelled() for task in tasks)
    assert work.cancelled == 3


async def test_drain_of_nothing_is_over_at_once() -> None:
    assert await Background().drain(60) == 0


async def test_drain_does_not_raise_what_a_task_raised() -> None:
    background = Background()
    work = Work(ValueError("its own"))
    work.go.set()
    task = background.spawn(work())
    assert await background.drain(60) == 0
    with pytest.raises(ValueError, match="its own"):
        task.result()


async def test_work_spawned_while_draining_has_its_time_too() -> None:
    """A probe that ends may leave its QUIT behind."""
    background = Background()
    first, second = Work("first"), Work("second")

    async def parent() -> str:
        result = await first()
        background.spawn(second())
        return result

    background.spawn(parent())
    drain = asyncio.create_task(background.drain(60))
    await soon()
    first.go.set()
    await soon()
    second.go.set()
    assert await drain == 0
    assert second.cancelled == 0


async def test_what_lingers_is_cancelled_at_once_and_does_not_count() -> None:
    background = Background()
    work, lookup = Work("never"), Work("done")
    lingering = background.linger(work())
    assert lingering is not None
    background.spawn(lookup())
    await soon()
    assert (len(background), background.lingering) == (1, 1)
    drain = asyncio.create_task(background.drain(60))
    await soon()
    assert lingering.cancelled()
    assert not drain.done()
    lookup.go.set()
    assert await drain == 0
    assert (work.cancelled, background.lingering) == (1, 0)


async def test_what_begins_to_linger_while_draining_is_cancelled_too() -> None:
    background = Background()
    lookup, work = Work("done"), Work("never")

    async def parent() -> None:
        await lookup()
        background.linger(work())

    background.spawn(parent())
    drain = asyncio.create_task(background.drain(60))
    await soon()
    lookup.go.set()
    assert await drain == 0
    assert background.lingering == 0
    assert work.cancelled == work.runs


async def test_what_could_be_left_undone_is_when_there_is_too_much_of_it() -> None:
    background = Background(max_lingering=2)
    first, other = Work("done"), Work("never")
    assert background.spare(first())
    assert background.spare(other())
    assert background.spare(other()) is None
    await soon()
    assert (len(background), other.runs) == (2, 1)
    first.go.set()
    await soon()
    assert background.spare(other())
    assert await background.drain(0) == 2


async def test_drain_waits_for_what_could_be_left_undone() -> None:
    background, work = Background(), Work("done")
    background.spare(work())
    drain = asyncio.create_task(background.drain(60))
    await soon()
    assert not drain.done()
    work.go.set()
    assert await drain == 0
    assert work.cancelled == 0


async def test_full_is_told_of_what_must_go_on_alone() -> None:
    background, work = Background(most=2), Work("done")
    background.spare(work())
    background.linger(work())
    background.spawn(work())
    assert not background.full
    background.spawn(work())
    assert background.full
    # It tells, and refuses nothing: a lookup that was begun goes on.
    background.spawn(work())
    work.go.set()
    await background.drain(60)
    assert not background.full


async def test_no_more_linger_than_may_and_an_end_makes_room() -> None:
    background = Background(max_lingering=2)
    first, other = Work("done"), Work("never")
    assert background.linger(first())
    assert background.linger(other())
    assert background.linger(other()) is None
    await soon()
    assert (background.lingering, other.runs) == (2, 1)
    first.go.set()
    await soon()
    assert background.linger(other())
    await background.drain(0)


async def test_one_run_for_many_callers() -> None:
    flight, work = SingleFlight[str](), Work("result")
    tasks = [asyncio.create_task(flight.run("key", work)) for _ in range(100)]
    await soon()
    assert work.runs == 1
    assert "key" in flight
    work.go.set()
    assert [await task for task in tasks] == ["result"] * 100
    assert "key" not in flight


async def test_keys_do_not_wait_for_each_other() -> None:
    flight, one, two = SingleFlight[str](), Work("one"), Work("two")
    tasks = [asyncio.create_task(flight.run("1", one)), asyncio.create_task(flight.run("2", two))]
    await soon()
    two.go.set()
    assert await tasks[1] == "two"
    assert not tasks[0].done()
    one.go.set()
    assert await tasks[0] == "one"


async def test_call_after_the_flight_runs_anew() -> None:
    flight, work = SingleFlight[str](), Work("first", "second")
    work.go.set()
    assert [await flight.run("key", work) for _ in range(2)] == ["first", "second"]


async def test_error_reaches_all_callers_and_is_not_kept() -> None:
    flight, work = SingleFlight[str](), Work(ValueError("broken"), "mended")
    tasks = [asyncio.create_task(flight.run("key", work)) for _ in range(5)]
    await soon()
    work.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["broken"] * 5
    assert work.runs == 1
    assert await flight.run("key", work) == "mended"


async def test_error_with_nobody_else_waiting_is_raised_once_and_leaves_no_complaint() -> None:
    """A future whose error nobody fetched would complain in the log, and fail this test as a warning."""
    flight, work = SingleFlight[str](), Work(ValueError("broken"))
    work.go.set()
    with pytest.raises(ValueError, match="broken"):
        await flight.run("key", work)


async def test_cancelled_first_caller_is_replaced_by_one_of_the_others() -> None:
    flight, work = SingleFlight[str](), Work("never", "result")
    leader = asyncio.create_task(flight.run("key", work))
    await soon()
    others = [asyncio.create_task(flight.run("key", work)) for _ in range(5)]
    await soon()
    leader.cancel()
    await soon()
    assert leader.cancelled()
    assert (work.runs, work.cancelled) == (2, 1)
    work.go.set()
    assert [await task for task in others] == ["result"] * 5
    assert work.runs == 2


async def test_cancelled_waiting_caller_disturbs_nobody() -> None:
    flight, work = SingleFlight[str](), Work("result")
    tasks = [asyncio.create_task(flight.run("key", work)) for _ in range(3)]
    await soon()
    tasks[1].cancel()
    await soon()
    assert tasks[1].cancelled()
    work.go.set()
    assert [await tasks[0], await tasks[2]] == ["result"] * 2
    assert (work.runs, work.cancelled) == (1, 0)


async def test_last_caller_that_is_cancelled_ends_the_flight() -> None:
    flight, work = SingleFlight[str](), Work("result")
    task = asyncio.create_task(flight.run("key", work))
    await soon()
    task.cancel()
    await soon()
    assert task.cancelled()
    assert "key" not in flight


@pytest.mark.parametrize("order", [1, -1], ids=["first-caller-first", "first-caller-last"])
async def test_callers_cancelled_together_all_end_and_none_takes_over(order: int) -> None:
    """As at shutdown: a cancellation of one's own must not be taken for the first caller's."""
    flight, work = SingleFlight[str](), Work("result")
    tasks = [asyncio.create_task(flight.run("key", work)) for _ in range(5)]
    await soon()
    for task in tasks[::order]:
        task.cancel()
    await soon()
    work.go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert work.runs == 1
    assert all(task.cancelled() for task in tasks)


async def test_drain_ends_even_when_many_tasks_wait_for_one_flight_that_never_ends() -> None:
    background, flight = Background(), SingleFlight[str]()
    work = Work("never")
    for _ in range(5):
        background.spawn(flight.run("key", work))
    drain = asyncio.create_task(background.drain(0.01))
    done, _ = await asyncio.wait([drain], timeout=0.5)
    work.go.set()
    assert await drain == 5
    assert done == {drain}
