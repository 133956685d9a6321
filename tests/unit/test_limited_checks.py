"""Whole checks at a limit: what a message is told, and that nothing of it is kept."""

from collections import Counter
from dataclasses import replace

import pytest

from mxcheck_service.background import Background
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.checker import Adapters, Checker, Message, Report
from mxcheck_service.core.candidates import Envelope
from mxcheck_service.core.limits import WINDOW
from mxcheck_service.core.maplist import Maps
from mxcheck_service.core.model import Lookup
from mxcheck_service.core.settings import RECOMMENDED, Improvements, MxCheckSettings
from mxcheck_service.counts import Counts, Tick
from mxcheck_service.ports import ConnectProblem
from tests.unit.fakes import FakeClock, FakeDialer, FakeResolver, a, mx

LIMITED, FREE, PRIVATE = "11.0.0.1", "11.0.1.1", "10.0.0.1"
REFUSED = ConnectProblem.REFUSED
ONE_A_NETWORK = replace(RECOMMENDED, probes_per_network=1)


class Tally:
    """Counts by label values."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[object, ...]] = Counter()

    def tick(self, *values: object) -> Tick:
        def tick() -> None:
            self.counted[values] += 1

        return tick


class Bench:
    """A checker over fakes; one.example, a.example has no MX, local.example a private address."""

    def __init__(self, dialer: FakeDialer | None = None, improvements: Improvements = ONE_A_NETWORK) -> None:
        self.clock = FakeClock()
        self.clock.now = WINDOW * 100.0
        self.memory = MemoryCache(1000, self.clock)
        self.dialer = dialer or FakeDialer()
        self.limited = Tally()
        resolver = FakeResolver(
            {
                "one.example": mx("mx.one.example"),
                "two.example": mx("mx1.two.example", "mx2.two.example"),
                "local.example": mx("mx.local.example", "mx2.two.example"),
            },
            {
                "mx.one.example": a(LIMITED),
                "mx1.two.example": a(FREE),
                "mx2.two.example": a(LIMITED),
                "a.example": a(FREE, LIMITED),
                "mx.local.example": a(PRIVATE, FREE),
            },
        )
        self.checker = Checker(
            MxCheckSettings(),
            improvements,
            Maps(),
            Adapters(self.memory, resolver, self.dialer, self.clock, Background(), Counts(limited=self.limited)),
            deadline=5.0,
            max_addresses=100,
            remember=100,
        )

    async def check(self, domain: str) -> Report:
        return await self.checker.check(Message(Envelope(f"jo@{domain}")))

    async def lookup(self, domain: str) -> Lookup:
        (report,) = (await self.check(domain)).domains
        return report.result.lookup

    async def use_up(self) -> None:
        """Leave no probe of LIMITED's network in this minute, and nothing known about it."""
        await self.lookup("one.example")
        await self.memory.delete(f"rmx:i:{LIMITED}")


@pytest.fixture
async def bench() -> Bench:
    made = Bench(FakeDialer({FREE: REFUSED}))
    await made.use_up()
    return made


async def test_a_limited_sender_is_neither_greylisted_nor_scored(bench: Bench) -> None:
    report = await bench.check("one.example")
    assert (report.action, report.score) == ("no action", 0.0)
    assert {name: hit.options for name, hit in report.symbols.items()} == {"MX_RATELIMITED": ("mx.one.example",)}
    assert not report.domains[0].result.lookup.cached
    assert bench.limited.counted == {("network",): 1}


async def test_nothing_of_it_is_remembered(bench: Bench) -> None:
    for _ in range(3):
        assert str((await bench.lookup("one.example")).outcome) == "ratelimited"
    bench.clock.now += WINDOW
    assert str((await bench.lookup("one.example")).outcome) == "gd"
    assert [ip for ip, _, _ in bench.dialer.dialled] == [LIMITED] * 2


async def test_a_failure_is_not_believed_while_a_sibling_is_limited(bench: Bench) -> None:
    """The host that could not be probed may be the one that takes the mail."""
    lookup = await bench.lookup("two.example")
    assert (str(lookup.outcome), lookup.host) == ("ratelimited", "mx2.two.example")
    assert [ip for ip, _, _ in bench.dialer.dialled] == [LIMITED, FREE]
    bench.clock.now += WINDOW
    lookup = await bench.lookup("two.example")
    assert (str(lookup.outcome), lookup.host) == ("gd", "mx2.two.example")


async def test_nor_of_a_domain_without_mx(bench: Bench) -> None:
    lookup = await bench.lookup("a.example")
    assert (str(lookup.outcome), lookup.implicit_mx) == ("ratelimited", True)


async def test_nor_for_private_addresses_beside_it(bench: Bench) -> None:
    """They are no blame to a host that takes mail, and this one may."""
    report = await bench.check("local.example")
    assert set(report.symbols) == {"MX_RATELIMITED"}


async def test_a_sibling_that_answers_settles_it() -> None:
    bench = Bench()
    await bench.use_up()
    lookup = await bench.lookup("two.example")
    assert (str(lookup.outcome), lookup.host) == ("gd", "mx1.two.example")


async def test_checks_out_of_the_cache_count_nothing() -> None:
    bench = Bench()
    await bench.lookup("one.example")
    before = {key: value for key, (value, _) in bench.memory.snapshot().items() if ":p:" in key}
    for _ in range(10):
        assert (await bench.lookup("one.example")).cached
    await bench.checker.check(Message(Envelope("jo@one.example"), explain=True))
    assert {key: value for key, (value, _) in bench.memory.snapshot().items() if ":p:" in key} == before
    assert set(before.values()) == {"1"}
