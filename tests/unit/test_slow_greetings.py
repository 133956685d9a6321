"""Addresses whose greeting is slow: good for the time being, and what they come to in the end."""

import logging
from dataclasses import replace

import pytest

from mxcheck_service.background import Background
from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.core.settings import RECOMMENDED, MxCheckSettings
from mxcheck_service.ports import Probed
from mxcheck_service.probing import Probing
from mxcheck_service.trace import Trace
from tests.unit.fakes import (
    GOOD,
    NOT_SMTP,
    REFUSED,
    SILENT,
    TURNED_AWAY,
    FakeClock,
    FakeProber,
    FakeSettling,
    soon,
)

IP, OTHER = "11.0.0.1", "11.0.0.2"
SETTINGS = MxCheckSettings(verify_greeting=True)
IMPROVEMENTS = replace(RECOMMENDED, greeting_patience=60.0)
PROVISIONAL_TTL = 60 + 8
DAY = 86400


class Bench:
    """Probing over fakes. Every address greets late, with what `end` says."""

    def __init__(self, end: Probed | Exception = GOOD, max_lingering: int = 10) -> None:
        self.clock = FakeClock()
        self.memory = MemoryCache(1000, self.clock)
        self.settling = FakeSettling(end, hold=True)
        provisional = Probed(Outcome(Verdict.GOOD), (b"220-",), 0.001, self.settling)
        self.prober = FakeProber({IP: provisional, OTHER: provisional})
        self.background = Background(max_lingering)
        layers = CacheLayers(self.memory, SETTINGS, IMPROVEMENTS)
        self.probing = Probing(SETTINGS, IMPROVEMENTS, layers, self.prober, self.clock, background=self.background)
        self.trace = Trace(self.clock)

    async def check(self, ip: str = IP) -> list[str]:
        return [str(attempt.outcome) for attempt in await self.probing.attempts([ip], 3, self.trace)]

    async def known(self, value: str, ttl: int = 1000) -> None:
        await self.memory.set(f"rmx:i:{IP}", value, ttl)

    async def renew(self) -> None:
        await self.probing.renew(IP, self.trace, within=100)

    async def settle(self) -> None:
        self.settling.go.set()
        await soon()

    def entry(self, ip: str = IP) -> tuple[str, float]:
        return self.memory.snapshot()[f"rmx:i:{ip}"]


@pytest.mark.parametrize(
    ("end", "entry"),
    [
        (GOOD, ("gd", DAY)),
        (TURNED_AWAY, ("err:554", DAY)),
        (SILENT, ("tr", DAY)),
        (NOT_SMTP, ("inv", 14400)),
        (REFUSED, ("rf", 14400)),
    ],
)
async def test_good_for_the_time_being_and_then_what_came_of_it(end: Probed, entry: tuple[str, float]) -> None:
    bench = Bench(end)
    assert await bench.check() == ["gd"]
    assert bench.entry() == ("gd", PROVISIONAL_TTL)
    assert bench.background.lingering == 1
    await bench.settle()
    assert bench.entry() == entry
    assert bench.background.lingering == 0


async def test_the_trace_tells_that_the_verdict_is_provisional() -> None:
    bench = Bench()
    await bench.check()
    (step,) = (step for step in bench.trace.steps if step.name == "probe")
    assert step.facts["provisional"] is True
    bench = Bench()
    bench.prober = FakeProber()
    bench.probing._prober = bench.prober
    await bench.check()
    (step,) = (step for step in bench.trace.steps if step.name == "probe")
    assert "provisional" not in step.facts


async def test_who_asks_meanwhile_is_told_the_provisional_verdict_and_nothing_is_probed() -> None:
    bench = Bench(SILENT)
    assert [await bench.check() for _ in range(3)] == [["gd"]] * 3
    assert bench.prober.probed == [IP]


async def test_beyond_the_bound_the_connection_is_closed_and_the_verdict_ends_soon() -> None:
    bench = Bench(max_lingering=0)
    assert await bench.check() == ["gd"]
    assert bench.settling.abandoned
    assert bench.entry() == ("gd", PROVISIONAL_TTL)
    assert bench.background.lingering == 0


async def test_the_end_of_the_service_closes_the_connection_and_leaves_the_provisional_verdict() -> None:
    bench = Bench(SILENT)
    await bench.check()
    # Before the task has had its first turn.
    await bench.background.drain(60)
    assert bench.settling.abandoned
    assert bench.entry() == ("gd", PROVISIONAL_TTL)


async def test_a_crash_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(RuntimeError("defect"))
    await bench.check()
    with caplog.at_level(logging.ERROR):
        await bench.settle()
    assert [record.getMessage() for record in caplog.records] == [f"greeting of {IP}: waiting for it crashed"]
    assert bench.settling.abandoned
    assert bench.background.lingering == 0


# refresh ahead


@pytest.mark.parametrize("known", ["gd", "err:554"])
@pytest.mark.parametrize(
    ("end", "renewed"), [(GOOD, "gd"), (TURNED_AWAY, "err:554"), (SILENT, None), (NOT_SMTP, None), (REFUSED, None)]
)
async def test_a_settled_verdict_is_not_renewed_by_a_provisional_one(
    known: str, end: Probed, renewed: str | None
) -> None:
    bench = Bench(end)
    await bench.known(known)
    await bench.renew()
    assert bench.entry() == (known, 1000)
    await bench.settle()
    assert bench.entry() == ((renewed, DAY) if renewed else (known, 1000))


@pytest.mark.parametrize(("end", "renewed"), [(GOOD, "gd"), (SILENT, "tr")])
async def test_a_failure_is_renewed_by_a_provisional_verdict(end: Probed, renewed: str) -> None:
    bench = Bench(end)
    await bench.known("rf")
    await bench.renew()
    assert bench.entry() == ("gd", PROVISIONAL_TTL)
    await bench.settle()
    assert bench.entry() == (renewed, DAY)


async def test_a_provisional_verdict_is_not_renewed_while_its_end_is_waited_for() -> None:
    bench = Bench(SILENT)
    await bench.check()
    await bench.renew()
    assert bench.prober.probed == [IP]
    await bench.settle()
    await bench.renew()
    assert bench.prober.probed == [IP, IP]
