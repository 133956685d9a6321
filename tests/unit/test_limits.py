"""Limits of probes: what counts for what, what happens at a limit, and what never counts."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.limits import WINDOW, Limit, giving_way, limits, network_of, shares, suffix_of
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, Improvements, MxCheckSettings
from mxcheck_service.politeness import NoLimit, PerNetwork
from mxcheck_service.ports import LocalFault
from mxcheck_service.probing import Probing
from mxcheck_service.trace import Trace
from tests.unit.fakes import FAULT, GOOD, REFUSED, FailingCache, FakeClock, FakeProber, judged, soon

A, B, C, ELSEWHERE = "11.0.0.1", "11.0.0.2", "11.0.0.3", "11.0.9.1"
HOST = "mx.one.example"
SETTINGS = MxCheckSettings(connect_timeout=2.0)
LOCK_TTL = 3
UNLIMITED = replace(
    RECOMMENDED, probes_per_address=0, probes_per_network=0, probes_per_suffix=0, probes_globally=0, probe_attempts=3
)


# What counts for what


@pytest.mark.parametrize(
    ("host", "suffix"),
    [
        ("mx1.mail.example.com", "example.com"),
        ("MX.Example.COM", "example.com"),
        ("example.com", "example.com"),
        ("mx.example.co.uk", "example.co.uk"),
        ("example.co.uk", "example.co.uk"),
        ("a.b.example.or.at", "example.or.at"),
        ("mx.co.com", "co.com"),
        ("co.uk", "co.uk"),
        ("mx01.web.de", "web.de"),
        ("localhost", "localhost"),
    ],
)
def test_the_suffix_of_a_host(host: str, suffix: str) -> None:
    assert suffix_of(host) == suffix


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("11.0.0.200", "11.0.0.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:11.0.0.200", "11.0.0.0/24"),
    ],
)
def test_the_network_of_an_address(ip: str, network: str) -> None:
    assert network_of(ip) == network


def test_a_probe_counts_for_each_limit_that_is_set() -> None:
    named = {share.name: share.most for share in shares(limits(RECOMMENDED), A, HOST)}
    assert named == {
        "address:11.0.0.1": 6,
        "network:11.0.0.0/24": 60,
        "suffix:one.example": 300,
        "global": 6000,
    }
    assert [share.limit for share in shares(limits(RECOMMENDED), A, None)] == [
        Limit.ADDRESS,
        Limit.NETWORK,
        Limit.GLOBAL,
    ]
    assert shares(limits(REFERENCE), A, HOST) == []


def test_both_forms_of_an_address_are_one() -> None:
    assert shares(limits(RECOMMENDED), f"::ffff:{A}", HOST) == shares(limits(RECOMMENDED), A, HOST)


@pytest.mark.parametrize(("most", "half"), [(1, 1), (2, 1), (3, 2), (6, 3), (6000, 3000)])
def test_who_gives_way_has_half_of_it_but_never_nothing(most: int, half: int) -> None:
    assert giving_way({Limit.ADDRESS: most}) == {Limit.ADDRESS: half}


# At a limit


class Bench:
    """Probing over fakes, with limits."""

    def __init__(
        self,
        improvements: Improvements,
        prober: FakeProber | None = None,
        failing: tuple[str, ...] | None = None,
        turns: NoLimit | PerNetwork | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.clock.now = WINDOW * 100.0
        self.memory = MemoryCache(1000, self.clock)
        self.prober = prober or FakeProber()
        backend = self.memory if failing is None else FailingCache(self.memory, failing)
        layers = CacheLayers(backend, SETTINGS, improvements)
        self.probing = Probing(SETTINGS, improvements, layers, self.prober, self.clock, turns=turns)

    async def attempts(self, *ips: str, host: str = HOST) -> list[str]:
        """Return the verdicts of these addresses, judged one after another; `*` marks one out of the cache."""
        return [await judged(self.probing, ip, self.trace(), host) for ip in ips]

    def trace(self) -> Trace:
        self.told = Trace(self.clock)
        return self.told

    async def forget(self, *ips: str) -> None:
        for ip in ips:
            await self.memory.delete(f"rmx:i:{ip}")

    def entry(self, ip: str) -> str | None:
        return self.memory.snapshot().get(f"rmx:i:{ip}", (None, 0))[0]

    def counted(self) -> dict[str, int]:
        """Return what the present window has counted."""
        start = f"rmx:p:{int(self.clock.now) // WINDOW}:"
        entries = self.memory.snapshot().items()
        return {key.removeprefix(start): int(value) for key, (value, _) in entries if key.startswith(start)}


async def test_what_is_over_the_limit_is_not_probed_and_leaves_nothing_behind() -> None:
    bench = Bench(replace(UNLIMITED, probes_per_address=2))
    for _ in range(2):
        assert await bench.attempts(A) == ["gd"]
        await bench.forget(A)
    assert await bench.attempts(A) == ["ratelimited"]
    assert bench.prober.probed == [A, A]
    assert bench.entry(A) is None, "neither a verdict nor the lock"
    assert not bench.told.repeatable, "such a lookup is never remembered"
    assert [(step.name, dict(step.facts)) for step in bench.told.steps][-1] == (
        "limit",
        {"ip": A, "limit": ["address"]},
    )
    bench.clock.now += WINDOW
    assert await bench.attempts(A) == ["gd"]


@pytest.mark.parametrize(
    ("improvements", "asked", "verdicts"),
    [
        pytest.param(
            replace(UNLIMITED, probes_per_network=1),
            [(A, "mx.one.example"), (B, "mx.two.example"), (ELSEWHERE, "mx.one.example")],
            ["gd", "ratelimited", "gd"],
            id="network",
        ),
        pytest.param(
            replace(UNLIMITED, probes_per_suffix=1),
            [(A, "mx.one.example"), (ELSEWHERE, "mx2.one.example"), (B, "mx.two.example")],
            ["gd", "ratelimited", "gd"],
            id="suffix",
        ),
        pytest.param(
            replace(UNLIMITED, probes_globally=1),
            [(A, "mx.one.example"), (ELSEWHERE, "mx.two.example")],
            ["gd", "ratelimited"],
            id="global",
        ),
    ],
)
async def test_each_limit_holds_for_what_it_is_about(
    improvements: Improvements, asked: list[tuple[str, str]], verdicts: list[str]
) -> None:
    bench = Bench(improvements)
    assert [await bench.attempts(ip, host=host) for ip, host in asked] == [[verdict] for verdict in verdicts]


async def test_a_limited_address_ends_its_own_attempt_only() -> None:
    bench = Bench(replace(UNLIMITED, probes_per_network=1), FakeProber({A: REFUSED}))
    assert await bench.attempts(A, B, ELSEWHERE) == ["rf", "ratelimited", "gd"]


async def test_what_one_limit_refuses_takes_nothing_from_the_others() -> None:
    """Or one address that everybody names would use up what there is for all."""
    bench = Bench(replace(UNLIMITED, probes_per_address=1, probes_globally=3))
    assert await bench.attempts(A) == ["gd"]
    await bench.forget(A)
    for _ in range(10):
        assert await bench.attempts(A) == ["ratelimited"]
    assert bench.counted() == {f"address:{A}": 1, "global": 1}
    assert await bench.attempts(B) == ["gd"]
    assert await bench.attempts(C) == ["gd"]
    assert await bench.attempts(ELSEWHERE) == ["ratelimited"]


async def test_an_own_fault_has_counted() -> None:
    """A connection may have been tried."""
    bench = Bench(replace(UNLIMITED, probes_per_address=1), FakeProber({A: FAULT}))
    assert await bench.attempts(A) == ["unavailable"]
    assert await bench.attempts(A) == ["ratelimited"]


async def test_what_the_circuit_breaker_withholds_has_not_counted() -> None:
    """Or nobody could tell, when the way out is open again."""
    withheld = LocalFault("DNS-only mode", withheld=True)
    bench = Bench(replace(UNLIMITED, probes_per_address=1), FakeProber({A: [withheld] * 3 + [GOOD]}))
    assert await bench.attempts(A, A, A) == ["unavailable"] * 3
    assert bench.counted() == {f"address:{A}": 0}
    assert await bench.attempts(A) == ["gd"]


async def test_a_lock_that_is_ours_no_longer_is_not_released() -> None:
    """Counting has taken longer than the lock lives, which may be another worker's by now."""

    class SlowCache(MemoryCache):
        async def count(self, keys: Sequence[str], by: int, ttl: int) -> list[int]:
            numbers = await super().count(keys, by, ttl)
            bench.clock.now += LOCK_TTL
            await self.set(f"rmx:i:{A}", "l", LOCK_TTL)
            return numbers

    bench = Bench(replace(UNLIMITED, probes_per_address=1))
    cache = SlowCache(100, bench.clock)
    layers = CacheLayers(cache, SETTINGS, RECOMMENDED)
    bench.probing = Probing(SETTINGS, replace(UNLIMITED, probes_per_address=1), layers, bench.prober, bench.clock)
    await cache.set(f"rmx:p:100:address:{A}", "1", 120)
    assert await bench.attempts(A) == ["ratelimited"]
    assert await cache.get(f"rmx:i:{A}") == "l"


# What never counts


async def test_what_the_cache_knows_counts_for_nothing() -> None:
    bench = Bench(RECOMMENDED, failing=("count",))
    await bench.memory.set(f"rmx:i:{A}", "gd", 100)
    assert await bench.attempts(A) == ["gd*"]
    assert bench.counted() == {}


async def test_who_waits_for_another_s_probe_counts_for_nothing() -> None:
    bench = Bench(RECOMMENDED)
    await bench.memory.set(f"rmx:i:{A}", "l", LOCK_TTL)
    bench.clock.at(0.5, lambda: bench.memory.set(f"rmx:i:{A}", "gd", 100))
    assert await bench.attempts(A) == ["gd*"]
    assert bench.counted() == {}


async def test_a_crowd_at_one_address_counts_once() -> None:
    bench = Bench(RECOMMENDED)
    bench.prober.hold = asyncio.Event()
    tasks = [asyncio.create_task(bench.attempts(A)) for _ in range(20)]
    await soon()
    bench.prober.hold.set()
    assert [await task for task in tasks] == [["gd"]] * 20
    assert set(bench.counted().values()) == {1}


async def test_without_limits_nothing_is_counted() -> None:
    bench = Bench(REFERENCE, failing=("count",))
    assert await bench.attempts(A) == ["gd"]
    assert bench.counted() == {}


# A cache that fails


async def test_what_cannot_be_counted_is_not_probed() -> None:
    bench = Bench(RECOMMENDED, failing=("count",))
    assert await bench.attempts(A) == ["redis_error"]
    assert bench.prober.probed == []
    assert bench.entry(A) is None


async def test_what_cannot_be_given_back_does_no_harm() -> None:
    class Once(FailingCache):
        async def count(self, keys: Sequence[str], by: int, ttl: int) -> list[int]:
            return await (self.inner.count(keys, by, ttl) if by > 0 else super().count(keys, by, ttl))

    bench = Bench(replace(UNLIMITED, probes_per_address=1))
    layers = CacheLayers(Once(bench.memory, ("count",)), SETTINGS, RECOMMENDED)
    bench.probing = Probing(SETTINGS, replace(UNLIMITED, probes_per_address=1), layers, bench.prober, bench.clock)
    assert await bench.attempts(A) == ["gd"]
    await bench.forget(A)
    assert await bench.attempts(A) == ["ratelimited"]


# Who gives way


async def test_a_renewal_gives_way_at_half_the_limit() -> None:
    bench = Bench(replace(UNLIMITED, probes_per_network=4), FakeProber({B: REFUSED}))
    for ip in ("11.0.0.7", "11.0.0.8"):
        await bench.attempts(ip)
    for ip in (A, B):
        await bench.memory.set(f"rmx:i:{ip}", "gd", 100)
        await bench.probing.renew(ip, bench.trace(), within=10)
    assert A not in bench.prober.probed
    assert bench.counted() == {"network:11.0.0.0/24": 2}
    assert bench.entry(A) == "gd"
    assert await bench.attempts(C) == ["gd"], "a message may use the other half"


async def test_a_renewal_within_its_half_is_made_and_counts() -> None:
    bench = Bench(replace(UNLIMITED, probes_per_network=4))
    await bench.memory.set(f"rmx:i:{A}", "gd", 100)
    await bench.probing.renew(A, bench.trace(), within=10)
    assert bench.prober.probed == [A]
    assert bench.counted() == {"network:11.0.0.0/24": 1}


async def test_a_renewal_that_cannot_be_counted_is_not_made() -> None:
    bench = Bench(RECOMMENDED, failing=("count",))
    await bench.memory.set(f"rmx:i:{A}", "gd", 100)
    await bench.probing.renew(A, bench.trace(), within=10)
    assert bench.prober.probed == []


async def test_who_has_patience_waits_for_the_next_window_and_leaves_half_to_messages() -> None:
    bench = Bench(replace(UNLIMITED, probes_per_network=4), turns=PerNetwork(2))
    bench.clock.now += 15
    verdicts = [await bench.attempts(f"11.0.0.{number}") for number in range(1, 6)]
    assert verdicts == [["gd"]] * 5
    assert bench.clock.sleeps == [45, 60], "two probes in each minute"


async def test_who_has_patience_takes_what_others_find_out_meanwhile() -> None:
    bench = Bench(replace(UNLIMITED, probes_per_network=2), turns=PerNetwork(2))
    assert await bench.attempts(A) == ["gd"]
    bench.clock.at(30, lambda: bench.memory.set(f"rmx:i:{B}", "rf", 100))
    assert await bench.attempts(B) == ["rf*"]
    assert bench.prober.probed == [A]


async def test_who_waits_for_a_window_holds_no_place_in_the_network() -> None:
    turns = PerNetwork(1)
    bench = Bench(replace(UNLIMITED, probes_per_address=1), turns=turns)
    assert await bench.attempts(A) == ["gd"]
    await bench.forget(A)
    held: list[int] = []

    async def look() -> None:
        held.append(len(turns))

    bench.clock.at(1, look)
    assert await bench.attempts(A) == ["gd"]
    assert held == [0]
