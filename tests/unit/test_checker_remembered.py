"""Messages about domains that are known already: what they cost, and when they are looked up anew after all."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from mxcheck_service.background import Background
from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.checker import Adapters, Checker, Message, Report
from mxcheck_service.core.candidates import Envelope
from mxcheck_service.core.maplist import GlobMap, MapHit, Maps
from mxcheck_service.core.model import MxHost, Verdict
from mxcheck_service.core.settings import RECOMMENDED, MxCheckSettings
from mxcheck_service.names import Names
from mxcheck_service.ports import Found
from mxcheck_service.trace import Trace
from tests.unit.fakes import FakeClock, FakeDialer, FakeResolver, a, mx, soon

SETTINGS = MxCheckSettings(reject_null_mx=True, check_authorized=True)
NULL_MX = Found((MxHost(0, ""),))
AT_ONCE = 0.01
"""Seconds; a deadline that passes while something is held."""


class CountingCache(MemoryCache):
    """Lists the keys it is asked for; `hold` keeps every reader waiting."""

    def __init__(self, max_entries: int, clock: FakeClock) -> None:
        super().__init__(max_entries, clock)
        self.asked: list[str] = []
        self.hold: asyncio.Event | None = None

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        self.asked += keys
        if self.hold:
            await self.hold.wait()
        return await super().get_many(keys)


class Bench:
    """A checker that remembers `remember` lookups; one.example is good, null.example Null MX, no.example nothing."""

    def __init__(self, *, remember: int = 100, settings: MxCheckSettings = SETTINGS, maps: Maps | None = None) -> None:
        self.clock = FakeClock()
        self.cache = CountingCache(10_000, self.clock)
        self.resolver = FakeResolver(
            {f"{name}.example": mx("mx.example") for name in ("one", "two", "three")} | {"null.example": NULL_MX},
            {"mx.example": a("11.0.0.1", "11.0.0.2")},
        )
        self.dialer = FakeDialer()
        self.background = Background()
        self.checker = Checker(
            settings,
            RECOMMENDED,
            maps or Maps(),
            Adapters(self.cache, self.resolver, self.dialer, self.clock, self.background),
            deadline=5.0,
            max_addresses=100,
            remember=remember,
        )

    async def check(self, *domains: str, explain: bool = False, deadline: float | None = None) -> Report:
        envelope = Envelope(mime_from=[f"jo@{domain}" for domain in domains])
        return await self.checker.check(Message(envelope, explain=explain, deadline=deadline))

    async def asked(self, *domains: str) -> bool:
        """Check a message; tell whether that asked anybody anything."""
        before = len(self.cache.asked), len(self.resolver.asked), len(self.dialer.dialled)
        await self.check(*domains)
        return before != (len(self.cache.asked), len(self.resolver.asked), len(self.dialer.dialled))

    async def warm(self, *domains: str) -> None:
        """Look these domains up until they are remembered: once for the outside, once for what that left."""
        for domain in domains:
            await self.check(domain)
            await self.check(domain)


def told(report: Report) -> Report:
    """Return a report whose domains can be compared, without their steps, of which there are none."""
    assert not any(domain.steps for domain in report.domains)
    domains: Any = [(domain.result, domain.action, domain.hits, domain.seconds) for domain in report.domains]
    return replace(report, domains=domains)


async def test_a_message_of_known_domains_asks_nobody() -> None:
    bench = Bench()
    asked = [await bench.asked("one.example", "null.example", "no.example") for _ in range(4)]
    assert asked == [True, True, False, False]


async def test_what_is_remembered_is_answered_as_out_of_the_cache() -> None:
    bench = Bench()
    first, second, third = [await bench.check("one.example", "null.example", "no.example") for _ in range(3)]
    assert [domain.result.lookup.cached for domain in first.domains] == [False] * 3
    assert [domain.result.lookup.cached for domain in second.domains] == [True] * 3
    assert told(third) == told(second)


@pytest.mark.parametrize(("domains", "kept"), [(1, True), (3, True), (4, False)])
async def test_the_report_on_few_remembered_domains_is_given_again_until_one_changes(domains: int, kept: bool) -> None:
    bench = Bench()
    names = ["one.example", "two.example", "three.example", "no.example"][:domains]
    await bench.warm(*names)
    first, second = [await bench.check(*names) for _ in range(2)]
    assert (second is first) is kept
    await bench.cache.delete("rmx:d:one.example")
    await bench.warm("one.example")
    third = await bench.check(*names)
    assert third is not first
    assert told(third) == told(first)


async def test_a_retired_checker_keeps_no_report() -> None:
    bench = Bench()
    await bench.warm("one.example")
    first = await bench.check("one.example")
    await bench.checker.retire()
    await bench.warm("one.example")
    assert await bench.check("one.example") is not first


async def test_explaining_makes_the_lookup_anew() -> None:
    bench = Bench()
    await bench.warm("one.example")
    bench.cache.asked.clear()
    report = await bench.check("one.example", explain=True)
    assert [step.name for step in report.domains[0].steps] == [
        "cache",
        "cache",
        "ip_class",
        "cache",
        "cache",
        "verdict",
    ]
    assert bench.cache.asked[0] == "rmx:d:one.example"
    assert not await bench.asked("one.example")
    assert (await bench.check("one.example")).domains[0].steps == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("rmx:d:one.example", "null", id="domain"),
        pytest.param("rmx:m:mx.example", "v4:11.0.0.9", id="host"),
        pytest.param("rmx:i:11.0.0.1", "err:554", id="address"),
        pytest.param("rmx:i:11.0.0.2", "gd", id="address-that-was-absent"),
    ],
)
async def test_an_entry_that_has_changed_is_looked_at_anew(key: str, value: str) -> None:
    bench = Bench()
    await bench.warm("one.example")
    await bench.cache.set(key, value, 1000)
    assert await bench.asked("one.example")
    await bench.check("one.example")
    assert not await bench.asked("one.example")


async def test_a_changed_verdict_is_the_answer_at_once() -> None:
    bench = Bench()
    await bench.warm("one.example")
    await bench.cache.set("rmx:i:11.0.0.1", "err:554", 1000)
    (domain,) = (await bench.check("one.example")).domains
    assert str(domain.result.lookup.outcome) == "err:554"


async def test_an_entry_that_ends_is_asked_for_anew() -> None:
    bench = Bench()
    await bench.warm("no.example")
    questions = len(bench.resolver.asked)
    bench.clock.now += SETTINGS.expire_dns
    await bench.check("no.example")
    assert len(bench.resolver.asked) == 2 * questions


async def test_no_more_than_the_given_number_is_remembered() -> None:
    bench = Bench(remember=2)
    await bench.warm("one.example", "two.example", "three.example")
    assert [await bench.asked(f"{name}.example") for name in ("two", "three", "one")] == [False, False, True]


async def test_where_nothing_is_remembered_the_cache_is_asked() -> None:
    bench = Bench(remember=0)
    assert [await bench.asked("one.example") for _ in range(3)] == [True] * 3


async def test_a_lookup_that_the_deadline_left_behind_is_not_remembered() -> None:
    bench = Bench()
    bench.dialer.hold = asyncio.Event()
    report = await bench.check("one.example", deadline=AT_ONCE)
    assert report.partial
    bench.dialer.hold.set()
    await soon()
    assert not (await bench.check("one.example")).partial


async def test_an_answer_that_another_lookup_gave_is_not_remembered_for_it() -> None:
    """Only who read the entries knows which they were."""
    bench = Bench()
    await bench.check("no.example")
    bench.cache.hold = asyncio.Event()
    names = Names(SETTINGS, RECOMMENDED, CacheLayers(bench.cache, SETTINGS, RECOMMENDED), bench.resolver, bench.clock)
    traces = [Trace(bench.clock) for _ in range(3)]
    lookups = [asyncio.create_task(names.domain("no.example", trace)) for trace in traces]
    await soon()
    bench.cache.hold.set()
    assert await asyncio.gather(*lookups) == [(Verdict.NONE, True)] * 3
    assert [trace.repeatable for trace in traces] == [True, False, False]
    assert [trace.steps[0].name for trace in traces] == ["cache", "shared", "shared"]


class ExplodesOnce(GlobMap):
    """A map with a defect that shows once."""

    left = 1

    def get(self, key: str) -> MapHit | None:
        if self.left:
            self.left -= 1
            raise RuntimeError("defect")
        return super().get(key)


async def test_a_crash_is_not_remembered() -> None:
    bench = Bench(maps=Maps(exclude_domains=ExplodesOnce()))
    first, second = [await bench.check("one.example") for _ in range(2)]
    assert [list(report.symbols) for report in (first, second)] == [
        ["MIME_FROM_MX_PROBE_UNAVAILABLE"],
        ["MIME_FROM_MX_GOOD"],
    ]


async def test_known_and_unknown_domains_of_a_message_keep_their_order() -> None:
    bench = Bench()
    await bench.warm("two.example", "null.example")
    bench.cache.asked.clear()
    order = ["one.example", "two.example", "no.example", "null.example", "three.example"]
    for _ in range(3):
        report = await bench.check(*order)
        assert [domain.result.candidate.domain for domain in report.domains] == order
        assert [domain.result.lookup.outcome.verdict.value for domain in report.domains] == [
            "gd", "gd", "no", "null", "gd",
        ]  # fmt: skip
    assert {key for key in bench.cache.asked if ":d:" in key} == {
        f"rmx:d:{name}.example" for name in ("one", "no", "three")
    }


async def test_each_source_and_each_client_has_effects_of_its_own() -> None:
    """Whatever came before: a checker that remembers answers as one that does not."""
    settings = replace(SETTINGS, check_local=True)
    remembering, forgetting = Bench(settings=settings), Bench(settings=settings, remember=0)
    domain = "null.example"
    envelopes = [Envelope(f"jo@{domain}"), Envelope(mime_from=[f"jo@{domain}"]), Envelope(reply_to=[f"jo@{domain}"])]
    for bench in (remembering, forgetting):
        await bench.warm(domain)
    remembering.cache.asked.clear()
    answers = set()
    for envelope, authenticated, ip in list(product(envelopes, (False, True), (None, "10.0.0.1"))) * 2:
        message = Message(envelope, ip, authenticated)
        report = await remembering.checker.check(message)
        assert told(report) == told(await forgetting.checker.check(message))
        answers.add((tuple(report.symbols), report.action))
    assert len(answers) > 3
    assert remembering.cache.asked == []
