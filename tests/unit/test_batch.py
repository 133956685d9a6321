"""Commands gathered into pipelines: what goes out together, in which order, and who learns of a failure."""

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest

from mxcheck_service.cache import batch
from mxcheck_service.cache.batch import MOST_TOGETHER, Batches
from mxcheck_service.cache.exchange import Command
from mxcheck_service.ports import CacheError
from tests.unit.fakes import soon


class FakeServer:
    """Answers each command with its own last word; `hold` keeps every pipeline waiting, `errors` are raised in turn."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.pipelines: list[list[str]] = []
        self.hold: asyncio.Event | None = None
        self.running = 0
        self._errors = list(errors)

    async def execute(self, commands: Sequence[Command]) -> Sequence[Any]:
        assert not self.running, "two pipelines at a time"
        self.running += 1
        try:
            self.pipelines.append([str(command[-1]) for command in commands])
            error = self._errors.pop(0) if self._errors else None
            await asyncio.sleep(0)
            if self.hold:
                await self.hold.wait()
            if error is not None:
                raise error
            return [f"-{word}" for word in self.pipelines[-1]]
        finally:
            self.running -= 1

    @property
    def sizes(self) -> list[int]:
        return [len(pipeline) for pipeline in self.pipelines]


def get(*names: str) -> list[Command]:
    return [("GET", name) for name in names]


async def ask(batches: Batches, *names: str) -> list[Any]:
    return list(await batches.add(get(*names)))


async def test_everything_asked_within_one_turn_of_the_loop_goes_out_together() -> None:
    server = FakeServer()
    batches = Batches(server.execute)
    replies = await asyncio.gather(*(ask(batches, str(number)) for number in range(20)))
    assert server.pipelines == [[str(number) for number in range(20)]]
    assert replies == [[f"-{number}"] for number in range(20)]


async def test_each_request_has_the_replies_to_its_own_commands() -> None:
    server = FakeServer()
    batches = Batches(server.execute)
    replies = await asyncio.gather(ask(batches, "a", "b"), ask(batches), ask(batches, "c"))
    assert list(replies) == [["-a", "-b"], [], ["-c"]]
    assert server.pipelines == [["a", "b", "c"]]


async def test_while_a_pipeline_is_under_way_the_next_one_gathers() -> None:
    server = FakeServer()
    server.hold = asyncio.Event()
    batches = Batches(server.execute)
    asked = [asyncio.create_task(ask(batches, "first"))]
    await soon()
    for name in ("a", "b", "c"):
        asked.append(asyncio.create_task(ask(batches, name)))
        await soon()
    assert server.pipelines == [["first"]]
    assert len(batches) == 3
    server.hold.set()
    assert await asyncio.gather(*asked) == [["-first"], ["-a"], ["-b"], ["-c"]]
    assert server.pipelines == [["first"], ["a", "b", "c"]]


async def test_what_is_asked_after_all_is_answered_begins_anew() -> None:
    server = FakeServer()
    batches = Batches(server.execute)
    assert [await ask(batches, name) for name in "abc"] == [["-a"], ["-b"], ["-c"]]
    assert server.pipelines == [["a"], ["b"], ["c"]]


async def test_a_pipeline_is_bounded_and_the_order_goes_on_in_the_next() -> None:
    server = FakeServer()
    batches = Batches(server.execute)
    names = [str(number) for number in range(2 * MOST_TOGETHER + 1)]
    await asyncio.gather(*(ask(batches, name) for name in names))
    assert server.sizes == [MOST_TOGETHER, MOST_TOGETHER, 1]
    assert list(chain(*server.pipelines)) == names


async def test_one_more_than_may_wait_is_refused_and_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_WAITING", 3)
    server = FakeServer()
    server.hold = asyncio.Event()
    batches = Batches(server.execute)
    asked = [asyncio.create_task(ask(batches, "under way"))]
    await soon()
    asked += [asyncio.create_task(ask(batches, name)) for name in "abc"]
    await soon()
    with pytest.raises(CacheError, match="3 requests are waiting"):
        batches.add(get("d"))
    server.hold.set()
    assert await asyncio.gather(*asked) == [["-under way"], ["-a"], ["-b"], ["-c"]]
    assert await ask(batches, "e") == ["-e"]


async def test_a_lost_server_fails_what_waits_too_and_the_next_request_is_tried_again() -> None:
    server = FakeServer(CacheError("lost"))
    server.hold = asyncio.Event()
    batches = Batches(server.execute)
    asked = [asyncio.create_task(ask(batches, "first"))]
    await soon()
    asked += [asyncio.create_task(ask(batches, name)) for name in "ab"]
    await soon()
    server.hold.set()
    errors = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(error) for error in errors] == ["lost"] * 3
    assert all(isinstance(error, CacheError) for error in errors)
    assert await ask(batches, "again") == ["-again"]
    assert server.pipelines == [["first"], ["again"]]


async def test_what_is_asked_in_answer_to_a_failure_is_sent() -> None:
    """A caller that tries again at once is not lost between the end of one task and the beginning of the next."""
    server = FakeServer(CacheError("lost"))
    batches = Batches(server.execute)

    async def ask_twice() -> list[Any]:
        try:
            return await ask(batches, "once")
        except CacheError:
            return await ask(batches, "twice")

    assert await asyncio.gather(*(ask_twice() for _ in range(3))) == [["-twice"]] * 3
    assert server.pipelines == [["once"] * 3, ["twice"] * 3]


async def test_a_defect_reaches_the_callers_and_nothing_hangs() -> None:
    server = FakeServer(ValueError("defect"))
    batches = Batches(server.execute)
    errors = await asyncio.gather(ask(batches, "a"), ask(batches, "b"), return_exceptions=True)
    assert [repr(error) for error in errors] == ["ValueError('defect')"] * 2
    assert await ask(batches, "c") == ["-c"]


async def test_error_replies_belong_to_their_own_command() -> None:
    refusal = RuntimeError("wrong type")

    async def execute(commands: Sequence[Command]) -> Sequence[Any]:
        return [refusal if command[-1] == "bad" else "fine" for command in commands]

    batches = Batches(execute)
    replies = await asyncio.gather(ask(batches, "a", "bad"), ask(batches, "b"), ask(batches, "bad"))
    assert list(replies) == [["fine", refusal], ["fine"], [refusal]]


@pytest.mark.parametrize("cancelled", ["under way", "waiting"])
async def test_a_caller_that_is_cancelled_leaves_the_others_their_own_replies(cancelled: str) -> None:
    server = FakeServer()
    server.hold = asyncio.Event()
    batches = Batches(server.execute)
    asked = {}
    for name in ("under way", "waiting"):
        asked[name] = asyncio.create_task(ask(batches, name))
        asked[f"beside {name}"] = asyncio.create_task(ask(batches, f"beside {name}"))
        await soon()
    asked[cancelled].cancel()
    await soon()
    server.hold.set()
    replies = dict(zip(asked, await asyncio.gather(*asked.values(), return_exceptions=True), strict=True))
    assert isinstance(replies.pop(cancelled), asyncio.CancelledError)
    assert replies == {name: [f"-{name}"] for name in replies}
    assert await ask(batches, "later") == ["-later"]


async def test_cancelled_callers_of_a_failing_pipeline_do_no_harm() -> None:
    server = FakeServer(CacheError("lost"))
    server.hold = asyncio.Event()
    batches = Batches(server.execute)
    asked = [asyncio.create_task(ask(batches, name)) for name in "ab"]
    await soon()
    asked[0].cancel()
    await soon()
    server.hold.set()
    errors = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(error) for error in errors] == [asyncio.CancelledError, CacheError]


async def test_drain_waits_for_everything_given_so_far() -> None:
    server = FakeServer()
    server.hold = asyncio.Event()
    batches = Batches(server.execute)
    first = batches.add(get("first"))
    await soon()
    later = batches.add(get("later"))
    drain = asyncio.create_task(batches.drain())
    await soon()
    assert not drain.done()
    server.hold.set()
    await drain
    assert (first.result(), later.result()) == (["-first"], ["-later"])


async def test_drain_ends_after_a_failure_too_and_at_once_when_there_is_nothing() -> None:
    server = FakeServer(CacheError("lost"))
    batches = Batches(server.execute)
    await batches.drain()
    failing = batches.add(get("a"))
    await batches.drain()
    assert isinstance(failing.exception(), CacheError)
    await batches.drain()
    assert server.sizes == [1]


async def test_nobody_is_left_waiting_when_the_sending_itself_is_cancelled() -> None:
    """As the end of a loop does with every task."""
    server = FakeServer()
    server.hold = asyncio.Event()
    before = asyncio.all_tasks()
    batches = Batches(server.execute)
    under_way = batches.add(get("under way"))
    (sending,) = asyncio.all_tasks() - before
    await soon()
    waiting = batches.add(get("waiting"))
    sending.cancel()
    await soon()
    for asked in (under_way, waiting):
        with pytest.raises(CacheError):
            await asked
    assert len(batches) == 0
    server.hold = None
    assert await ask(batches, "again") == ["-again"]
