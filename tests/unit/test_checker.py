"""One message: gates, domains side by side, one deadline, and what goes on in the background."""

import asyncio
import logging
from dataclasses import replace

import pytest

from mxcheck_service.background import Background
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.checker import Adapters, Checker, Message, Report
from mxcheck_service.core.candidates import Envelope, TooManyAddresses
from mxcheck_service.core.maplist import GlobMap, Maps, parse_map
from mxcheck_service.core.model import Action, MxHost
from mxcheck_service.core.policy import SkipReason
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, Improvements, MxCheckSettings
from mxcheck_service.ports import CacheBackend, ConnectProblem, Found
from tests.unit.fakes import FailingCache, FakeClock, FakeDialer, FakeResolver, a, mx, soon

A, B = "11.0.0.1", "11.0.0.2"
AT_ONCE = 0.01
"""Seconds; a deadline that passes while something is held."""
SETTINGS = MxCheckSettings()
NULL_MX = Found((MxHost(0, ""),))


class Bench:
    """A checker over fakes, with everything in reach."""

    def __init__(
        self,
        resolver: FakeResolver | None = None,
        dialer: FakeDialer | None = None,
        *,
        settings: MxCheckSettings = SETTINGS,
        improvements: Improvements = RECOMMENDED,
        maps: Maps | None = None,
        deadline: float = 5.0,
        failing: tuple[str, ...] | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.memory = MemoryCache(10_000, self.clock)
        self.resolver = resolver or FakeResolver({"one.example": mx("mx.one.example")}, {"mx.one.example": a(A, B)})
        self.dialer = dialer or FakeDialer()
        self.background = Background()
        cache: CacheBackend = self.memory if failing is None else FailingCache(self.memory, failing)
        self.checker = Checker(
            settings,
            improvements,
            maps or Maps(),
            Adapters(cache, self.resolver, self.dialer, self.clock, self.background),
            deadline=deadline,
            max_addresses=100,
            remember=100,
        )

    async def check(self, sender: str = "jo@one.example", deadline: float | None = None) -> Report:
        return await self.checker.check(Message(Envelope(sender), deadline=deadline))

    def cached(self) -> dict[str, str]:
        return {key.removeprefix("rmx:"): value for key, (value, _) in self.memory.snapshot().items()}


def verdicts(report: Report) -> list[tuple[str, str]]:
    return [
        (domain.result.candidate.domain, f"{domain.result.lookup.outcome}{'~' if domain.result.partial else ''}")
        for domain in report.domains
    ]


async def test_good_sender() -> None:
    bench = Bench()
    report = await bench.check()
    assert (report.skip_reason, report.action, report.smtp_message, report.partial) == (None, "no action", None, False)
    assert {name: hit.options for name, hit in report.symbols.items()} == {"MX_GOOD": ("mx.one.example",)}
    assert report.score == pytest.approx(-0.1)
    assert verdicts(report) == [("one.example", "gd")]
    assert bench.dialer.dialled == [(A, 25, 2.0)]


@pytest.mark.parametrize(
    ("message", "settings", "reason"),
    [
        pytest.param(Message(authenticated=True, envelope=Envelope()), SETTINGS, SkipReason.AUTHENTICATED, id="user"),
        pytest.param(Message(Envelope(), client_ip="10.0.0.1"), SETTINGS, SkipReason.LOCAL, id="local"),
        pytest.param(Message(Envelope(), client_ip="::1"), SETTINGS, SkipReason.LOCAL, id="loopback"),
        pytest.param(Message(Envelope(), "10.0.0.1", True), SETTINGS, SkipReason.AUTHENTICATED, id="both"),
        pytest.param(Message(Envelope(), client_ip="100.64.0.1"), SETTINGS, None, id="carrier-grade-nat-is-not-local"),
        pytest.param(Message(Envelope()), SETTINGS, None, id="client-unknown"),
        pytest.param(Message(Envelope(), "10.0.0.1"), replace(SETTINGS, check_local=True), None, id="opted-in"),
    ],
)
async def test_message_that_is_not_checked(
    message: Message, settings: MxCheckSettings, reason: SkipReason | None
) -> None:
    bench = Bench(settings=settings)
    report = await bench.checker.check(message._replace(envelope=Envelope("jo@one.example")))
    assert report.skip_reason is reason
    assert bool(report.domains) is (reason is None)
    assert bool(bench.resolver.asked) is (reason is None)


async def test_message_without_a_domain_has_nothing_against_it() -> None:
    report = await Bench().checker.check(Message(Envelope(helo="[192.0.2.1]")))
    assert (report.symbols, report.domains, report.action, report.score) == ({}, (), Action.NO_ACTION, 0)


@pytest.mark.parametrize(
    ("improvements", "expected"),
    [
        pytest.param(RECOMMENDED, [], id="skipped"),
        pytest.param(REFERENCE, [("192.0.2.1", "no")], id="looked-up-as-a-name"),
    ],
)
async def test_address_literal(improvements: Improvements, expected: list[tuple[str, str]]) -> None:
    """Improvement skip_address_literals."""
    assert verdicts(await Bench(improvements=improvements).check("jo@[192.0.2.1]")) == expected


async def test_too_many_addresses_are_told_before_anything_is_looked_up() -> None:
    bench = Bench()
    with pytest.raises(TooManyAddresses):
        await bench.checker.check(Message(Envelope("a@one.example", mime_from=["a@b.example"] * 101)))
    assert bench.resolver.asked == []


async def test_domains_of_one_message_each_have_their_verdict_and_share_the_action() -> None:
    resolver = FakeResolver({"null.example": NULL_MX, "one.example": mx("mx.one.example")}, {"mx.one.example": a(A)})
    settings = replace(SETTINGS, reject_null_mx=True)
    maps = Maps(exclude_domains=GlobMap.of(parse_map("white.example", "map")))
    bench = Bench(resolver, settings=settings, maps=maps)
    report = await bench.checker.check(
        Message(Envelope("jo@one.example", ["jo@none.example", "jo@white.example"], ["jo@null.example"]))
    )
    assert verdicts(report) == [
        ("one.example", "gd"),
        ("null.example", "null"),
        ("none.example", "no"),
        ("white.example", "white"),
    ]
    assert list(report.symbols) == ["MX_GOOD", "REPLYTO_MX_NULL", "MIME_FROM_MX_NONE", "MIME_FROM_MX_WHITE"]
    assert (report.action, report.smtp_message) == (Action.REJECT, "Domain published RFC 7505 Null MX")
    assert report.score == pytest.approx(-0.1 + 6 + 4 - 0.1)


async def test_greylisting_has_no_smtp_message() -> None:
    report = await Bench(FakeResolver({"one.example": NULL_MX})).check()
    assert (report.action, report.smtp_message) == (Action.GREYLIST, None)


async def test_own_network_fault_is_no_verdict_about_the_sender() -> None:
    """Improvement blame_local_errors: 0.0, never cached, never greylisted, and the lock is free again."""
    bench = Bench(dialer=FakeDialer({A: ConnectProblem.LOCAL, B: ConnectProblem.LOCAL}))
    report = await bench.check()
    assert {name: hit.options for name, hit in report.symbols.items()} == {"MX_PROBE_UNAVAILABLE": ("mx.one.example",)}
    assert (report.score, report.action) == (0.0, Action.NO_ACTION)
    assert not [key for key in bench.cached() if key.startswith("i:")]


async def test_own_network_fault_is_the_targets_when_blamed() -> None:
    bench = Bench(dialer=FakeDialer({A: ConnectProblem.LOCAL}), improvements=REFERENCE)
    report = await bench.check()
    assert (list(report.symbols), report.action) == (["MX_TIMEOUT_CONNECT"], Action.GREYLIST)
    assert bench.cached()[f"i:{A}"] == "tc"


# the deadline


async def test_answer_comes_at_the_deadline_and_the_verdict_lands_in_the_cache_later() -> None:
    bench = Bench()
    bench.dialer.hold = asyncio.Event()
    report = await bench.check(deadline=AT_ONCE)
    assert report.partial
    assert verdicts(report) == [("one.example", "inflight~")]
    assert (list(report.symbols), report.action, report.score) == (["MX_INFLIGHT"], Action.NO_ACTION, 0.0)
    assert bench.cached()[f"i:{A}"] == "l"
    assert len(bench.background) == 2, "the lookup, and its attempt"
    bench.dialer.hold.set()
    await soon()
    assert bench.cached()[f"i:{A}"] == "gd"
    assert len(bench.background) == 0
    again = await bench.check()
    assert (verdicts(again), again.partial) == ([("one.example", "gd")], False)
    assert again.domains[0].result.lookup.cached
    assert len(bench.dialer.dialled) == 1


async def test_domains_that_are_done_by_the_deadline_have_their_verdict() -> None:
    bench = Bench()
    bench.dialer.hold = asyncio.Event()
    report = await bench.checker.check(
        Message(Envelope("jo@one.example", mime_from=["jo@none.example"]), deadline=AT_ONCE)
    )
    assert verdicts(report) == [("one.example", "inflight~"), ("none.example", "no")]
    assert report.action is Action.GREYLIST
    bench.dialer.hold.set()
    await soon()


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        pytest.param(AT_ONCE, None, id="none-asked-for"),
        pytest.param(AT_ONCE, 60.0, id="longer-one-asked-for"),
        pytest.param(60.0, AT_ONCE, id="shorter-one-asked-for"),
    ],
)
async def test_shorter_deadline_holds(own: float, asked: float | None) -> None:
    bench = Bench(deadline=own)
    bench.resolver.hold = asyncio.Event()
    async with asyncio.timeout(10):
        report = await bench.check(deadline=asked)
    assert report.partial
    bench.resolver.hold.set()
    await soon()


async def test_background_work_is_drained_at_shutdown() -> None:
    bench = Bench()
    bench.dialer.hold = asyncio.Event()
    await bench.check(deadline=AT_ONCE)
    drain = asyncio.create_task(bench.background.drain(60))
    await soon()
    assert not drain.done()
    bench.dialer.hold.set()
    assert await drain == 0
    assert bench.cached()[f"i:{A}"] == "gd"


async def test_background_work_that_does_not_end_is_cancelled_at_shutdown() -> None:
    """However many checks share it: none of them begins anew."""
    bench = Bench()
    bench.dialer.hold = asyncio.Event()
    reports = await asyncio.gather(*(bench.check(deadline=AT_ONCE) for _ in range(5)))
    assert all(report.partial for report in reports)
    drain = asyncio.create_task(bench.background.drain(0))
    await soon()
    bench.dialer.hold.set()
    assert await drain == 5 + 5, "lookups, each with its attempt"
    assert len(bench.dialer.dialled) == 1


async def test_check_that_is_cancelled_leaves_its_probe_to_the_cache() -> None:
    """A client that hangs up costs nobody the verdict."""
    bench = Bench()
    bench.dialer.hold = asyncio.Event()
    task = asyncio.create_task(bench.check())
    await soon()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.dialer.hold.set()
    await soon()
    assert bench.cached()[f"i:{A}"] == "gd"


# crashes


async def test_crash_in_one_lookup_is_logged_and_spares_its_siblings(caplog: pytest.LogCaptureFixture) -> None:
    resolver = FakeResolver(
        {"one.example": mx("mx.one.example"), "crash.example": RuntimeError("defect")}, {"mx.one.example": a(A)}
    )
    bench = Bench(resolver)
    with caplog.at_level(logging.ERROR):
        report = await bench.checker.check(Message(Envelope("jo@crash.example", ["jo@one.example"]), explain=True))
    assert verdicts(report) == [("crash.example", "unavailable"), ("one.example", "gd")]
    assert {name: hit.options for name, hit in report.symbols.items()} == {
        "MX_PROBE_UNAVAILABLE": ("crash.example",),
        "MIME_FROM_MX_GOOD": ("mx.one.example",),
    }
    (record,) = caplog.records
    assert "crash.example" in record.getMessage()
    assert record.exc_info is not None
    assert "crash" in [step.name for step in report.domains[0].steps]
    assert not [key for key in bench.cached() if "crash" in key]


async def test_lookup_that_crashed_is_tried_anew_the_next_time() -> None:
    resolver = FakeResolver({"one.example": RuntimeError("defect")})
    bench = Bench(resolver)
    for _ in range(2):
        await bench.check()
    assert resolver.asked == [("MX", "one.example")] * 2


# many at once


# Without a stagger: a thousand checks may take a slow machine longer than that.
@pytest.mark.parametrize(
    "improvements", [replace(RECOMMENDED, attempt_stagger=None), replace(REFERENCE, wait_for_inflight=True)]
)
async def test_thousand_checks_of_one_cold_domain_cost_one_question_of_each_kind_and_one_probe(
    improvements: Improvements,
) -> None:
    bench = Bench(improvements=improvements)
    reports = await asyncio.gather(*(bench.check(f"user{number}@one.example") for number in range(1000)))
    assert {tuple(verdicts(report)) for report in reports} == {(("one.example", "gd"),)}
    assert bench.resolver.asked == [("MX", "one.example"), ("A", "mx.one.example")]
    assert [ip for ip, _, _ in bench.dialer.dialled] == [A]
    assert len(bench.background) == 0


async def test_domains_that_share_a_host_share_its_probe() -> None:
    resolver = FakeResolver({f"d{n}.example": mx("mx.example") for n in range(50)}, {"mx.example": a(A)})
    bench = Bench(resolver)
    reports = await asyncio.gather(*(bench.check(f"jo@d{n}.example") for n in range(50)))
    assert {verdicts(report)[0][1] for report in reports} == {"gd"}
    assert resolver.asked.count(("A", "mx.example")) == 1
    assert len(bench.dialer.dialled) == 1
