"""Refresh ahead: what is asked for often does not expire, and is not made worse."""

import asyncio
import logging
from dataclasses import replace

import pytest

from mxcheck_service.background import MAX_LINGERING, Background
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.checker import Adapters, Checker, Message, Report
from mxcheck_service.core.candidates import Envelope
from mxcheck_service.core.maplist import Maps
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, Improvements, MxCheckSettings
from mxcheck_service.ports import ConnectProblem, DnsFailure
from tests.unit.fakes import FakeClock, FakeDialer, FakeResolver, a, mx

IP = "11.0.0.1"
SETTINGS = MxCheckSettings(expire=1000, expire_dns=1000, expire_novalid=1000)
WINDOW = 100


class Bench:
    """One service; its world may be shared with another one."""

    def __init__(self, improvements: Improvements = RECOMMENDED, world: "Bench | None" = None) -> None:
        self.clock: FakeClock = world.clock if world else FakeClock()
        self.memory: MemoryCache = world.memory if world else MemoryCache(1000, self.clock)
        self.resolver = FakeResolver({"one.example": mx("mx.one.example")}, {"mx.one.example": a(IP)})
        self.dialer: FakeDialer = world.dialer if world else FakeDialer()
        self.background = Background()
        self.checker = Checker(
            SETTINGS,
            improvements,
            Maps(),
            Adapters(self.memory, self.resolver, self.dialer, self.clock, self.background),
            deadline=5.0,
            max_addresses=100,
            remember=100,
        )

    async def check(self, *, explain: bool = False) -> Report:
        """Check, and let what was begun in the background come to its end."""
        report = await self.checker.check(Message(Envelope("jo@one.example"), explain=explain))
        await self.background.drain(5)
        return report

    async def check_often(self, times: int = 3) -> None:
        for _ in range(times):
            await self.check()

    def left(self) -> dict[str, float]:
        return {key.removeprefix("rmx:"): seconds for key, (_, seconds) in self.memory.snapshot().items()}

    def value(self, key: str) -> str:
        return self.memory.snapshot()[key][0]


@pytest.fixture
async def bench() -> Bench:
    """A service that learned a domain a while ago: its entries end within the window."""
    return await with_an_old_domain(RECOMMENDED)


async def with_an_old_domain(improvements: Improvements) -> Bench:
    bench = Bench(improvements)
    await bench.check_often(2)
    bench.clock.now += SETTINGS.expire_dns - WINDOW + 1
    return bench


async def test_what_is_asked_for_often_shortly_before_its_end_is_renewed(bench: Bench) -> None:
    await bench.check_often()
    assert bench.resolver.asked == [("MX", "one.example"), ("A", "mx.one.example")] * 2
    assert [ip for ip, _, _ in bench.dialer.dialled] == [IP, IP]
    left = {key: seconds for key, seconds in bench.left().items() if not key.startswith("p:")}
    assert left.pop(f"r:i:{IP}") == WINDOW
    assert left == {"d:one.example": 1000, "m:mx.one.example": 1000, f"i:{IP}": 1000}


async def test_nobody_waits_for_it_and_nobody_ever_meets_the_cold_path(bench: Bench) -> None:
    for _ in range(5):
        await bench.check_often()
        report = await bench.check(explain=True)
        assert [step.name for step in report.domains[0].steps] == [
            "cache", "cache", "ip_class", "cache", "verdict"
        ]  # fmt: skip
        bench.clock.now += SETTINGS.expire_dns - WINDOW + 1
    assert len(bench.dialer.dialled) == 6


async def test_what_is_asked_for_seldom_is_left_to_expire(bench: Bench) -> None:
    await bench.check_often(2)
    assert len(bench.dialer.dialled) == 1
    assert set(bench.left().values()) == {WINDOW - 1}


async def test_what_is_asked_for_early_in_its_life_is_not_renewed() -> None:
    bench = Bench()
    await bench.check_often(10)
    assert len(bench.dialer.dialled) == 1


async def test_one_renewal_is_enough_however_often_it_is_asked_for(bench: Bench) -> None:
    await bench.check_often(50)
    assert len(bench.dialer.dialled) == 2


async def test_where_too_much_is_under_way_it_is_left_and_tried_again(bench: Bench) -> None:
    others = [bench.background.spare(asyncio.Event().wait()) for _ in range(MAX_LINGERING)]
    for _ in range(5):
        await bench.checker.check(Message(Envelope("jo@one.example")))
    assert len(bench.background) == MAX_LINGERING
    for task in others:
        assert task
        task.cancel()
    await bench.background.drain(5)
    assert len(bench.dialer.dialled) == 1
    # It was asked for twice since it was left.
    await bench.check()
    assert len(bench.dialer.dialled) == 2


async def test_it_is_off_in_the_reference_preset() -> None:
    bench = await with_an_old_domain(REFERENCE)
    await bench.check_often(10)
    assert len(bench.dialer.dialled) == 1
    bench = await with_an_old_domain(replace(RECOMMENDED, refresh_ahead=False))
    await bench.check_often(10)
    assert len(bench.dialer.dialled) == 1


async def test_a_known_good_address_is_not_turned_bad_by_one_failed_renewal(bench: Bench) -> None:
    bench.dialer.peers[IP] = ConnectProblem.REFUSED
    await bench.check_often()
    assert len(bench.dialer.dialled) == 2
    assert bench.value(f"rmx:i:{IP}") == "gd"
    assert bench.left()[f"i:{IP}"] == WINDOW - 1


async def test_a_fault_of_our_own_changes_nothing(bench: Bench) -> None:
    bench.dialer.peers[IP] = ConnectProblem.LOCAL
    await bench.check_often()
    assert bench.value(f"rmx:i:{IP}") == "gd"


async def test_a_bad_address_that_has_come_back_is_good_again() -> None:
    bench = Bench()
    bench.dialer.peers[IP] = ConnectProblem.REFUSED
    await bench.check_often(2)
    assert bench.value(f"rmx:i:{IP}") == "rf"
    bench.clock.now += SETTINGS.expire_novalid - WINDOW + 1
    del bench.dialer.peers[IP]
    await bench.check_often()
    assert bench.value(f"rmx:i:{IP}") == "gd"


async def test_a_dns_failure_renews_nothing(bench: Bench) -> None:
    bench.resolver.answers("one.example", DnsFailure("SERVFAIL"))
    bench.resolver.answers("mx.one.example", DnsFailure("SERVFAIL"))
    await bench.check_often()
    assert bench.value("rmx:d:one.example") == "mx:mx.one.example:10"
    assert bench.value("rmx:m:mx.one.example") == f"v4:{IP}"
    assert bench.left()["d:one.example"] == bench.left()["m:mx.one.example"] == WINDOW - 1


async def test_two_workers_make_one_probe(bench: Bench) -> None:
    other = Bench(world=bench)
    await other.check()
    await other.check_often()
    await bench.check_often()
    assert len(bench.dialer.dialled) == 2


async def test_a_crash_is_logged_and_the_entry_stays(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.resolver.answers("one.example", RuntimeError("defect"))
    with caplog.at_level(logging.ERROR):
        await bench.check_often()
    assert [record.getMessage() for record in caplog.records] == ["renewal of rmx:d:one.example crashed"]
    assert bench.value("rmx:d:one.example") == "mx:mx.one.example:10"
