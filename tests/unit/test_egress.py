"""The way out, watched: witnesses, the families apart, what is told, and what a reload leaves."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mxcheck_service.background import Background
from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.breaker import ASK_FIRST, DOUBT, ENOUGH, RECENT, SLACK, TRIAL_FIRST, TRIAL_LAST
from mxcheck_service.core.model import Family
from mxcheck_service.core.settings import RECOMMENDED, Improvements, MxCheckSettings
from mxcheck_service.counts import Counts
from mxcheck_service.egress import Egress
from mxcheck_service.ports import ConnectError, ConnectProblem, DnsFailure, LocalFault
from mxcheck_service.prober import SmtpProber
from tests.unit.fakes import FakeClock, FakeConnection, FakeDialer, FakeResolver, a, soon
from tests.unit.test_counts import Tally

SETTINGS = MxCheckSettings(probe_ipv6=True, port=25, connect_timeout=2.0)
TIMEOUT, REFUSED, WITHHELD = ConnectProblem.TIMEOUT, ConnectProblem.REFUSED, ConnectProblem.WITHHELD
CHECK = "198.51.100.1"
CHECKED = replace(RECOMMENDED, egress_check=(CHECK,))


def silent(number: int) -> str:
    """Return an address in a network of its own where nobody answers."""
    return f"11.1.{number}.1"


def open_host(number: int) -> str:
    return f"11.2.{number}.1"


def refusing(number: int) -> str:
    return f"11.3.{number}.1"


class Dialer:
    """Tells by the address who answers, unless it is in `peers`; `shut` is what becomes of every connection.

    `hold` keeps every attempt waiting.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.peers: dict[str, ConnectProblem] = {}
        self.shut: ConnectProblem | None = None
        self.hold: asyncio.Event | None = None
        self.dialled: list[tuple[str, int, float]] = []

    async def connect(self, ip: str, port: int, timeout: float) -> FakeConnection:
        self.dialled.append((ip, port, timeout))
        await asyncio.sleep(0)
        if self.hold:
            await self.hold.wait()
        problem = self.shut or self.peers.get(ip) or {"11.1.": TIMEOUT, "11.3.": REFUSED, "2001:": TIMEOUT}.get(ip[:5])
        if problem is None:
            return FakeConnection()
        if problem is TIMEOUT:
            self.clock.now += timeout
        raise ConnectError(problem, problem.value)


class Bench:
    def __init__(self, improvements: Improvements = RECOMMENDED, resolver: FakeResolver | None = None) -> None:
        self.clock, self.background = FakeClock(), Background()
        self.raw = Dialer(self.clock)
        self.memory = MemoryCache(1000, self.clock)
        self.openings, self.withheld = Tally(), Tally()
        counts = Counts(openings=self.openings, withheld=self.withheld)
        self.egress = Egress(self.raw, resolver or FakeResolver(), self.clock, self.background, counts)
        self.use(improvements)

    def use(self, improvements: Improvements, settings: MxCheckSettings = SETTINGS) -> None:
        layers = CacheLayers(self.memory, settings, improvements)
        self.dialer = self.egress.guard(self.raw, settings, improvements, layers)

    async def connect(self, ip: str) -> ConnectProblem | None:
        """Return why no connection came about."""
        self.clock.now += SLACK + 0.5
        try:
            (await self.dialer.connect(ip, 25, 2.0)).close()
        except ConnectError as error:
            return error.problem
        return None

    async def all(self, *ips: str) -> list[ConnectProblem | None]:
        return [await self.connect(ip) for ip in ips]

    @property
    def dialled(self) -> list[str]:
        return [ip for ip, _, _ in self.raw.dialled]


class TestWitnesses:
    async def test_a_burst_of_dead_domains_does_not_switch_probing_off(self) -> None:
        bench = Bench()
        assert await bench.connect(open_host(1)) is None
        assert await bench.all(*map(silent, range(40))) == [TIMEOUT] * 40
        assert bench.egress.up(Family.V4) is True
        asked = bench.dialled.count(open_host(1)) - 1
        assert 1 <= asked <= 1 + 40 * 3.5 / ASK_FIRST, "seconds that it took, by those between two questions"

    async def test_silent_ones_tell_that_it_is_us(self) -> None:
        bench = Bench()
        await bench.all(open_host(1), open_host(2))
        bench.raw.shut = TIMEOUT
        found = await bench.all(*map(open_host, range(3, 9)))
        assert found == [TIMEOUT, TIMEOUT, *[WITHHELD] * 4]
        assert bench.egress.up(Family.V4) is False
        assert bench.egress.up(Family.V6) is True

    async def test_a_single_silent_one_may_be_down_by_itself(self) -> None:
        bench = Bench()
        await bench.connect(open_host(1))
        bench.raw.peers[open_host(1)] = TIMEOUT
        assert await bench.all(*map(silent, range(DOUBT))) == [TIMEOUT] * DOUBT
        assert open_host(1) in bench.dialled[-2:]

    async def test_all_who_doubt_at_the_same_time_ask_once(self) -> None:
        bench = Bench()
        await bench.all(open_host(1), *map(silent, range(2)))
        before = bench.dialled.count(open_host(1))
        assert await asyncio.gather(*(bench.connect(silent(number)) for number in range(3, 9))) == [TIMEOUT] * 6
        assert bench.dialled.count(open_host(1)) == before + 1

    async def test_and_all_of_them_get_the_word(self) -> None:
        bench = Bench()
        await bench.all(open_host(1), open_host(2))
        bench.raw.shut = TIMEOUT
        assert await bench.all(*map(silent, range(DOUBT - 1))) == [TIMEOUT] * (DOUBT - 1)
        bench.clock.now += SLACK + 1
        assert await asyncio.gather(*(bench.connect(silent(number)) for number in range(3, 9))) == [WITHHELD] * 6

    async def test_an_address_family_has_its_own(self) -> None:
        bench = Bench()
        await bench.all(*map(open_host, range(4)))
        sixes = [f"2001:db8:{number}::1" for number in range(ENOUGH + 2)]
        found = await bench.all(*sixes)
        assert found == [*[TIMEOUT] * (ENOUGH - 1), *[WITHHELD] * 3]
        assert (bench.egress.up(Family.V4), bench.egress.up(Family.V6)) == (True, False)
        assert await bench.all(open_host(1), silent(1)) == [None, TIMEOUT]
        assert ["IPv6" in text for text in bench.egress.faults()] == [True]
        assert bench.openings.counted == {("v6",): 1}

    async def test_where_everything_is_refused_they_are_asked(self) -> None:
        bench = Bench()
        await bench.all(open_host(1), open_host(2))
        assert await bench.all(*map(refusing, range(2 * RECENT))) == [REFUSED] * 2 * RECENT, "parked domains"
        bench.raw.shut = REFUSED
        found = await bench.all(*map(refusing, range(50, 70)))
        assert found[-1] is WITHHELD
        assert "everybody refuses" in bench.egress.faults()[0]


class TestChecks:
    async def test_the_first_timeout_is_not_believed_when_the_check_fails(self) -> None:
        bench = Bench(CHECKED)
        bench.raw.shut = TIMEOUT
        assert await bench.connect(silent(1)) is WITHHELD
        with pytest.raises(ConnectError):
            await bench.dialer.connect(silent(2), 25, 2.0)
        assert bench.dialled == [silent(1), CHECK], "and the second one is not even tried"
        assert bench.withheld.counted == {("v4",): 1}

    async def test_timeouts_are_believed_when_it_passes(self) -> None:
        bench = Bench(CHECKED)
        assert await bench.all(*map(silent, range(30))) == [TIMEOUT] * 30
        assert bench.raw.dialled[1] == (CHECK, 25, 2.0)

    async def test_nobody_is_asked_when_somebody_has_answered_meanwhile(self) -> None:
        bench = Bench(CHECKED)
        bench.raw.peers[silent(1)] = TIMEOUT
        await bench.connect(open_host(1))
        with pytest.raises(ConnectError):
            await bench.dialer.connect(silent(1), 25, 0.5)
        assert CHECK not in bench.dialled

    async def test_names_and_ports(self) -> None:
        resolver = FakeResolver(a={"mx.example": a("10.0.0.7", "127.0.0.1", "11.9.9.7", "11.9.9.9")})
        checks = ("mx.example:2525", "gone.example", "2001:db8::1", "198.51.100.8")
        bench = Bench(replace(RECOMMENDED, egress_check=checks), resolver)
        bench.raw.peers |= {"11.9.9.7": TIMEOUT, "198.51.100.8": TIMEOUT}
        assert await bench.connect(silent(1)) is WITHHELD
        assert {(ip, port) for ip, port, _ in bench.raw.dialled[1:]} == {("11.9.9.7", 2525), ("198.51.100.8", 25)}

    async def test_a_name_leads_to_public_addresses_only(self) -> None:
        """Whoever answers for the name may put any there; an address in the settings is the operator's own word."""
        resolver = FakeResolver(a={"mx.example": a("10.0.0.7", "169.254.169.254")}, aaaa={"mx.example": a("::1")})
        bench = Bench(replace(RECOMMENDED, egress_check=("mx.example",)), resolver)
        await bench.connect(silent(1))
        assert bench.dialled == [silent(1)]

    async def test_witnesses_are_asked_only_while_they_are_public(self) -> None:
        bench = Bench()
        bench.use(RECOMMENDED, replace(SETTINGS, test_mode=True))
        await bench.all("127.0.0.2", open_host(1))
        bench.use(RECOMMENDED)
        await bench.all(*map(silent, range(9)))
        assert bench.dialled.count("127.0.0.2") == 1
        assert bench.dialled.count(open_host(1)) > 1

    async def test_without_an_address_there_are_statistics(self) -> None:
        resolver = FakeResolver()
        resolver.answers("mx.example", DnsFailure("SERVFAIL"))
        bench = Bench(replace(RECOMMENDED, egress_check=("mx.example",)), resolver)
        assert await bench.all(*map(silent, range(ENOUGH))) == [*[TIMEOUT] * (ENOUGH - 1), WITHHELD]


class TestWatch:
    @pytest.fixture
    def watching(self) -> Iterator[list[asyncio.Task[None]]]:
        tasks: list[asyncio.Task[None]] = []
        yield tasks
        for task in tasks:
            task.cancel()

    async def test_it_asks_at_the_start_and_until_the_check_passes(self, watching: list[asyncio.Task[None]]) -> None:
        bench = Bench(CHECKED)
        bench.raw.shut = TIMEOUT
        watching.append(asyncio.create_task(bench.egress.watch()))
        await soon()
        assert bench.egress.up(Family.V4) is False
        assert await bench.connect(silent(1)) is WITHHELD
        bench.raw.shut = None
        begun = bench.clock.now
        while bench.egress.up(Family.V4) is False:
            await asyncio.sleep(0)
            assert bench.clock.now < begun + 60
        assert await bench.connect(silent(1)) is TIMEOUT

    async def test_without_doubt_nobody_is_asked(self, watching: list[asyncio.Task[None]]) -> None:
        bench = Bench()
        await bench.connect(open_host(1))
        watching.append(asyncio.create_task(bench.egress.watch()))
        await soon()
        assert bench.clock.sleeps
        assert bench.dialled == [open_host(1)]

    async def test_a_defect_does_not_end_it(
        self, watching: list[asyncio.Task[None]], caplog: pytest.LogCaptureFixture
    ) -> None:
        resolver = FakeResolver(a={"mx.example": RuntimeError("defect")})
        bench = Bench(replace(RECOMMENDED, egress_check=("mx.example",)), resolver)
        watching.append(asyncio.create_task(bench.egress.watch()))
        await soon()
        assert "the egress check crashed" in caplog.text
        assert not watching[0].done()


class TestDnsOnlyMode:
    async def opened(self, improvements: Improvements = RECOMMENDED) -> Bench:
        bench = Bench(improvements)
        bench.raw.shut = TIMEOUT
        found = await bench.all(*map(open_host, range(ENOUGH)))
        assert found[-1] is WITHHELD
        return bench

    async def test_one_trial_at_a_time_and_a_good_one_ends_it(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        bench = await self.opened()
        bench.raw.shut = None
        bench.clock.now += TRIAL_FIRST
        bench.raw.hold = asyncio.Event()
        trial = asyncio.create_task(bench.connect(open_host(50)))
        await soon()
        before = len(bench.dialled)
        assert await bench.all(open_host(51), open_host(52)) == [WITHHELD] * 2
        assert len(bench.dialled) == before
        bench.raw.hold.set()
        assert await trial is None
        assert await bench.all(open_host(51), open_host(52)) == [None] * 2
        texts = [record.message for record in caplog.records if record.name == "mxcheck_service.egress"]
        assert ["nobody answers" in text for text in texts] == [True, False]
        assert texts[-1] == "the way out over IPv4 is open again: mail hosts are probed"

    async def test_a_trial_that_is_cancelled_makes_room(self) -> None:
        bench = await self.opened()
        bench.clock.now += TRIAL_FIRST
        bench.raw.hold = asyncio.Event()
        trial = asyncio.create_task(bench.connect(open_host(50)))
        await soon()
        trial.cancel()
        await asyncio.gather(trial, return_exceptions=True)
        bench.raw.hold = bench.raw.shut = None
        bench.clock.now += TRIAL_LAST
        assert await bench.connect(open_host(51)) is None

    async def test_the_prober_tells_it_from_faults_that_the_system_reports(self) -> None:
        bench = await self.opened()
        found = await SmtpProber(SETTINGS, RECOMMENDED, bench.dialer, bench.background).probe(open_host(1))
        assert isinstance(found, LocalFault)
        assert found.withheld
        dialer = FakeDialer({open_host(1): ConnectProblem.LOCAL})
        assert await SmtpProber(SETTINGS, RECOMMENDED, dialer, bench.background).probe(open_host(1)) == LocalFault(
            "local"
        )

    async def test_it_is_told_why(self) -> None:
        bench = await self.opened()
        with pytest.raises(ConnectError, match="DNS-only mode: over IPv4 nobody answers, so our own network") as caught:
            await bench.dialer.connect(open_host(1), 25, 2.0)
        assert caught.value.problem is WITHHELD
        bench.clock.now += TRIAL_LAST
        with pytest.raises(ConnectError, match=r"DNS-only mode: .*; of this one: timeout") as caught:
            await bench.dialer.connect(open_host(1), 25, 2.0)
        assert caught.value.problem is WITHHELD

    @pytest.mark.parametrize(("shut", "verdict"), [(TIMEOUT, "tc"), (REFUSED, "rf")])
    async def test_what_was_cached_meanwhile_is_taken_back(self, shut: ConnectProblem, verdict: str) -> None:
        bench = Bench()
        await bench.all(open_host(90), open_host(91))
        bench.raw.shut = shut
        for number in range(RECENT + 2):
            if await bench.connect(open_host(number)) is shut:
                # Somebody else may know better by then.
                await bench.memory.set(f"rmx:i:{open_host(number)}", "gd" if number == 1 else verdict, 1000)
        await bench.memory.set("rmx:i:11.9.9.9", verdict, 1000)
        await bench.background.drain(5)
        assert {key: value for key, (value, _) in bench.memory.snapshot().items()} == {
            "rmx:i:11.9.9.9": verdict,
            f"rmx:i:{open_host(1)}": "gd",
        }

    async def test_it_survives_a_reload(self) -> None:
        bench = await self.opened()
        bench.use(CHECKED, replace(SETTINGS, connect_timeout=3.0))
        assert bench.egress.up(Family.V4) is False
        assert await bench.connect(open_host(1)) is WITHHELD

    async def test_switched_off_everything_is_tried(self) -> None:
        bench = await self.opened()
        bench.use(replace(RECOMMENDED, circuit_breaker=False))
        assert bench.dialer is bench.raw
        assert (bench.egress.watched, bench.egress.up(Family.V4), bench.egress.faults()) == (False, None, [])

    async def test_a_family_that_is_not_probed_is_not_told_of(self) -> None:
        bench = Bench()
        bench.use(RECOMMENDED, replace(SETTINGS, probe_ipv6=False))
        assert (bench.egress.up(Family.V4), bench.egress.up(Family.V6)) == (True, None)


class TestExhausted:
    """No room for a socket: that tells nothing about any network."""

    async def test_it_never_opens_the_breaker(self) -> None:
        bench = Bench()
        bench.raw.shut = ConnectProblem.EXHAUSTED
        assert await bench.all(*map(open_host, range(2 * RECENT))) == [ConnectProblem.EXHAUSTED] * 2 * RECENT
        assert bench.egress.up(Family.V4) is True
        bench.raw.shut = None
        assert await bench.connect(open_host(1)) is None

    @pytest.mark.parametrize("improvements", [RECOMMENDED, CHECKED], ids=["witnesses", "egress_check"])
    async def test_witnesses_that_cannot_be_asked_say_nothing(self, improvements: Improvements) -> None:
        bench = Bench(improvements)
        await bench.all(open_host(1), open_host(2), open_host(3))
        bench.raw.peers = dict.fromkeys((CHECK, *map(open_host, range(4))), ConnectProblem.EXHAUSTED)
        assert await bench.all(*map(silent, range(DOUBT))) == [TIMEOUT] * DOUBT
        assert bench.egress.up(Family.V4) is True

    async def test_a_trial_that_could_not_be_made_gives_way_to_the_next(self) -> None:
        bench = Bench()
        await bench.all(open_host(1), open_host(2))
        bench.raw.shut = TIMEOUT
        await bench.all(*map(silent, range(DOUBT)))
        assert bench.egress.up(Family.V4) is False
        bench.raw.shut = ConnectProblem.EXHAUSTED
        bench.clock.now += TRIAL_LAST
        assert await bench.connect(open_host(4)) is ConnectProblem.EXHAUSTED
        bench.raw.shut = None
        bench.clock.now += TRIAL_LAST
        assert await bench.connect(open_host(4)) is None
        assert bench.egress.up(Family.V4) is True
