"""What is counted of a check as a whole: verdicts, origins, lookups that outlive it."""

import asyncio

import pytest

from mxcheck_service.background import Background
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.checker import Adapters, Checker, Message
from mxcheck_service.core.candidates import Envelope
from mxcheck_service.core.maplist import Maps
from mxcheck_service.core.settings import RECOMMENDED, MxCheckSettings
from mxcheck_service.counts import Counts
from tests.unit.fakes import (
    FakeClock,
    FakeDialer,
    FakeResolver,
    a,
    mx,
    soon,
)
from tests.unit.test_counts import Tally

V4 = "11.0.0.1"
SETTINGS = MxCheckSettings()
ONE = Envelope("a@one.example")


class Checks:
    """A checker that counts."""

    def __init__(self, resolver: FakeResolver | None = None) -> None:
        self.clock, self.background = FakeClock(), Background()
        self.resolver = resolver or FakeResolver({"one.example": mx("mx.example")}, {"mx.example": a(V4)})
        self.verdicts, self.durations, self.outlived, self.crashes = Tally(), Tally(), Tally(), Tally()
        counts = Counts(
            verdicts=self.verdicts, domain_duration=self.durations, outlived=self.outlived, crashes=self.crashes
        )
        memory = MemoryCache(100, self.clock)
        world = Adapters(memory, self.resolver, FakeDialer(), self.clock, self.background, counts)
        self.checker = Checker(SETTINGS, RECOMMENDED, Maps(), world, deadline=5, max_addresses=10, remember=100)

    async def check(self, envelope: Envelope = ONE, *, deadline: float | None = None, explain: bool = False) -> None:
        await self.checker.check(Message(envelope, deadline=deadline, explain=explain))


class TestVerdicts:
    async def test_by_source_and_origin(self) -> None:
        bench = Checks()
        await bench.check()
        assert bench.verdicts.counted == {("from", "gd", "fresh"): 1}
        await bench.check()  # this one read all entries and is remembered
        assert bench.verdicts.counted == {("from", "gd", "fresh"): 1, ("from", "gd", "cache"): 1}
        bench.verdicts.counted.clear()
        for _ in range(3):
            await bench.check()
        await bench.check(Envelope(None, ["b@one.example"]))
        await bench.check(explain=True)  # looks everything up, whatever is remembered
        assert bench.verdicts.counted == {
            ("from", "gd", "remembered"): 3,
            ("mime_from", "gd", "remembered"): 1,
            ("from", "gd", "cache"): 1,
        }
        assert [series for series, _ in bench.durations.seconds] == [("fresh",), ("cache",), ("cache",)]

    async def test_each_domain_of_a_message(self) -> None:
        bench = Checks()
        await bench.check(Envelope("a@one.example", ["b@none.example"], ["c@gone.example"]))
        assert bench.verdicts.counted == {
            ("from", "gd", "fresh"): 1,
            ("mime_from", "no", "fresh"): 1,
            ("reply_to", "no", "fresh"): 1,
        }

    async def test_the_duration_is_that_of_the_lookup(self) -> None:
        bench = Checks()
        bench.resolver.hold = asyncio.Event()
        checking = asyncio.create_task(bench.check())
        await soon()
        bench.clock.now += 2.5
        bench.resolver.hold.set()
        await checking
        assert bench.durations.seconds == [(("fresh",), 2.5)]

    @pytest.mark.parametrize("finished", [True, False])
    async def test_a_lookup_that_outlives_its_request(self, finished: bool) -> None:
        bench = Checks()
        bench.resolver.hold = asyncio.Event()
        await bench.check(deadline=0.001)
        assert bench.verdicts.counted == {("from", "inflight", "partial"): 1}
        assert not bench.outlived.counted
        if finished:
            bench.resolver.hold.set()
        await bench.background.drain(60 if finished else 0)
        assert bench.outlived.counted == {("finished" if finished else "cancelled",): 1}
        assert len(bench.durations.seconds) == finished

    async def test_a_crash(self, caplog: pytest.LogCaptureFixture) -> None:
        bench = Checks(FakeResolver({"one.example": RuntimeError("a defect")}))
        await bench.check()
        assert bench.crashes.counted == {(): 1}
        assert bench.verdicts.counted == {("from", "unavailable", "fresh"): 1}
        assert "crashed" in caplog.text
