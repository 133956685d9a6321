"""Lookups that are not made again: which ones are remembered, and for how long."""

from collections.abc import Collection

from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.model import Lookup, Outcome, Verdict
from mxcheck_service.remembered import Reads, RememberedLookups
from mxcheck_service.trace import Trace
from tests.unit.fakes import FakeClock

GOOD = Lookup(Outcome(Verdict.GOOD), "mx.example")


class AskedCache(MemoryCache):
    """Counts how often it was asked what it knows."""

    asked = 0

    def known_for(self, reads: Collection[tuple[str, str | None]]) -> float:
        self.asked += 1
        return super().known_for(reads)


class Bench:
    """Lookups over an embedded cache; `read` is a trace of one that read these keys as they are now."""

    def __init__(self, max_entries: int = 10, soon: float = 0.0) -> None:
        self.clock = FakeClock()
        self.cache = AskedCache(100, self.clock)
        self.ending: list[tuple[str, list[str], float]] = []
        self.lookups = RememberedLookups[str](self.cache, max_entries, self.clock, soon=soon, ending=self._note)

    def _note(self, domain: str, reads: Reads, left: float) -> None:
        self.ending.append((domain, [key for key, _ in reads], left))

    async def read(self, *keys: str) -> Trace:
        trace = Trace(self.clock, explain=False)
        for key, value in zip(keys, await self.cache.get_many(keys), strict=True):
            trace.read("x", key, key, value)
        return trace

    def found(self, *domains: str) -> list[bool]:
        return [self.lookups.get(domain) is not None for domain in domains]


async def test_a_lookup_that_only_read_is_there_as_long_as_what_it_read() -> None:
    bench = Bench()
    await bench.cache.set("a", "1", 60)
    bench.lookups.put("one.example", GOOD, await bench.read("a", "absent"))
    remembered = bench.lookups.get("one.example")
    assert remembered is not None
    assert (remembered.lookup, dict(remembered.reads)) == (GOOD, {"a": "1", "absent": None})
    bench.clock.now += 59
    assert bench.found("one.example") == [True]
    bench.clock.now += 1
    assert bench.found("one.example") == [False]


async def test_a_lookup_is_gone_for_good_once_an_entry_has_changed() -> None:
    for change in ("a", "absent"):
        bench = Bench()
        await bench.cache.set("a", "1", 60)
        bench.lookups.put("one.example", GOOD, await bench.read("a", "absent"))
        await bench.cache.set(change, "2", 60)
        assert bench.found("one.example") == [False]
        assert len(bench.lookups) == 0


async def test_the_cache_is_asked_once_until_something_in_it_changes() -> None:
    bench = Bench()
    await bench.cache.set("a", "1", 60)
    bench.lookups.put("one.example", GOOD, await bench.read("a"))
    bench.cache.asked = 0
    assert bench.found("one.example", "one.example") == [True, True]
    assert bench.cache.asked == 1
    await bench.cache.set("b", "2", 60)
    assert bench.found("one.example", "one.example") == [True, True]
    assert bench.cache.asked == 2


async def test_a_lookup_that_read_nothing_stands() -> None:
    bench = Bench()
    bench.lookups.put("white.example", GOOD, await bench.read())
    assert bench.found("white.example", "other.example") == [True, False]


async def test_a_lookup_that_did_anything_is_not_remembered() -> None:
    bench = Bench()
    trace = await bench.read("absent")
    trace.did("dns")
    bench.lookups.put("one.example", GOOD, trace)
    assert len(bench.lookups) == 0


async def test_a_lookup_that_saw_an_entry_change_is_not_remembered() -> None:
    bench = Bench()
    trace = await bench.read("a")
    await bench.cache.set("a", "1", 60)
    trace.read("x", "a", "a", "1")
    bench.lookups.put("one.example", GOOD, trace)
    assert len(bench.lookups) == 0


async def test_the_lookup_longest_unused_goes_first() -> None:
    bench = Bench(max_entries=2)
    for domain in ("one.example", "two.example"):
        bench.lookups.put(domain, GOOD, await bench.read())
    assert bench.found("one.example") == [True]
    bench.lookups.put("three.example", GOOD, await bench.read())
    assert len(bench.lookups) == 2
    assert bench.found("one.example", "two.example", "three.example") == [True, False, True]


async def test_a_lookup_made_anew_is_used_most_lately() -> None:
    bench = Bench(max_entries=2)
    for domain in ("one.example", "two.example", "one.example", "three.example"):
        bench.lookups.put(domain, GOOD, await bench.read())
    assert bench.found("one.example", "two.example", "three.example") == [True, False, True]


async def test_nothing_is_remembered_where_there_is_no_room() -> None:
    bench = Bench(max_entries=0)
    bench.lookups.put("one.example", GOOD, await bench.read())
    assert bench.found("one.example") == [False]


async def test_a_lookup_that_is_asked_for_shortly_before_its_end_is_told() -> None:
    bench = Bench(soon=10)
    await bench.cache.set("a", "1", 60)
    await bench.cache.set("b", "1", 100)
    bench.lookups.put("one.example", GOOD, await bench.read("a", "b"))
    for seconds in (50, 1, 9):
        bench.clock.now += seconds
        bench.found("one.example")
    assert bench.ending == [("one.example", ["a", "b"], 9)]


async def test_what_was_made_of_a_lookup_goes_with_it() -> None:
    bench = Bench()
    await bench.cache.set("a", "1", 60)
    bench.lookups.put("one.example", GOOD, await bench.read("a"))
    for _ in range(2):
        remembered = bench.lookups.get("one.example")
        assert remembered is not None
        remembered.uses.setdefault("use", "made of 1")
    await bench.cache.set("a", "2", 60)
    bench.lookups.put("one.example", GOOD, await bench.read("a"))
    remembered = bench.lookups.get("one.example")
    assert remembered is not None
    assert remembered.uses == {}
