"""What is counted on the way of a check, and as what."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.model import Family, MxHost, Outcome, Verdict
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, MxCheckSettings
from mxcheck_service.counts import CountedProber, CountedResolver, Counts, Reads, Tick, Timer
from mxcheck_service.names import Names
from mxcheck_service.ports import CacheBackend, DnsAnswer, DnsFailure, Probed
from mxcheck_service.probing import Probing
from mxcheck_service.trace import Trace
from tests.unit.fakes import (
    FAULT,
    GOOD,
    NODATA,
    NXDOMAIN,
    REFUSED,
    TURNED_AWAY,
    FailingCache,
    FakeClock,
    FakeProber,
    FakeResolver,
    FakeSettling,
    a,
    judged,
    mx,
    soon,
)

V4, V6 = "11.0.0.1", "2a00::1"
SETTINGS = MxCheckSettings()
SHARED = 3.0


class Tally:
    """A counter and a histogram that tells what it has: how often each series, and the seconds it was given."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, ...]] = Counter()
        self.seconds: list[tuple[tuple[str, ...], float]] = []

    def tick(self, *values: object) -> Tick:
        series = tuple(map(str, values))

        def tick() -> None:
            self.counted[series] += 1

        return tick

    def timer(self, *values: object) -> Timer:
        series = tuple(map(str, values))
        return lambda seconds: self.seconds.append((series, seconds))


@pytest.fixture
def tally() -> Tally:
    return Tally()


class TestDns:
    @pytest.mark.parametrize(
        ("answer", "result"),
        [
            (mx("mx.example"), "found"),
            (NXDOMAIN, "nxdomain"),
            (NODATA, "nodata"),
            (DnsFailure("SERVFAIL"), "servfail"),
            (DnsFailure("TIMEOUT"), "timeout"),
            (DnsFailure("REFUSED"), "other"),
            (DnsFailure("CONNREFUSED"), "other"),
        ],
    )
    async def test_each_answer_by_type_and_result(self, answer: DnsAnswer[MxHost], result: str, tally: Tally) -> None:
        resolver = CountedResolver(FakeResolver({"one.example": answer}), Counts(dns=tally))
        assert await resolver.mx("one.example") == answer
        assert tally.counted == {("MX", result): 1}

    async def test_addresses_by_their_record_type(self, tally: Tally) -> None:
        resolver = CountedResolver(FakeResolver(a={"one.example": a(V4)}), Counts(dns=tally))
        await resolver.addresses("one.example", Family.V4)
        await resolver.addresses("one.example", Family.V6)
        assert tally.counted == {("A", "found"): 1, ("AAAA", "nxdomain"): 1}

    async def test_failures_in_a_row_end_with_any_answer(self) -> None:
        failing = FakeResolver()
        failing.answers("bad.example", DnsFailure("SERVFAIL"))
        resolver = CountedResolver(failing, Counts())
        for expected in (1, 2):
            await resolver.mx("bad.example")
            assert resolver.failures == expected
        await resolver.mx("none.example")
        assert resolver.failures == 0


class TestProbes:
    @pytest.mark.parametrize(
        ("result", "verdict"), [(GOOD, "gd"), (REFUSED, "rf"), (TURNED_AWAY, "err"), (FAULT, "unavailable")]
    )
    @pytest.mark.parametrize(("ip", "family"), [(V4, "v4"), (V6, "v6")])
    async def test_each_by_family_and_verdict_with_its_duration(
        self, ip: str, family: str, result: object, verdict: str, tally: Tally
    ) -> None:
        clock, durations = FakeClock(), Tally()
        inner = FakeProber({ip: result})  # type: ignore[dict-item]
        inner.during = lambda _: clock.sleep(1.5)
        prober = CountedProber(inner, clock, Counts(probes=tally, probe_duration=durations))
        assert await prober.probe(ip) is result
        assert tally.counted == {(family, verdict): 1}
        assert durations.seconds == [((family,), 1.5)]

    @pytest.mark.parametrize(
        ("outcome", "lines", "about"),
        [
            (Outcome(Verdict.ERROR, "554"), (b"554-mx", b"554 blocked using bl.example"), "listed"),
            (Outcome(Verdict.ERROR, "421"), (b"421 no PTR",), "reverse_dns"),
            (Outcome(Verdict.ERROR, "421"), (b"421 busy",), None),
            (Outcome(Verdict.GOOD), (b"220 spamhaus.example",), None),
        ],
    )
    @pytest.mark.parametrize("late", [False, True])
    async def test_what_a_peer_has_against_us(
        self, outcome: Outcome, lines: tuple[bytes, ...], about: str | None, late: bool, tally: Tally
    ) -> None:
        end = Probed(outcome, lines)
        inner = FakeProber({V4: Probed(Outcome(Verdict.GOOD), settling=FakeSettling(end)) if late else end})
        ends = Tally()
        probed = await CountedProber(inner, FakeClock(), Counts(complaints=tally, late_greetings=ends)).probe(V4)
        assert isinstance(probed, Probed)
        if probed.settling:
            assert not tally.counted
            assert not ends.counted
            assert await probed.settling.settled() is end
            assert ends.counted == {(outcome.verdict.value,): 1}
        assert tally.counted == ({(about,): 1} if about else {})

    async def test_a_greeting_that_is_not_waited_for_is_abandoned_and_not_counted(self, tally: Tally) -> None:
        settling = FakeSettling(GOOD)
        inner = FakeProber({V4: Probed(Outcome(Verdict.GOOD), settling=settling)})
        probed = await CountedProber(inner, FakeClock(), Counts(late_greetings=tally)).probe(V4)
        assert isinstance(probed, Probed)
        assert probed.settling
        probed.settling.abandon()
        assert settling.abandoned
        assert not tally.counted


class TestReads:
    async def test_the_cache_in_the_process_is_near(self, tally: Tally) -> None:
        memory = MemoryCache(10, FakeClock(), Reads(Counts(cache_reads=tally), "some:prefix"))
        await memory.set("some:prefix:d:one.example", "no", 60)
        await memory.get_many(["some:prefix:d:one.example", "some:prefix:d:two.example"])
        await memory.get_many(["some:prefix:i:11.0.0.1"])
        assert tally.counted == {("d", "near"): 1, ("d", "miss"): 1, ("i", "miss"): 1}

    async def test_what_is_in_no_layer_is_not_counted(self, tally: Tally) -> None:
        memory = MemoryCache(10, FakeClock(), Reads(Counts(cache_reads=tally), "p"))
        await memory.get_many(["p:x:one", "p", ""])
        assert not tally.counted


class Locks:
    """Probing whose locks and waits are counted."""

    def __init__(self, *, failing: bool = False, reference: bool = False) -> None:
        self.clock, self.prober = FakeClock(), FakeProber()
        self.memory = MemoryCache(100, self.clock)
        self.locks, self.waits = Tally(), Tally()
        improvements = REFERENCE if reference else RECOMMENDED
        cache: CacheBackend = FailingCache(self.memory, ("set_if_absent",)) if failing else self.memory
        self.probing = Probing(
            SETTINGS,
            improvements,
            CacheLayers(cache, SETTINGS, improvements),
            self.prober,
            self.clock,
            Counts(locks=self.locks, waits=self.waits),
        )

    async def set(self, value: str) -> None:
        await self.memory.set(f"rmx:i:{V4}", value, 1000)

    async def attempt(self) -> None:
        await judged(self.probing, V4, Trace(self.clock))


class TestLocks:
    async def test_won_and_a_known_verdict_needs_none(self) -> None:
        bench = Locks()
        await bench.attempt()
        await bench.attempt()
        assert bench.locks.counted == {("won",): 1}
        assert not bench.waits.counted

    async def test_held_without_waiting(self) -> None:
        bench = Locks(reference=True)
        await bench.set("l")
        await bench.attempt()
        assert bench.locks.counted == {("held",): 1}
        assert not bench.waits.counted

    async def test_the_cache_fails(self) -> None:
        bench = Locks(failing=True)
        await bench.attempt()
        assert bench.locks.counted == {("failed",): 1}

    async def test_published_between_look_and_claim(self) -> None:
        bench = Locks()
        claim = bench.memory.set_if_absent

        async def too_late(key: str, value: str, ttl: int) -> bool:
            await bench.set("gd")
            return await claim(key, value, ttl)

        bench.memory.set_if_absent = too_late  # type: ignore[method-assign]
        await bench.attempt()
        assert bench.locks.counted == {("verdict",): 1}
        assert not bench.waits.counted

    @pytest.mark.parametrize(
        ("then", "ended"),
        [
            pytest.param(lambda bench: bench.set("gd"), "answered", id="published"),
            pytest.param(lambda bench: bench.memory.delete(f"rmx:i:{V4}"), "taken_over", id="given-up"),
            pytest.param(lambda bench: soon(), "timeout", id="held-for-ever"),
        ],
    )
    async def test_waiting_for_the_holder(self, then: Callable[[Locks], object], ended: str) -> None:
        bench = Locks()
        await bench.set("l")
        bench.clock.at(0.1, lambda: then(bench))  # type: ignore[arg-type, return-value]
        await bench.attempt()
        assert bench.locks.counted == {("held",): 1}
        assert bench.waits.counted == {("i", ended): 1}

    async def test_the_lock_is_given_up_and_the_cache_fails(self) -> None:
        bench = Locks(failing=True)
        await bench.set("l")
        bench.clock.at(0.1, lambda: bench.memory.delete(f"rmx:i:{V4}"))
        await bench.attempt()
        assert bench.waits.counted == {("i", "failed"): 1}

    async def test_what_the_process_probes_already_is_shared(self) -> None:
        bench = Locks()
        bench.prober.hold = asyncio.Event()
        attempts = [asyncio.create_task(bench.attempt()) for _ in range(3)]
        await soon()
        bench.prober.hold.set()
        await asyncio.gather(*attempts)
        assert bench.locks.counted == {("won",): 1}
        assert bench.waits.counted == {("i", "shared"): 2}


class TestNames:
    """Questions that somebody else has asked already; `r:` is another worker's claim to ask."""

    @pytest.fixture
    def memory(self) -> MemoryCache:
        return MemoryCache(100, FakeClock())

    def names(self, memory: MemoryCache, clock: FakeClock, tally: Tally, shared: float = SHARED) -> Names:
        resolver = FakeResolver({"one.example": mx("mx.example")}, {"mx.example": a(V4)})
        layers = CacheLayers(memory, SETTINGS, RECOMMENDED)
        return Names(SETTINGS, RECOMMENDED, layers, resolver, clock, Counts(waits=tally), shared=shared)

    @pytest.mark.parametrize(("layer", "name", "value"), [("d", "one.example", "no"), ("m", "mx.example", "no")])
    @pytest.mark.parametrize("stored", [True, False])
    async def test_another_worker(
        self, layer: str, name: str, value: str, stored: bool, memory: MemoryCache, tally: Tally
    ) -> None:
        clock = FakeClock()
        names = self.names(memory, clock, tally)
        await memory.set(f"rmx:r:{layer}:{name}", "l", 60)
        if stored:
            clock.at(1.0, lambda: memory.set(f"rmx:{layer}:{name}", value, 60))
        await (names.domain if layer == "d" else names.host)(name, Trace(clock))
        assert tally.counted == {(layer, "answered" if stored else "taken_over"): 1}

    async def test_this_process(self, memory: MemoryCache, tally: Tally) -> None:
        clock = FakeClock()
        names = self.names(memory, clock, tally, shared=0.0)
        await asyncio.gather(*(names.domain("one.example", Trace(clock)) for _ in range(3)))
        await asyncio.gather(*(names.host("mx.example", Trace(clock)) for _ in range(2)))
        assert tally.counted == {("d", "shared"): 2, ("m", "shared"): 1}
