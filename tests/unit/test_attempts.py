"""The hosts of a domain to a verdict: in which order they are tried, when the next one begins, what is believed."""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from mxcheck_service.core.model import ClassEvidence
from mxcheck_service.core.settings import RECOMMENDED, Improvements
from mxcheck_service.ports import DnsFailure
from tests.unit.fakes import (
    FAULT,
    GOOD,
    NO_CONNECTION,
    NOT_SMTP,
    NXDOMAIN,
    REFUSED,
    SILENT,
    TURNED_AWAY,
    FakeProber,
    FakeResolver,
    Result,
    a,
    mx,
    soon,
)
from tests.unit.test_pipeline import A1, A2, B1, B2, C1, DOMAIN, LOCAL, MX1, MX2, MX3, SETTINGS, Bench, three_hosts

SERVFAIL = DnsFailure("SERVFAIL")
PATIENT = replace(RECOMMENDED, attempt_stagger=None)
HASTY = replace(RECOMMENDED, attempt_stagger=0.001)
BELIEVING = replace(PATIENT, benefit_of_doubt=False)


def bench_with(results: Mapping[str, Result | Sequence[Result]], improvements: Improvements = PATIENT) -> Bench:
    return Bench(three_hosts(), FakeProber(results), improvements=improvements)


@pytest.mark.parametrize(
    ("attempts", "failing", "verdict", "probed"),
    [
        pytest.param(3, {}, ("gd", MX1), [A1], id="first-answers"),
        pytest.param(3, {A1: REFUSED}, ("gd", MX2), [A1, B1], id="next-host"),
        pytest.param(3, {A1: REFUSED, B1: NO_CONNECTION}, ("gd", MX3), [A1, B1, C1], id="last-host"),
        pytest.param(
            4, {A1: REFUSED, B1: REFUSED, C1: REFUSED}, ("gd", MX1), [A1, B1, C1, A2], id="then-second-addresses"
        ),
        pytest.param(
            5,
            {A1: REFUSED, A2: REFUSED, B1: REFUSED, B2: TURNED_AWAY, C1: SILENT},
            ("err:554", MX2),
            [A1, B1, C1, A2, B2],
            id="5xx-takes-mail",
        ),
        pytest.param(3, {A1: NOT_SMTP, B1: SILENT}, ("gd", MX3), [A1, B1, C1], id="something-else-than-smtp-fails"),
        pytest.param(3, {A1: FAULT}, ("gd", MX2), [A1, B1], id="our-own-fault"),
        pytest.param(
            9,
            {A1: NO_CONNECTION, A2: REFUSED, B1: REFUSED, B2: REFUSED, C1: SILENT},
            ("tc", MX1),
            [A1, B1, C1, A2, B2],
            id="best-hosts-failure-when-all-fail",
        ),
        pytest.param(1, {A1: REFUSED}, ("rf", MX1), [A1], id="one-attempt-is-the-last-word"),
        pytest.param(1, {A1: FAULT}, ("unavailable", MX1), [A1], id="of-whatever-kind"),
    ],
)
async def test_attempts_go_over_hosts_and_then_over_their_further_addresses(
    attempts: int, failing: Mapping[str, Result], verdict: tuple[str, str], probed: list[str]
) -> None:
    bench = bench_with(failing, replace(PATIENT, probe_attempts=attempts))
    assert await bench.verdict() == verdict
    assert bench.prober.probed == probed


@pytest.mark.parametrize(
    ("known", "failing", "verdict", "probed"),
    [
        pytest.param({B2: "gd"}, [A1], ("gd", MX2), [A1], id="further-address-of-a-further-host-is-known"),
        pytest.param({A2: "gd"}, [], ("gd", MX1), [], id="further-address-is-known"),
        pytest.param({A1: "rf"}, [], ("gd", MX1), [A2], id="failure-is-known"),
        pytest.param({A1: "rf", A2: "inv"}, [], ("gd", MX2), [B1], id="failures-are-known"),
        pytest.param({A1: "rf", A2: "rf", B1: "rf"}, [B2, C1], ("rf", MX1), [B2, C1], id="none-is-left"),
    ],
)
async def test_what_is_known_costs_no_attempt(
    known: dict[str, str], failing: list[str], verdict: tuple[str, str], probed: list[str]
) -> None:
    bench = bench_with(dict.fromkeys(failing, REFUSED), replace(PATIENT, probe_attempts=2))
    await bench.set(**{f"i:{ip}": value for ip, value in known.items()})
    assert await bench.verdict() == verdict
    assert bench.prober.probed == probed


async def test_address_of_two_hosts_is_tried_once() -> None:
    resolver = FakeResolver({DOMAIN: mx(MX1, MX2, MX3)}, {MX1: a(A1, A1), MX2: a(A1), MX3: a(C1)})
    bench = Bench(resolver, FakeProber({A1: REFUSED}), improvements=replace(PATIENT, probe_attempts=2))
    assert await bench.verdict() == ("gd", MX3)
    assert bench.prober.probed == [A1, C1]


async def test_host_whose_addresses_are_known_is_looked_at_when_no_attempt_is_left() -> None:
    bench = bench_with({A1: REFUSED}, replace(PATIENT, probe_attempts=2))
    await bench.set(**{f"m:{MX3}": f"v4:{C1}", f"i:{C1}": "gd"})
    assert await bench.verdict() == ("gd", MX3)
    assert bench.prober.probed == []


# try_again


@pytest.mark.parametrize(
    ("results", "improvements", "verdict", "probed"),
    [
        pytest.param({A1: [NOT_SMTP, GOOD]}, PATIENT, "gd", [A1, A1], id="good-the-second-time"),
        pytest.param({A1: NOT_SMTP}, PATIENT, "inv", [A1, A1], id="no-better-the-second-time"),
        pytest.param({A1: [NOT_SMTP, REFUSED]}, PATIENT, "inv", [A1, A1], id="first-word-stands"),
        pytest.param({A1: REFUSED}, PATIENT, "rf", [A1], id="refused-is-refused"),
        pytest.param({A1: NOT_SMTP}, replace(PATIENT, probe_attempts=1), "inv", [A1], id="no-attempt-left"),
        pytest.param({A1: NOT_SMTP}, replace(PATIENT, try_again=False), "inv", [A1], id="off"),
    ],
)
async def test_host_that_hung_up_is_tried_a_second_time(
    results: Mapping[str, Result | Sequence[Result]], improvements: Improvements, verdict: str, probed: list[str]
) -> None:
    bench = Bench(FakeResolver({DOMAIN: mx(MX1)}, {MX1: a(A1)}), FakeProber(results), improvements=improvements)
    assert await bench.verdict() == (verdict, MX1)
    assert bench.prober.probed == probed


async def test_others_are_tried_before_anybody_is_a_second_time() -> None:
    bench = bench_with({A1: NOT_SMTP, B1: REFUSED})
    assert await bench.verdict() == ("gd", MX3)
    assert bench.prober.probed == [A1, B1, C1]


async def test_what_the_cache_says_is_not_tried_again() -> None:
    bench = Bench(FakeResolver({DOMAIN: mx(MX1)}, {MX1: a(A1)}))
    await bench.set(**{f"i:{A1}": "inv"})
    assert await bench.verdict() == ("inv", MX1)
    assert bench.prober.probed == []


async def test_host_that_took_its_time_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxcheck_service.attempts._AT_ONCE", 0.0)
    bench = Bench(FakeResolver({DOMAIN: mx(MX1)}, {MX1: a(A1)}), FakeProber({A1: [NOT_SMTP, GOOD]}))
    assert await bench.verdict() == ("inv", MX1)


# stop_at_loopback


@pytest.mark.parametrize("own", ["127.0.0.1", "127.8.9.10", "::1"])
async def test_host_that_is_everybody_s_own_ends_the_list(own: str) -> None:
    settings = replace(SETTINGS, probe_ipv6=True)
    resolver = FakeResolver({DOMAIN: mx(MX1, MX2, MX3)}, {MX1: a(A1), MX2: a(own, B1), MX3: a(C1)})
    bench = Bench(resolver, FakeProber({A1: REFUSED}), improvements=PATIENT, settings=settings)
    assert await bench.verdict() == ("rf", MX1)
    assert bench.prober.probed == [A1]
    first = FakeResolver({DOMAIN: mx(MX1, MX2)}, {MX1: a(own, A1), MX2: a(B1)})
    lookup = await Bench(first, improvements=PATIENT, settings=settings).lookup()
    assert str(lookup.outcome) == "ip_class_skipped"
    assert lookup.classes == ClassEvidence((own,), (), has_public=False)
    passed = Bench(first, improvements=replace(PATIENT, stop_at_loopback=False), settings=settings)
    assert (await passed.verdict())[0] == "gd"


# attempt_stagger


async def test_next_attempt_begins_while_the_one_before_tells_nothing() -> None:
    bench = bench_with({}, HASTY)
    held = asyncio.Event()

    async def hold_first(ip: str) -> None:
        if ip == A1:
            await held.wait()

    bench.prober.during = hold_first
    assert await bench.verdict() == ("gd", MX2)
    assert bench.prober.probed == [A1, B1]
    held.set()
    await soon()
    assert bench.cached()[f"i:{A1}"][0] == "gd", "an attempt that was overtaken goes on"


async def test_without_a_stagger_the_next_attempt_waits_for_the_end_of_the_one_before() -> None:
    bench = bench_with({A1: NO_CONNECTION})
    bench.prober.hold = asyncio.Event()
    task = asyncio.create_task(bench.verdict())
    await soon()
    assert bench.prober.probed == [A1]
    bench.prober.hold.set()
    assert await task == ("gd", MX2)


async def test_slow_question_does_not_keep_the_next_host_waiting() -> None:
    bench = bench_with({}, HASTY)
    resolver, held = bench.resolver, asyncio.Event()
    answer = resolver.addresses

    async def hold_first(name: str, family: object) -> object:
        if name == MX1:
            await held.wait()
        return await answer(name, family)  # type: ignore[arg-type]

    resolver.addresses = hold_first  # type: ignore[assignment, method-assign]
    assert await bench.verdict() == ("gd", MX2)
    held.set()
    await soon()


def watch_waits(monkeypatch: pytest.MonkeyPatch, seen: Callable[[float | None], object]) -> None:
    """Have every wait for attempts told of, with its time limit, when it begins."""
    wait = asyncio.wait

    async def told(running: set[asyncio.Task[object]], *, timeout: float | None, return_when: str) -> object:
        seen(timeout)
        return await wait(running, timeout=timeout, return_when=return_when)

    monkeypatch.setattr("mxcheck_service.attempts.asyncio.wait", told)


async def test_no_more_than_probe_attempts_are_under_way_and_nobody_is_woken_before_one_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = bench_with({}, HASTY)
    bench.prober.hold = asyncio.Event()
    for_good = asyncio.Event()
    watch_waits(monkeypatch, lambda timeout: for_good.set() if timeout is None else None)
    task = asyncio.create_task(bench.verdict())
    await asyncio.wait_for(for_good.wait(), 10)
    assert bench.prober.probed == [A1, B1, C1]
    bench.prober.hold.set()
    assert (await task)[0] == "gd"


async def test_second_address_of_a_host_that_was_found_late_does_not_wait_for_its_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(FakeResolver({DOMAIN: mx(MX1)}, {MX1: a(A1, A2)}), improvements=HASTY)
    late, held, waits = asyncio.Event(), asyncio.Event(), itertools.count(1)
    answer = bench.resolver.addresses

    async def answer_late(name: str, family: object) -> object:
        await late.wait()
        return await answer(name, family)  # type: ignore[arg-type]

    async def hold_first(ip: str) -> None:
        if ip == A1:
            await held.wait()

    bench.resolver.addresses = answer_late  # type: ignore[assignment, method-assign]
    bench.prober.during = hold_first
    watch_waits(monkeypatch, lambda _: late.set() if next(waits) == 2 else None)
    assert await asyncio.wait_for(bench.verdict(), 10) == ("gd", MX1)
    assert bench.prober.probed == [A1, A2]
    held.set()
    await soon()


async def test_crash_of_an_attempt_is_the_lookups() -> None:
    bench = bench_with({A1: RuntimeError("defect")})
    with pytest.raises(RuntimeError, match="defect"):
        await bench.verdict()


# benefit_of_doubt


@pytest.mark.parametrize(
    ("results", "believed", "doubted"),
    [
        pytest.param({A1: REFUSED, B1: REFUSED, C1: REFUSED}, ("rf", MX1), ("rf", MX1), id="all-fail"),
        pytest.param({A1: REFUSED, B1: FAULT, C1: SILENT}, ("rf", MX1), ("unavailable", MX2), id="own-fault"),
        pytest.param({A1: REFUSED, B1: GOOD}, ("gd", MX2), ("gd", MX2), id="one-takes-mail"),
    ],
)
async def test_failure_is_believed_when_nothing_else_can_be(
    results: Mapping[str, Result], believed: tuple[str, str], doubted: tuple[str, str]
) -> None:
    resolver = FakeResolver({DOMAIN: mx(MX1, MX2, MX3)}, {MX1: a(A1), MX2: a(B1), MX3: a(C1)})
    assert await Bench(resolver, FakeProber(results), improvements=BELIEVING).verdict() == believed
    assert await Bench(resolver, FakeProber(results), improvements=PATIENT).verdict() == doubted


async def test_next_check_tries_what_the_one_before_has_left() -> None:
    bench = bench_with(dict.fromkeys((A1, B1, C1, A2, B2), REFUSED))
    assert await bench.verdict() == ("ratelimited", MX1)
    assert await bench.verdict() == ("rf", MX1)
    assert bench.prober.probed == [A1, B1, C1, A2, B2]


async def test_hosts_left_out_by_the_attempts_are_in_doubt() -> None:
    resolver = FakeResolver({DOMAIN: mx(MX1, MX2, MX3)}, {MX1: a(A1), MX2: a(B1), MX3: a(C1)})
    bench = Bench(resolver, FakeProber({A1: REFUSED, B1: REFUSED}), improvements=replace(PATIENT, probe_attempts=2))
    assert await bench.verdict() == ("ratelimited", MX3)


@pytest.mark.parametrize(
    ("answer", "improvements", "verdict"),
    [
        pytest.param(SERVFAIL, PATIENT, ("df", DOMAIN), id="dns-fails"),
        pytest.param(SERVFAIL, BELIEVING, ("rf", MX1), id="dns-fails-and-failure-is-believed"),
        pytest.param(NXDOMAIN, PATIENT, ("rf", MX1), id="there-is-none"),
    ],
)
async def test_host_that_could_not_be_resolved_is_in_doubt(
    answer: DnsFailure, improvements: Improvements, verdict: tuple[str, str]
) -> None:
    resolver = FakeResolver({DOMAIN: mx(MX1, MX2)}, {MX1: a(A1), MX2: answer})
    bench = Bench(resolver, FakeProber({A1: REFUSED}), improvements=improvements)
    assert await bench.verdict() == verdict


async def test_hosts_and_addresses_beyond_the_most_that_are_used_are_in_doubt() -> None:
    improvements = replace(PATIENT, max_targets=4)
    hosts = [f"mx{number}.example" for number in range(4)]
    assert await Bench(FakeResolver({DOMAIN: mx(*hosts)}), improvements=improvements).verdict() == (
        "ratelimited",
        DOMAIN,
    )
    ips = [f"11.0.9.{number}" for number in range(4)]
    bench = Bench(FakeResolver({DOMAIN: mx(MX1)}, {MX1: a(*ips)}), improvements=improvements)
    await bench.set(**{f"i:{ip}": "rf" for ip in ips})
    assert await bench.verdict() == ("ratelimited", MX1)


async def test_domain_without_a_host_that_exists_is_broken() -> None:
    assert await Bench(FakeResolver({DOMAIN: mx(MX1, MX2)})).verdict() == ("bkn", DOMAIN)


async def test_private_host_beside_one_in_doubt_is_in_doubt() -> None:
    resolver = FakeResolver({DOMAIN: mx(MX1, MX2)}, {MX1: a(LOCAL), MX2: SERVFAIL})
    assert await Bench(resolver).verdict() == ("df", DOMAIN)
