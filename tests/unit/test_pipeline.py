"""One domain with the improvements on: attempts over MX hosts, lifetimes of failures, classes, maps on further hosts.

What `preset: reference` does is proved against the reference itself, elsewhere.
"""

import asyncio
from dataclasses import replace

import pytest

from mxcheck_service.attempts import Attempts
from mxcheck_service.background import Background
from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.maplist import GlobMap, Maps, RadixMap, parse_map
from mxcheck_service.core.model import ClassEvidence, Lookup
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, Improvements, MxCheckSettings
from mxcheck_service.names import Names
from mxcheck_service.pipeline import Pipeline
from mxcheck_service.ports import DnsFailure
from mxcheck_service.probing import Probing
from mxcheck_service.trace import Trace
from tests.unit.fakes import (
    GOOD,
    NO_CONNECTION,
    NODATA,
    NXDOMAIN,
    REFUSED,
    TURNED_AWAY,
    FailingCache,
    FakeClock,
    FakeProber,
    FakeResolver,
    a,
    mx,
    soon,
)

DOMAIN = "d.example"
MX1, MX2, MX3 = "mx1.example", "mx2.example", "mx3.example"
A1, A2, B1, B2, C1 = "11.0.1.1", "11.0.1.2", "11.0.2.1", "11.0.2.2", "11.0.3.1"
LOCAL, LOOPBACK, BOGON = "10.0.0.1", "127.0.0.1", "192.0.2.1"
SERVFAIL = DnsFailure("SERVFAIL")
SETTINGS = MxCheckSettings()


class Bench:
    """A pipeline over fakes, with everything in reach."""

    def __init__(
        self,
        resolver: FakeResolver,
        prober: FakeProber | None = None,
        *,
        improvements: Improvements = RECOMMENDED,
        settings: MxCheckSettings = SETTINGS,
        maps: Maps | None = None,
        cache_fails: bool = False,
    ) -> None:
        self.clock = FakeClock()
        self.memory = MemoryCache(1000, self.clock)
        self.resolver = resolver
        self.prober = prober or FakeProber()
        layers = CacheLayers(FailingCache(self.memory) if cache_fails else self.memory, settings, improvements)
        self.background = Background()
        maps = maps or Maps()
        names = Names(settings, improvements, layers, resolver, self.clock)
        probing = Probing(settings, improvements, layers, self.prober, self.clock)
        attempts = Attempts(settings, improvements, maps, names, probing, self.background)
        self.pipeline = Pipeline(maps, names, attempts)

    async def lookup(self) -> Lookup:
        return await self.pipeline.lookup(DOMAIN, Trace(self.clock))

    async def verdict(self) -> tuple[str, str]:
        """Return (verdict, host)."""
        lookup = await self.lookup()
        return str(lookup.outcome), lookup.host

    def cached(self) -> dict[str, tuple[str, float]]:
        """Return every cached value with the seconds it has left, by key without prefix."""
        return {key.removeprefix("rmx:"): entry for key, entry in self.memory.snapshot().items()}

    async def set(self, **entries: str) -> None:
        for key, value in entries.items():
            await self.memory.set("rmx:" + key, value, 1000)


def three_hosts() -> FakeResolver:
    return FakeResolver({DOMAIN: mx(MX1, MX2, MX3)}, {MX1: a(A1, A2), MX2: a(B1, B2), MX3: a(C1)})


async def test_hosts_that_are_not_needed_are_not_resolved() -> None:
    bench = Bench(three_hosts(), FakeProber({A1: REFUSED}))
    await bench.verdict()
    assert bench.resolver.asked == [("MX", DOMAIN), ("A", MX1), ("A", MX2)]


async def test_every_address_tried_has_its_verdict_cached() -> None:
    bench = Bench(three_hosts(), FakeProber({A1: REFUSED, B1: NO_CONNECTION}))
    await bench.verdict()
    cached = bench.cached()
    assert {key: cached[key] for key in cached if key[0] == "i"} == {
        f"i:{A1}": ("rf", 14400),
        f"i:{B1}": ("tc", 7200),
        f"i:{C1}": ("gd", 86400),
    }


async def test_attempts_go_over_the_addresses_of_an_implicit_mx() -> None:
    bench = Bench(FakeResolver({DOMAIN: NODATA}, {DOMAIN: a(A1, A2, B1)}), FakeProber({A1: REFUSED}))
    lookup = await bench.lookup()
    assert (str(lookup.outcome), lookup.host, lookup.implicit_mx) == ("gd", DOMAIN, True)
    failing = Bench(FakeResolver({DOMAIN: NODATA}, {DOMAIN: a(A1, A2)}), FakeProber({A1: NO_CONNECTION, A2: REFUSED}))
    lookup = await failing.lookup()
    assert (str(lookup.outcome), lookup.host, lookup.implicit_mx) == ("tc", DOMAIN, True)


async def test_further_host_that_does_not_resolve_costs_no_attempt() -> None:
    resolver = FakeResolver({DOMAIN: mx(MX1, MX2, MX3)}, {MX1: a(A1), MX2: SERVFAIL, MX3: a(C1)})
    bench = Bench(resolver, FakeProber({A1: REFUSED}))
    assert await bench.verdict() == ("gd", MX3)


async def test_failure_stays_the_verdict_when_no_further_host_exists() -> None:
    bench = Bench(FakeResolver({DOMAIN: mx(MX1, MX2)}, {MX1: a(A1)}), FakeProber({A1: REFUSED}))
    assert await bench.verdict() == ("rf", MX1)


async def test_host_with_cached_addresses_goes_before_better_ones_that_would_have_to_be_resolved() -> None:
    bench = Bench(three_hosts(), FakeProber({B1: REFUSED}))
    await bench.set(**{f"m:{MX2}": f"v4:{B1},{B2}"})
    assert await bench.verdict() == ("gd", MX1)
    assert bench.prober.probed == [B1, A1]


async def test_verdict_known_of_a_further_host_settles_it_after_a_failure() -> None:
    bench = Bench(three_hosts(), FakeProber({A1: REFUSED, A2: REFUSED}))
    await bench.set(**{f"i:{B2}": "gd"})
    lookup = await bench.lookup()
    assert (str(lookup.outcome), lookup.host, lookup.cached) == ("gd", MX2, True)


@pytest.mark.parametrize(
    ("classes", "verdict"),
    [
        pytest.param([LOCAL], ("gd", MX3), id="local"),
        pytest.param([BOGON, LOCAL], ("gd", MX3), id="bogon-and-local"),
    ],
)
async def test_further_host_without_a_public_address_is_passed_over(classes: list[str], verdict: object) -> None:
    """Its classes do not show either: the evidence is the first host's."""
    resolver = FakeResolver({DOMAIN: mx(MX1, MX2, MX3)}, {MX1: a(A1), MX2: a(*classes), MX3: a(C1)})
    bench = Bench(resolver, FakeProber({A1: REFUSED}))
    assert await bench.verdict() == verdict
    assert (await bench.lookup()).classes == ClassEvidence((), (), True)


async def test_first_host_without_a_public_address_counts_when_no_other_takes_mail() -> None:
    resolver = FakeResolver({DOMAIN: mx(MX1, MX2)}, {MX1: a(BOGON), MX2: a(B1)})
    assert await Bench(resolver).verdict() == ("gd", MX2)
    lookup = await Bench(resolver, FakeProber({B1: REFUSED})).lookup()
    assert str(lookup.outcome) == "ip_class_skipped"
    assert lookup.classes == ClassEvidence((), (BOGON,), False)


async def test_classes_of_a_host_that_takes_mail_do_not_matter() -> None:
    """Unless they are to be blamed all the same; those of a host that does not are told."""
    resolver = FakeResolver({DOMAIN: mx(MX1)}, {MX1: a(A1, LOCAL)})
    mixed = ClassEvidence((LOCAL,), (), True)
    assert (await Bench(resolver).lookup()).classes == ClassEvidence()
    blaming = replace(RECOMMENDED, blame_mixed_classes=True)
    assert (await Bench(resolver, improvements=blaming).lookup()).classes == mixed
    assert (await Bench(resolver, FakeProber({A1: REFUSED})).lookup()).classes == mixed
    assert (await Bench(resolver, FakeProber({A1: TURNED_AWAY})).lookup()).classes == ClassEvidence()


def radix(*entries: str) -> RadixMap:
    return RadixMap.of(entry for text in entries for entry in parse_map(text, "map"))


async def test_bad_address_of_a_further_host_counts() -> None:
    bench = Bench(three_hosts(), FakeProber({A1: REFUSED}), maps=Maps(bad_ips=radix(f"{B2} 2.5")))
    lookup = await bench.lookup()
    assert (str(lookup.outcome), lookup.key, lookup.multiplier) == ("bad_ip", B2, 2.5)
    assert bench.prober.probed == [A1]


async def test_bad_address_of_a_further_host_is_not_seen_when_the_first_answers() -> None:
    bench = Bench(three_hosts(), maps=Maps(bad_ips=radix(B1)))
    assert await bench.verdict() == ("gd", MX1)


async def test_excluded_addresses_are_not_tried_and_cost_no_attempt() -> None:
    bench = Bench(three_hosts(), FakeProber({A2: REFUSED, B1: REFUSED}), maps=Maps(exclude_ips=radix(A1, "11.0.2.2")))
    assert await bench.verdict() == ("gd", MX3)
    assert bench.prober.probed == [A2, B1, C1]


async def test_host_whose_addresses_are_all_excluded_settles_it() -> None:
    """What the operator has taken out of the check is nobody's fault."""
    bench = Bench(three_hosts(), FakeProber({A1: REFUSED}), maps=Maps(exclude_ips=radix("11.0.2.0/24 corp")))
    lookup = await bench.lookup()
    assert (str(lookup.outcome), lookup.host, lookup.key) == ("skip", MX2, "corp,corp")


async def test_first_host_whose_addresses_are_all_excluded_is_final() -> None:
    bench = Bench(three_hosts(), maps=Maps(exclude_ips=radix("11.0.1.0/24 corp")))
    lookup = await bench.lookup()
    assert (str(lookup.outcome), lookup.key) == ("skip", "corp,corp")
    assert bench.prober.probed == []


async def test_maps_of_names_are_asked_before_anything_is_looked_up() -> None:
    def names(text: str) -> GlobMap:
        return GlobMap.of(parse_map(text, "map"))

    white = Bench(three_hosts(), maps=Maps(exclude_domains=names("*.example")))
    assert str((await white.lookup()).outcome) == "white"
    assert white.resolver.asked == []
    bad = Bench(three_hosts(), maps=Maps(bad_mxs=names("mx3.* 4"), exclude_mxs=names("mx1.*")))
    lookup = await bad.lookup()
    assert (str(lookup.outcome), lookup.key, lookup.multiplier) == ("bad_mx", MX3, 4.0)
    trusted = Bench(three_hosts(), maps=Maps(bad_mxs=names("other"), exclude_mxs=names("mx2.*")))
    lookup = await trusted.lookup()
    assert (str(lookup.outcome), lookup.key) == ("white", MX2)
    assert trusted.resolver.asked == [("MX", DOMAIN)]


# loopback_class


@pytest.mark.parametrize(
    ("improvements", "classes"),
    [
        pytest.param(RECOMMENDED, ClassEvidence((LOOPBACK,), (), False), id="recommended"),
        pytest.param(REFERENCE, ClassEvidence((), (LOOPBACK,), False), id="reference"),
    ],
)
async def test_class_of_loopback(improvements: Improvements, classes: ClassEvidence) -> None:
    bench = Bench(FakeResolver({DOMAIN: mx(MX1)}, {MX1: a(LOOPBACK)}), improvements=improvements)
    lookup = await bench.lookup()
    assert (str(lookup.outcome), lookup.classes) == ("ip_class_skipped", classes)


# expire_dns_fail


@pytest.mark.parametrize(
    ("fail_ttl", "dns_ttl", "kept"),
    [
        pytest.param(60, 1800, 60, id="its-own-lifetime"),
        pytest.param(None, 1800, 1800, id="that-of-other-dns-results"),
        pytest.param(0, 1800, None, id="not-at-all"),
        pytest.param(60, 0, None, id="dns-is-not-cached"),
    ],
)
async def test_lifetime_of_a_failed_lookup(fail_ttl: int | None, dns_ttl: int, kept: int | None) -> None:
    improvements = replace(RECOMMENDED, expire_dns_fail=fail_ttl)
    settings = replace(SETTINGS, expire_dns=dns_ttl)
    of_domain = Bench(FakeResolver({DOMAIN: SERVFAIL}), improvements=improvements, settings=settings)
    assert await of_domain.verdict() == ("df", DOMAIN)
    assert of_domain.cached() == ({} if kept is None else {f"d:{DOMAIN}": ("df", kept)})
    resolver = FakeResolver({DOMAIN: mx(MX1)}, {MX1: SERVFAIL})
    of_host = Bench(resolver, improvements=improvements, settings=settings)
    assert await of_host.verdict() == ("df", DOMAIN)
    assert of_host.cached().get(f"m:{MX1}") == (None if kept is None else ("df", kept))
    implicit = Bench(FakeResolver({}, {DOMAIN: SERVFAIL}), improvements=improvements, settings=settings)
    assert await implicit.verdict() == ("df", DOMAIN)
    assert implicit.cached() == ({} if kept is None else {f"d:{DOMAIN}": ("df", kept)})


async def test_other_dns_results_keep_their_lifetime() -> None:
    bench = Bench(FakeResolver({DOMAIN: mx(MX1, MX2)}, {MX1: NXDOMAIN, MX2: a(B1)}))
    await bench.verdict()
    assert {key: entry for key, entry in bench.cached().items() if key[0] in "dm"} == {
        f"d:{DOMAIN}": (f"mx:{MX1}:10,{MX2}:20", 1800),
        f"m:{MX1}": ("no", 1800),
        f"m:{MX2}": (f"v4:{B1}", 1800),
    }


# shared work


async def test_lookups_of_one_domain_at_once_ask_and_probe_once() -> None:
    bench = Bench(three_hosts())
    bench.resolver.hold = bench.prober.hold = asyncio.Event()
    tasks = [asyncio.create_task(bench.verdict()) for _ in range(50)]
    await soon()
    bench.resolver.hold.set()
    assert {await task for task in tasks} == {("gd", MX1)}
    assert bench.resolver.asked == [("MX", DOMAIN), ("A", MX1)]
    assert bench.prober.probed == [A1]


async def test_cache_that_fails_at_everything_leaves_dns_verdicts_and_costs_the_probe() -> None:
    assert await Bench(FakeResolver(), cache_fails=True).verdict() == ("no", DOMAIN)
    bench = Bench(three_hosts(), FakeProber({A1: GOOD}), cache_fails=True)
    assert await bench.verdict() == ("redis_error", MX1)
    assert bench.prober.probed == []
