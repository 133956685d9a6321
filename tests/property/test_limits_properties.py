"""Limits under any order of probes, of what the cache is asked, and of minutes that pass."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.limits import WINDOW, giving_way, limits, network_of, shares, suffix_of
from mxcheck_service.core.settings import RECOMMENDED, Improvements, MxCheckSettings
from mxcheck_service.limits import Limits
from mxcheck_service.trace import Trace
from tests.unit.fakes import FakeClock

IPS = ("11.0.0.1", "11.0.0.2", "11.0.1.1", "2001:db8::1", "2001:db8::2", "::ffff:11.0.0.1")
HOSTS = ("mx.one.example", "mx.two.example", "mx2.two.example", None)


class Ask(NamedTuple):
    """A probe that somebody wants to make."""

    service: int
    ip: str
    host: str | None
    give_way: bool


most = st.integers(0, 4)
improvements = st.builds(
    lambda *numbers: replace(
        RECOMMENDED,
        probes_per_address=numbers[0],
        probes_per_network=numbers[1],
        probes_per_suffix=numbers[2],
        probes_globally=numbers[3],
    ),
    *[most] * 4,
)
ask = st.builds(Ask, st.integers(0, 1), st.sampled_from(IPS), st.sampled_from(HOSTS), st.booleans())
# What happens, one after the other: somebody asks; the cache does the n-th of the things that it was asked; half a
# minute passes.
story = st.lists(
    st.one_of(ask, ask, st.tuples(st.just("cache"), st.integers(0, 5)), st.just(("minute", 0))),
    max_size=60,
)


class SlowCache(MemoryCache):
    """Does what it is asked in any order, one thing at a time: `pending` holds what waits, and since when."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(10_000, clock)
        self.pending: list[tuple[float, asyncio.Event]] = []

    async def count(self, keys: Sequence[str], by: int, ttl: int) -> list[int]:
        turn = asyncio.Event()
        self.pending.append((self._clock.monotonic(), turn))
        await turn.wait()
        return await super().count(keys, by, ttl)


class World:
    """Two services on one cache; what they were allowed, by window."""

    def __init__(self, improvements: Improvements) -> None:
        self.most = limits(improvements)
        self.clock = FakeClock()
        self.cache = SlowCache(self.clock)
        layers = [CacheLayers(self.cache, MxCheckSettings(), improvements) for _ in range(2)]
        self.services = [Limits(improvements, each, self.clock) for each in layers]
        self.made: Counter[tuple[int, str]] = Counter()
        self.asking: list[asyncio.Task[None]] = []

    async def ask(self, ask: Ask) -> bool:
        """Tell whether the probe may be made."""
        window = int(self.clock.time()) // WINDOW
        trace = Trace(self.clock)
        refusal = await self.services[ask.service].refusal(ask.ip, ask.host, trace, give_way=ask.give_way)
        if refusal is None:
            self.made.update((window, share.name) for share in shares(self.most, ask.ip, ask.host))
        return refusal is None

    async def settled(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    async def proceed(self, number: int) -> None:
        if self.cache.pending:
            _, turn = self.cache.pending.pop(number % len(self.cache.pending))
            turn.set()
            await self.settled()

    async def pass_time(self) -> None:
        """Let half a minute pass; the cache takes less than a minute for anything (`cache.timeout`)."""
        while self.cache.pending and self.cache.pending[0][0] <= self.clock.now - WINDOW / 2:
            await self.proceed(0)
        self.clock.now += WINDOW / 2

    def hold(self) -> None:
        """Fail when more was allowed than may be."""
        named = {share.name: share.most for ip in IPS for host in HOSTS for share in shares(self.most, ip, host)}
        for (window, name), number in self.made.items():
            assert number <= named[name], (window, name)


@settings(max_examples=400)
@given(improvements, story)
def test_no_more_probes_than_the_limits_whatever_the_order(
    improvements: Improvements, story: list[Ask | tuple[str, int]]
) -> None:
    async def scenario() -> None:
        world = World(improvements)
        for step in story:
            if isinstance(step, Ask):
                world.asking.append(asyncio.create_task(_asked(world, step)))
                await world.settled()
            elif step[0] == "cache":
                await world.proceed(step[1])
            else:
                await world.pass_time()
        while world.cache.pending:
            await world.proceed(0)
        await asyncio.gather(*world.asking)
        world.hold()

    asyncio.run(scenario())


async def _asked(world: World, step: Ask) -> None:
    await world.ask(step)


@given(improvements, st.lists(ask, max_size=40))
def test_one_after_the_other_a_probe_is_refused_at_a_limit_only(improvements: Improvements, asks: list[Ask]) -> None:
    """What was refused has taken nothing away."""

    async def scenario() -> None:
        world = World(improvements)
        for each in asks:
            bounds = giving_way(world.most) if each.give_way else world.most
            room = all(world.made[16, share.name] < share.most for share in shares(bounds, each.ip, each.host))
            task = asyncio.create_task(world.ask(each))
            await world.settled()
            while world.cache.pending:
                await world.proceed(0)
            assert await task is room

    asyncio.run(scenario())


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,6}(\.[a-zA-Z0-9_-]{1,6}){0,5}", fullmatch=True)


@given(addresses, names)
def test_what_is_counted_is_a_key_and_the_same_for_what_lies_in_it(ip: str, host: str) -> None:
    found = shares(limits(RECOMMENDED), ip, host)
    assert len(found) == len({share.name for share in found}) == 4
    assert all(share.name.isascii() and " " not in share.name for share in found)
    assert network_of(network_of(ip).partition("/")[0]) == network_of(ip)
    assert suffix_of(suffix_of(host)) == suffix_of(host) == suffix_of(host.upper())
    assert host.lower().endswith(suffix_of(host))
