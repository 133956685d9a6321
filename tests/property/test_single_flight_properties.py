"""Single flights under any order of calls, results, errors and cancellations."""

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from mxcheck_service.background import SingleFlight

KEYS = range(2)

# What happens, one after the other: calls for a key, cancellations of calls, the end of a key's work, turns of the
# loop.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from(KEYS)),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("cancel from"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["finish", "fail"]), st.sampled_from(KEYS)),
        st.tuples(st.just("turn"), st.integers(1, 3)),
    ),
    max_size=30,
)


class Harness:
    """Runs calls for keys; counts the work under way for each key."""

    def __init__(self) -> None:
        self.flight = SingleFlight[int]()
        self.running: Counter[int] = Counter()
        self.most = 0
        self.runs = 0
        self.waiting: dict[int, asyncio.Future[int]] = {}
        self.calls: list[asyncio.Task[int]] = []
        self.cancelled: set[asyncio.Task[int]] = set()

    def call(self, key: int) -> None:
        self.calls.append(asyncio.create_task(self.flight.run(str(key), lambda: self._work(key))))

    def cancel(self, index: int) -> None:
        if index < len(self.calls) and not self.calls[index].done():
            self.calls[index].cancel()
            self.cancelled.add(self.calls[index])

    def end(self, key: int, *, failing: bool) -> None:
        future = self.waiting.get(key)
        if future and not future.done():
            if failing:
                future.set_exception(ValueError(str(key)))
            else:
                future.set_result(key)

    async def _work(self, key: int) -> int:
        self.runs += 1
        self.running[key] += 1
        self.most = max(self.most, self.running[key])
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.waiting[key] = future
        try:
            return await future
        finally:
            self.running[key] -= 1

    async def play(self, story: list[tuple[str, int]]) -> None:
        for action, number in story:
            match action:
                case "call":
                    self.call(number)
                case "cancel":
                    self.cancel(number)
                case "cancel from":
                    for index in range(number, len(self.calls)):
                        self.cancel(index)
                case "turn":
                    for _ in range(number):
                        await asyncio.sleep(0)
                case _:
                    self.end(number, failing=action == "fail")
        # Let everything come to its end: whoever takes over from a cancelled call has to be finished in turn.
        for _ in range(len(self.calls) + 1):
            for _ in range(5):
                await asyncio.sleep(0)
            for key in self.waiting:
                self.end(key, failing=False)
        for _ in range(5):
            await asyncio.sleep(0)


@settings(max_examples=500)
@given(steps)
def test_one_run_at_a_time_and_everybody_gets_an_answer(story: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        harness = Harness()
        await harness.play(story)
        assert harness.most <= 1
        assert harness.runs <= len(harness.calls)
        for call in harness.calls:
            assert call.done()
            # Nobody is cancelled but by a cancellation of its own, and nobody survives one that came in time.
            assert call.cancelled() == (call in harness.cancelled)
            if not call.cancelled():
                error = call.exception()
                assert error is None or isinstance(error, ValueError)
        assert not any(str(key) in harness.flight for key in KEYS)

    asyncio.run(scenario())
