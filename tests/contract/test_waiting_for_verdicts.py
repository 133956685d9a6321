"""Two services over a real Redis: who waits for the other's probe is told of its end, and asks nothing meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.near import NearCache
from mxcheck_service.cache.servers import connect
from mxcheck_service.core.codec import LOCK
from mxcheck_service.core.settings import RECOMMENDED, MxCheckSettings
from mxcheck_service.ports import LocalFault, SystemClock
from mxcheck_service.probing import Probing
from mxcheck_service.trace import Trace
from tests.contract.test_near_cache import Bench, CountingRedis, bench
from tests.lab.redis import RedisServer
from tests.unit.fakes import FakeProber

IP = "11.0.0.1"
KEY = f"p:i:{IP}"
SETTINGS = MxCheckSettings(key_prefix="p", connect_timeout=20.0)


class Restless(SystemClock):
    """A clock for those who need not sleep between two looks."""

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("polls")


class Service:
    """Probing over a near cache; `commands` are those it has given for the address, by name."""

    def __init__(self, bench: Bench, prober: FakeProber) -> None:
        self.bench = bench
        self.prober = prober
        self.claims = 0
        self._claim = bench.far.set_if_absent
        bench.far.set_if_absent = self._counted  # type: ignore[method-assign]
        layers = CacheLayers(bench.near, SETTINGS, RECOMMENDED)
        self._probing = Probing(SETTINGS, RECOMMENDED, layers, prober, Restless())

    async def _counted(self, key: str, value: str, ttl: int) -> bool:
        self.claims += 1
        return await self._claim(key, value, ttl)

    @property
    def commands(self) -> tuple[int, int]:
        """How many times it has looked, and tried to claim the lock."""
        return len(self.bench.far.asked), self.claims

    def probe(self) -> asyncio.Task[str]:
        return asyncio.create_task(self._probe())

    async def _probe(self) -> str:
        (attempt,) = await self._probing.attempts([IP], 1, Trace(SystemClock()), "mx.example")
        return f"{attempt.outcome}{'*' if attempt.cached else ''}"

    async def waits(self) -> None:
        """Return once it has looked at the lock and waits."""
        await self.bench.until(lambda: KEY in self.bench.near._watches and self.bench.far.asked.count(KEY) > 1)
        await self.bench.settled()

    async def quiet(self) -> bool:
        """Tell whether it gives no command while others make changes that do not concern it."""
        before = self.commands
        for number in range(20):
            await self.bench.other.set(f"p:i:{number}", "gd")
            await self.bench.settled()
        return self.commands == before


@pytest.fixture(autouse=True)
def no_look_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxcheck_service.waiting.LONGEST_SILENCE", 60.0)


@pytest.fixture
async def services(redis_server: RedisServer) -> AsyncIterator[tuple[Service, Service]]:
    async with bench(redis_server) as one, bench(redis_server) as two, asyncio.timeout(20):
        yield Service(one, FakeProber()), Service(two, FakeProber())


async def test_the_one_that_waits_asks_nothing_until_the_verdict_is_there(services: tuple[Service, Service]) -> None:
    holder, waiter = services
    holder.prober.hold = asyncio.Event()
    probe = holder.probe()
    await holder.bench.until(lambda: holder.prober.probed == [IP])
    waiting = waiter.probe()
    await waiter.waits()
    assert await waiter.quiet()
    looks, claims = waiter.commands
    holder.prober.hold.set()
    assert [await probe, await waiting] == ["gd", "gd*"]
    assert waiter.commands == (looks + 1, claims)
    assert waiter.prober.probed == []


async def test_a_lock_that_ends_without_a_verdict_is_taken_over(services: tuple[Service, Service]) -> None:
    _, waiter = services
    await waiter.bench.other.set(KEY, LOCK, ex=60)
    waiting = waiter.probe()
    await waiter.waits()
    assert await waiter.quiet()
    await waiter.bench.other.pexpire(KEY, 20)
    assert await waiting == "gd"
    assert await waiter.bench.other.get(KEY) == b"gd"


async def test_a_lock_that_is_given_up_is_taken_over(services: tuple[Service, Service]) -> None:
    """The holder's own network had a fault."""
    holder, waiter = services
    holder.prober = FakeProber({IP: LocalFault("no route")})
    holder = Service(holder.bench, holder.prober)
    holder.prober.hold = asyncio.Event()
    probe = holder.probe()
    await holder.bench.until(lambda: holder.prober.probed == [IP])
    waiting = waiter.probe()
    await waiter.waits()
    holder.prober.hold.set()
    assert [await probe, await waiting] == ["unavailable", "gd"]


async def test_a_change_that_is_no_verdict_is_looked_at_once(services: tuple[Service, Service]) -> None:
    _, waiter = services
    await waiter.bench.other.set(KEY, LOCK, ex=60)
    waiting = waiter.probe()
    await waiter.waits()
    looks, claims = waiter.commands
    await waiter.bench.other.set(KEY, LOCK, ex=60)
    await waiter.bench.until(lambda: waiter.commands == (looks + 1, claims))
    assert await waiter.quiet()
    await waiter.bench.other.set(KEY, "gd")
    assert await waiting == "gd*"


async def test_a_verdict_that_nobody_tells_of_is_found_in_the_end(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mxcheck_service.waiting.LONGEST_SILENCE", 0.01)
    async with Redis.from_url(redis_server.url) as other, asyncio.timeout(20):
        await other.set(KEY, LOCK, ex=60)
        far = CountingRedis(connect(redis_server.url, timeout=5, max_connections=4))
        near = NearCache(far, max_entries=10, clock=SystemClock())
        near.begin()
        waiter = Service(Bench(near, far, other), FakeProber())
        waiting = waiter.probe()
        await waiter.bench.until(lambda: len(far.asked) > 3)
        await other.set(KEY, "gd")
        assert await waiting == "gd*"
        await near.close()


async def test_an_empty_value_that_nobody_can_claim_is_waited_for_in_peace(services: tuple[Service, Service]) -> None:
    """It is neither lock nor verdict, and every claim of it fails: that is no news worth another one."""
    _, waiter = services
    await waiter.bench.other.set(KEY, "")
    waiting = waiter.probe()
    await waiter.waits()
    assert await waiter.quiet()
    await waiter.bench.other.set(KEY, "rf")
    assert await waiting == "rf*"
