"""Addresses to verdicts with the improvements on: several attempts, waiting for somebody else's probe, own faults.

What `preset: reference` does is proved against the reference itself, elsewhere.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, Improvements, MxCheckSettings
from mxcheck_service.ports import LocalFault
from mxcheck_service.probing import Probing
from mxcheck_service.trace import Trace
from mxcheck_service.waiting import LONGEST_POLL
from tests.unit.fakes import (
    FAULT,
    GOOD,
    NO_CONNECTION,
    REFUSED,
    SILENT,
    FailingCache,
    FakeClock,
    FakeProber,
    judged,
    soon,
)

A, B, C, D = "11.0.0.1", "11.0.0.2", "11.0.0.3", "11.0.0.4"
SETTINGS = MxCheckSettings(connect_timeout=2.0)
LOCK_TTL = 3


class Bench:
    """Probing over fakes, with everything in reach."""

    def __init__(
        self,
        prober: FakeProber,
        improvements: Improvements = RECOMMENDED,
        failing: Sequence[str] | None = None,
        cache: type[MemoryCache] = MemoryCache,
    ) -> None:
        self.clock = FakeClock()
        self.memory = cache(1000, self.clock)
        self.prober = prober
        backend = self.memory if failing is None else FailingCache(self.memory, failing)
        layers = CacheLayers(backend, SETTINGS, improvements)
        self.probing = Probing(SETTINGS, improvements, layers, prober, self.clock)
        self.trace = Trace(self.clock)

    async def attempts(self, *ips: str) -> list[str]:
        """Return the verdicts of these addresses, judged one after another; `*` marks one out of the cache."""
        return [await judged(self.probing, ip, self.trace) for ip in ips]

    async def set(self, ip: str, value: str, ttl: int = 1000) -> None:
        await self.memory.set(f"rmx:i:{ip}", value, ttl)

    async def entry(self, ip: str) -> str | None:
        return await self.memory.get(f"rmx:i:{ip}")

    def lifetime(self, ip: str) -> float:
        return self.memory.snapshot()[f"rmx:i:{ip}"][1]


async def test_each_address_has_a_lock_and_an_entry_of_its_own() -> None:
    bench = Bench(FakeProber({A: REFUSED, B: NO_CONNECTION, C: SILENT}))
    seen: list[tuple[str, str | None, str | None, str | None]] = []

    async def look(ip: str) -> None:
        seen.append((ip, await bench.entry(A), await bench.entry(B), await bench.entry(C)))
        assert bench.lifetime(ip) == LOCK_TTL

    bench.prober.during = look
    await bench.attempts(A, B, C)
    assert seen == [(A, "l", None, None), (B, "rf", "l", None), (C, "rf", "tc", "l")]
    assert [await bench.entry(ip) for ip in (A, B, C)] == ["rf", "tc", "tr"]
    assert [bench.lifetime(ip) for ip in (A, B, C)] == [14400, 7200, 86400]


@pytest.mark.parametrize(
    ("value", "verdict", "probed"),
    [
        pytest.param("rf", "rf*", [], id="known"),
        pytest.param("err:554", "err:554*", [], id="known-with-a-code"),
        pytest.param("junk", "gd", [A], id="garbage-is-overwritten-by-a-probe"),
    ],
)
async def test_what_the_cache_knows_is_used(value: str, verdict: str, probed: list[str]) -> None:
    bench = Bench(FakeProber())
    await bench.set(A, value)
    assert await bench.attempts(A) == [verdict]
    assert bench.prober.probed == probed


# wait_for_inflight


async def test_verdict_that_another_worker_publishes_meanwhile_is_taken() -> None:
    bench = Bench(FakeProber())
    await bench.set(A, "l", ttl=LOCK_TTL)
    bench.clock.at(1.0, lambda: bench.set(A, "gd"))
    start = bench.clock.now
    assert await bench.attempts(A) == ["gd*"]
    assert bench.prober.probed == []
    assert 1.0 <= bench.clock.now - start <= 1.0 + LONGEST_POLL


async def test_failure_that_another_worker_publishes_leads_to_the_next_address() -> None:
    bench = Bench(FakeProber())
    await bench.set(A, "l", ttl=LOCK_TTL)
    bench.clock.at(0.5, lambda: bench.set(A, "rf"))
    assert await bench.attempts(A, B) == ["rf*", "gd"]
    assert bench.prober.probed == [B]


async def test_lock_that_expires_without_a_verdict_is_taken_over() -> None:
    bench = Bench(FakeProber())
    await bench.set(A, "l", ttl=LOCK_TTL)
    start = bench.clock.now
    assert await bench.attempts(A) == ["gd"]
    assert LOCK_TTL <= bench.clock.now - start <= LOCK_TTL + LONGEST_POLL
    assert await bench.entry(A) == "gd"


async def test_lock_that_is_released_is_taken_over_at_once() -> None:
    bench = Bench(FakeProber())
    await bench.set(A, "l", ttl=LOCK_TTL)
    bench.clock.at(0.5, lambda: bench.memory.delete(f"rmx:i:{A}"))
    start = bench.clock.now
    assert await bench.attempts(A) == ["gd"]
    assert bench.clock.now - start <= 0.5 + LONGEST_POLL


async def test_garbage_that_appears_while_waiting_is_overwritten_by_a_probe() -> None:
    bench = Bench(FakeProber())
    await bench.set(A, "l", ttl=LOCK_TTL)
    bench.clock.at(0.5, lambda: bench.set(A, "junk"))
    assert await bench.attempts(A) == ["gd"]
    assert await bench.entry(A) == "gd"


async def test_waiting_is_given_up_after_twice_the_lifetime_of_a_lock() -> None:
    bench = Bench(FakeProber())
    await bench.set(A, "l", ttl=1000)
    start = bench.clock.now
    assert await bench.attempts(A) == ["inflight"]
    assert 2 * LOCK_TTL <= bench.clock.now - start <= 2 * LOCK_TTL + LONGEST_POLL
    assert bench.prober.probed == []
    assert max(bench.clock.sleeps) <= LONGEST_POLL


class RivalledCache(MemoryCache):
    """A cache in which somebody else claims a lock, for a second, just before everybody else does."""

    async def set_if_absent(self, key: str, value: str, ttl: int) -> bool:
        await self.set(key, "l", 1)
        return await super().set_if_absent(key, value, ttl)


async def test_lock_lost_to_another_worker_again_and_again_is_given_up_too() -> None:
    bench = Bench(FakeProber(), cache=RivalledCache)
    start = bench.clock.now
    assert await bench.attempts(A) == ["inflight"]
    assert bench.clock.now - start >= 2 * LOCK_TTL
    assert bench.prober.probed == []


async def test_cache_lost_while_waiting_is_told() -> None:
    bench = Bench(FakeProber(), failing=["set_if_absent", "get_many"])
    assert await bench.attempts(A) == ["redis_error"]
    assert bench.prober.probed == []


async def test_without_waiting_a_held_lock_is_inflight_at_once() -> None:
    bench = Bench(FakeProber(), replace(RECOMMENDED, wait_for_inflight=False))
    await bench.set(A, "l")
    assert await bench.attempts(A) == ["inflight"]
    assert bench.clock.sleeps == []


@pytest.mark.parametrize(
    ("improvements", "expected"),
    [
        pytest.param(RECOMMENDED, ["gd"] * 20, id="waiting"),
        pytest.param(REFERENCE, ["gd"] + ["inflight"] * 19, id="not-waiting"),
    ],
)
async def test_tasks_of_one_process_share_one_probe(improvements: Improvements, expected: list[str]) -> None:
    """Nobody polls for a probe that is under way in the same process."""
    bench = Bench(FakeProber(), improvements)
    bench.prober.hold = asyncio.Event()
    tasks = [asyncio.create_task(bench.attempts(A)) for _ in range(20)]
    await soon()
    bench.prober.hold.set()
    assert [verdict for task in tasks for verdict in await task] == expected
    assert bench.prober.probed == [A]
    assert bench.clock.sleeps == []


async def test_prober_that_crashes_fails_all_who_share_it_and_the_lock_expires() -> None:
    bench = Bench(FakeProber({A: [RuntimeError("defect"), GOOD]}))
    tasks = [asyncio.create_task(bench.attempts(A)) for _ in range(3)]
    assert [str(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == ["defect"] * 3
    assert await bench.attempts(A) == ["gd"]


# blame_local_errors


async def test_own_fault_is_not_cached_and_the_lock_is_released() -> None:
    bench = Bench(FakeProber({A: FAULT}))
    assert await bench.attempts(A) == ["unavailable"]
    assert await bench.entry(A) is None


async def test_own_fault_counts_as_connect_timeout_when_blamed() -> None:
    bench = Bench(FakeProber({A: FAULT}), replace(RECOMMENDED, blame_local_errors=True))
    assert await bench.attempts(A) == ["tc"]
    assert (await bench.entry(A), bench.lifetime(A)) == ("tc", 7200)


async def test_lock_that_is_ours_no_longer_is_not_released() -> None:
    """After its lifetime the key may be another worker's lock already."""
    bench = Bench(FakeProber({A: FAULT}))

    async def take_long(ip: str) -> None:
        bench.clock.now += LOCK_TTL
        await bench.set(ip, "l", ttl=LOCK_TTL)

    bench.prober.during = take_long
    assert await bench.attempts(A) == ["unavailable"]
    assert await bench.entry(A) == "l"


async def test_lock_that_cannot_be_released_does_no_harm() -> None:
    bench = Bench(FakeProber({A: FAULT}), failing=["delete"])
    assert await bench.attempts(A) == ["unavailable"]


# a cache that fails


@pytest.mark.parametrize("failing", [["set_if_absent"], []], ids=["claim", "everything"])
async def test_no_probe_without_its_lock(failing: list[str]) -> None:
    bench = Bench(FakeProber(), failing=failing)
    assert await bench.attempts(A) == ["redis_error"]
    assert bench.prober.probed == []


async def test_garbage_that_cannot_be_overwritten_is_a_failed_claim() -> None:
    bench = Bench(FakeProber(), failing=["set"])
    await bench.set(A, "junk")
    assert await bench.attempts(A) == ["redis_error"]


async def test_verdict_that_cannot_be_stored_is_used_still() -> None:
    bench = Bench(FakeProber(), failing=["set"])
    assert await bench.attempts(A) == ["gd"]


async def test_what_the_circuit_breaker_withholds_is_nobodys_timeout() -> None:
    """Even where local faults are: nothing was tried, and there is no end to what could be blamed."""
    bench = Bench(FakeProber({A: LocalFault("DNS-only mode", withheld=True)}), REFERENCE)
    assert await bench.attempts(A) == ["unavailable"]
    assert await bench.entry(A) is None
