"""Names to entries: cached lists under the enabled families, and what several answers come to."""

import asyncio
from dataclasses import replace

import pytest

from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.codec import AddressList, MxList
from mxcheck_service.core.model import Family, MxHost, Verdict
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, Improvements, MxCheckSettings
from mxcheck_service.names import Names, host_names
from mxcheck_service.ports import DnsAnswer, DnsFailure
from mxcheck_service.trace import Trace
from mxcheck_service.waiting import LONGEST_POLL
from tests.unit.fakes import NODATA, NXDOMAIN, FailingCache, FakeClock, FakeResolver, a, mx, soon

DOMAIN, HOST = "d.example", "mx.example"
V4, V4_TOO, V6 = "11.0.0.1", "11.0.0.2", "2606:4700::1"
SERVFAIL, TIMEOUT = DnsFailure("SERVFAIL"), DnsFailure("TIMEOUT")
ONLY_V4 = MxCheckSettings()
ONLY_V6 = MxCheckSettings(probe_ipv4=False, probe_ipv6=True)
BOTH = MxCheckSettings(probe_ipv6=True)
Entry = AddressList | Verdict


class Bench:
    def __init__(
        self, resolver: FakeResolver, settings: MxCheckSettings = ONLY_V4, improvements: Improvements = REFERENCE
    ) -> None:
        self.clock = FakeClock()
        self.memory = MemoryCache(100, self.clock)
        self.resolver = resolver
        layers = CacheLayers(self.memory, settings, improvements)
        self.names = Names(settings, improvements, layers, resolver, self.clock)

    def trace(self) -> Trace:
        return Trace(self.clock)

    async def cached(self, key: str) -> str | None:
        return await self.memory.get(f"rmx:{key}")


@pytest.mark.parametrize(
    ("answers", "entry"),
    [
        pytest.param((a(V4), a(V6)), AddressList(Family.BOTH, (V6, V4)), id="both"),
        pytest.param((a(V4, V4_TOO), NODATA), AddressList(Family.BOTH, (V4, V4_TOO)), id="one-without-records"),
        pytest.param((SERVFAIL, a(V6)), AddressList(Family.BOTH, (V6,)), id="one-failed"),
        pytest.param((NXDOMAIN, NODATA), Verdict.NONE, id="none"),
        pytest.param((SERVFAIL, NODATA), Verdict.NONE, id="one-failed-the-other-without-records"),
        pytest.param((NXDOMAIN, TIMEOUT), Verdict.NONE, id="the-other-way-round"),
        pytest.param((SERVFAIL, TIMEOUT), Verdict.DNS_FAIL, id="both-failed"),
    ],
)
async def test_any_address_wins_and_failure_counts_only_when_every_family_failed(
    answers: tuple[DnsAnswer[str], DnsAnswer[str]], entry: Entry
) -> None:
    resolver = FakeResolver(a={HOST: answers[0]}, aaaa={HOST: answers[1]})
    assert await Bench(resolver, BOTH).names.host(HOST, Bench(resolver).trace()) == entry
    assert sorted(resolver.asked) == [("A", HOST), ("AAAA", HOST)]


@pytest.mark.parametrize(
    ("settings", "questions", "entry"),
    [
        pytest.param(ONLY_V4, ["A"], AddressList(Family.V4, (V4,)), id="ipv4"),
        pytest.param(ONLY_V6, ["AAAA"], AddressList(Family.V6, (V6,)), id="ipv6"),
        pytest.param(BOTH, ["A", "AAAA"], AddressList(Family.BOTH, (V6, V4)), id="both"),
        pytest.param(
            replace(BOTH, prefer_ipv6=False), ["A", "AAAA"], AddressList(Family.BOTH, (V4, V6)), id="ipv4-first"
        ),
        pytest.param(replace(BOTH, max_mx_a_records=1), ["A", "AAAA"], AddressList(Family.BOTH, (V6,)), id="capped"),
    ],
)
async def test_enabled_families_are_asked_for(settings: MxCheckSettings, questions: list[str], entry: Entry) -> None:
    bench = Bench(FakeResolver(a={HOST: a(V4)}, aaaa={HOST: a(V6)}), settings)
    assert await bench.names.host(HOST, bench.trace()) == entry
    assert [question for question, _ in bench.resolver.asked] == questions


@pytest.mark.parametrize(
    ("settings", "value", "known"),
    [
        pytest.param(ONLY_V4, f"v4:{V4}", AddressList(Family.V4, (V4,)), id="same-family"),
        pytest.param(ONLY_V4, f"v64:{V6},{V4}", AddressList(Family.BOTH, (V4,)), id="other-family-is-left-out"),
        pytest.param(ONLY_V4, f"v64:{V6}", Verdict.NONE, id="covered-and-nothing-left-is-definite"),
        pytest.param(ONLY_V4, f"v6:{V6}", None, id="another-family-was-asked-for"),
        pytest.param(BOTH, f"v4:{V4}", None, id="one-family-is-not-both"),
        pytest.param(ONLY_V6, f"v64:{V4},{V6}", AddressList(Family.BOTH, (V6,)), id="ipv6-only"),
        pytest.param(ONLY_V4, "no", Verdict.NONE, id="verdict"),
        pytest.param(ONLY_V4, "df", Verdict.DNS_FAIL, id="failure"),
        pytest.param(ONLY_V4, "junk", None, id="garbage"),
        pytest.param(ONLY_V4, None, None, id="absent"),
        pytest.param(
            ONLY_V4,
            "v4:11.0.0.1,11.0.0.2,11.0.0.3,11.0.0.4",
            AddressList(Family.V4, tuple(f"11.0.0.{n}" for n in range(1, 5))),
            id="not-capped-on-read",
        ),
    ],
)
async def test_cached_host(settings: MxCheckSettings, value: str | None, known: Entry | None) -> None:
    bench = Bench(FakeResolver(), settings)
    if value is not None:
        await bench.memory.set(f"rmx:m:{HOST}", value, 1000)
    assert await bench.names.cached_hosts([HOST], bench.trace()) == ({} if known is None else {HOST: known})
    assert bench.resolver.asked == []


@pytest.mark.parametrize(
    ("value", "entry", "asked"),
    [
        pytest.param(f"a:v4:{V4}", (AddressList(Family.V4, (V4,)), True), [], id="implicit-mx"),
        pytest.param(f"a:v64:{V6}", (Verdict.NONE, True), [], id="covered-and-nothing-left-is-definite"),
        pytest.param(f"a:v6:{V6}", (AddressList(Family.V4, (V4_TOO,)), False), ["A"], id="mx-is-not-asked-for-anew"),
        pytest.param("null", (Verdict.NULL, True), [], id="verdict"),
        pytest.param(
            "mx:B.example:20,A.example:10",
            (MxList((MxHost(20, "B.example"), MxHost(10, "A.example"))), True),
            [],
            id="mx-list-as-it-stands",
        ),
        pytest.param("mx:", (MxList((MxHost(10, HOST),)), False), ["MX"], id="empty-mx-list-is-a-miss"),
        pytest.param("junk", (MxList((MxHost(10, HOST),)), False), ["MX"], id="garbage-is-a-miss"),
    ],
)
async def test_cached_domain(value: str, entry: object, asked: list[str]) -> None:
    bench = Bench(FakeResolver({DOMAIN: mx(HOST)}, {DOMAIN: a(V4_TOO)}))
    await bench.memory.set(f"rmx:d:{DOMAIN}", value, 1000)
    assert await bench.names.domain(DOMAIN, bench.trace()) == entry
    assert [question for question, _ in bench.resolver.asked] == asked


@pytest.mark.parametrize(
    ("mx_answer", "a_answer", "entry", "cached"),
    [
        pytest.param(NXDOMAIN, a(V4), AddressList(Family.V4, (V4,)), f"a:v4:{V4}", id="nxdomain-still-asks-for-a"),
        pytest.param(NODATA, NODATA, Verdict.NONE, "no", id="nothing-at-all"),
        pytest.param(NODATA, SERVFAIL, Verdict.DNS_FAIL, "df", id="addresses-failed"),
        pytest.param(SERVFAIL, a(V4), Verdict.DNS_FAIL, "df", id="failed-mx-has-no-fallback"),
    ],
)
async def test_implicit_mx(mx_answer: DnsAnswer[MxHost], a_answer: DnsAnswer[str], entry: object, cached: str) -> None:
    bench = Bench(FakeResolver({DOMAIN: mx_answer}, {DOMAIN: a_answer}))
    assert await bench.names.domain(DOMAIN, bench.trace()) == (entry, False)
    assert await bench.cached(f"d:{DOMAIN}") == cached


async def test_host_that_somebody_filled_in_meanwhile_is_not_asked_for() -> None:
    bench = Bench(FakeResolver())
    await bench.memory.set(f"rmx:m:{HOST}", f"v4:{V4}", 1000)
    assert await bench.names.host(HOST, bench.trace()) == AddressList(Family.V4, (V4,))
    assert bench.resolver.asked == []


async def test_error_of_one_flight_reaches_all_and_the_next_asks_anew() -> None:
    bench = Bench(FakeResolver({DOMAIN: RuntimeError("defect")}))
    bench.resolver.hold = asyncio.Event()
    tasks = [asyncio.create_task(bench.names.domain(DOMAIN, bench.trace())) for _ in range(3)]
    await soon()
    bench.resolver.hold.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["defect"] * 3
    assert bench.resolver.asked == [("MX", DOMAIN)]


def test_host_that_is_listed_twice_is_asked_for_once_at_its_best_place() -> None:
    listed = (MxHost(10, "a.example"), MxHost(20, "b.example"), MxHost(30, "a.example"))
    assert host_names(MxList(listed)) == ["a.example", "b.example"]


# several workers

SHARED = 3.0


class Workers:
    """Two workers on one cache, each with its own resolver."""

    def __init__(self, settings: MxCheckSettings = ONLY_V4, *, cache_fails: bool = False) -> None:
        self.clock = FakeClock()
        self.memory = MemoryCache(100, self.clock)
        cache = FailingCache(self.memory) if cache_fails else self.memory
        self.resolvers = [FakeResolver({DOMAIN: mx(HOST)}, {HOST: a(V4), DOMAIN: a(V4)}) for _ in range(2)]
        self.one, self.two = (
            Names(settings, RECOMMENDED, CacheLayers(cache, settings, RECOMMENDED), resolver, self.clock, shared=SHARED)
            for resolver in self.resolvers
        )

    def trace(self) -> Trace:
        return Trace(self.clock)

    async def let_go(self) -> None:
        """Let the first worker have its answers, and do what it does with them."""
        assert self.resolvers[0].hold
        self.resolvers[0].hold.set()
        await soon()


async def test_one_worker_asks_and_the_other_takes_what_it_stores() -> None:
    workers = Workers()
    workers.resolvers[0].hold = asyncio.Event()
    first = asyncio.create_task(workers.one.domain(DOMAIN, workers.trace()))
    await soon()
    workers.clock.at(1.0, workers.let_go)
    expected = MxList((MxHost(10, HOST),))
    assert await workers.two.domain(DOMAIN, workers.trace()) == (expected, True)
    assert await first == (expected, False)
    assert await workers.one.host(HOST, workers.trace()) == await workers.two.host(HOST, workers.trace())
    assert workers.resolvers[0].asked == [("MX", DOMAIN), ("A", HOST)]
    assert workers.resolvers[1].asked == []


async def test_a_worker_that_stores_nothing_is_waited_for_as_long_as_a_question_may_take() -> None:
    workers = Workers()
    for layer, name in (("d", DOMAIN), ("m", HOST)):
        await workers.memory.set(f"rmx:r:{layer}:{name}", "l", 60)
        start = workers.clock.now
        await (workers.one.domain if layer == "d" else workers.one.host)(name, workers.trace())
        assert SHARED <= workers.clock.now - start < SHARED + LONGEST_POLL
    assert workers.resolvers[0].asked == [("MX", DOMAIN), ("A", HOST)]


async def test_a_cache_that_fails_keeps_nobody_from_asking() -> None:
    workers = Workers(cache_fails=True)
    await workers.one.domain(DOMAIN, workers.trace())
    await workers.two.domain(DOMAIN, workers.trace())
    assert [resolver.asked for resolver in workers.resolvers] == [[("MX", DOMAIN)]] * 2
    assert not workers.clock.sleeps


async def test_what_is_not_cached_cannot_be_shared() -> None:
    workers = Workers(replace(ONLY_V4, expire_dns=0))
    await workers.one.domain(DOMAIN, workers.trace())
    await workers.two.domain(DOMAIN, workers.trace())
    assert [resolver.asked for resolver in workers.resolvers] == [[("MX", DOMAIN)]] * 2
    assert workers.memory.snapshot() == {}


# What the improvements add


@pytest.mark.parametrize(
    ("settings", "a_answer", "aaaa_answer", "entry", "value"),
    [
        pytest.param(ONLY_V4, NODATA, a(V6), Verdict.UNAVAILABLE, f"v64:{V6}", id="only-the-other-one"),
        pytest.param(ONLY_V6, a(V4), NODATA, Verdict.UNAVAILABLE, f"v64:{V4}", id="the-other-way-round"),
        pytest.param(ONLY_V4, NODATA, NODATA, Verdict.NONE, "no", id="neither"),
        pytest.param(ONLY_V4, NODATA, SERVFAIL, Verdict.DNS_FAIL, "df", id="the-other-one-fails"),
        pytest.param(BOTH, SERVFAIL, NODATA, Verdict.DNS_FAIL, "df", id="the-one-that-fails-may-be-the-one"),
        pytest.param(BOTH, SERVFAIL, a(V6), AddressList(Family.BOTH, (V6,)), f"v64:{V6}", id="one-is-enough"),
    ],
)
async def test_name_of_another_family_is_no_missing_one(
    settings: MxCheckSettings, a_answer: DnsAnswer[str], aaaa_answer: DnsAnswer[str], entry: Entry, value: str
) -> None:
    """Whoever reads the entry later, the reference too, finds what was asked for and found."""
    bench = Bench(FakeResolver(a={HOST: a_answer}, aaaa={HOST: aaaa_answer}), settings, RECOMMENDED)
    assert await bench.names.host(HOST, bench.trace()) == entry
    assert await bench.cached(f"m:{HOST}") == value
    assert await bench.names.host(HOST, bench.trace()) == entry


async def test_other_family_is_not_asked_for_where_the_name_does_not_exist() -> None:
    bench = Bench(FakeResolver(aaaa={HOST: a(V6)}), ONLY_V4, RECOMMENDED)
    assert await bench.names.host(HOST, bench.trace()) is Verdict.NONE
    assert bench.resolver.asked == [("A", HOST)]


async def test_domain_of_another_family_is_no_missing_one() -> None:
    resolver = FakeResolver({DOMAIN: NODATA}, {DOMAIN: NODATA}, {DOMAIN: a(V6)})
    bench = Bench(resolver, ONLY_V4, RECOMMENDED)
    assert await bench.names.domain(DOMAIN, bench.trace()) == (Verdict.UNAVAILABLE, False)
    assert await bench.names.domain(DOMAIN, bench.trace()) == (Verdict.UNAVAILABLE, True)


async def test_more_hosts_and_addresses_are_kept() -> None:
    many = [f"11.0.0.{number}" for number in range(1, 21)]
    hosts = [f"mx{number}.example" for number in range(1, 21)]
    bench = Bench(FakeResolver({DOMAIN: mx(*hosts)}, {HOST: a(*many)}), ONLY_V4, RECOMMENDED)
    assert await bench.names.host(HOST, bench.trace()) == AddressList(Family.V4, tuple(many[:16]))
    entry, _ = await bench.names.domain(DOMAIN, bench.trace())
    assert isinstance(entry, MxList)
    assert host_names(entry) == hosts[:16]


async def test_host_named_by_an_address_is_that_address() -> None:
    reference = Bench(FakeResolver())
    assert await reference.names.host(V4, reference.trace()) is Verdict.NONE
    bench = Bench(FakeResolver(), ONLY_V4, RECOMMENDED)
    assert await bench.names.host(V4, bench.trace()) == AddressList(Family.BOTH, (V4,))
    assert bench.resolver.asked == []
    ipv6 = Bench(FakeResolver(), ONLY_V6, RECOMMENDED)
    assert await ipv6.names.host(V4, ipv6.trace()) is Verdict.UNAVAILABLE


async def test_mapped_address_is_of_no_other_family() -> None:
    bench = Bench(FakeResolver(a={HOST: NODATA}, aaaa={HOST: a(f"::ffff:{V4}")}), ONLY_V4, RECOMMENDED)
    assert await bench.names.host(HOST, bench.trace()) is Verdict.NONE


async def test_hosts_with_an_underscore_are_used() -> None:
    answer = mx("_dc-mx.1.example")
    reference = Bench(FakeResolver({DOMAIN: answer}))
    assert (await reference.names.domain(DOMAIN, reference.trace()))[0] is Verdict.BROKEN
    bench = Bench(FakeResolver({DOMAIN: answer}), ONLY_V4, RECOMMENDED)
    assert (await bench.names.domain(DOMAIN, bench.trace()))[0] == MxList(answer.records)
