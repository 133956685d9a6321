"""The near cache over several primaries, and over one that is replaced: it keeps what it would be told of."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from mxcheck_service.cache import servers
from mxcheck_service.cache.near import NearCache
from mxcheck_service.cache.redis import RedisCache
from mxcheck_service.cache.tracking import track
from mxcheck_service.ports import SystemClock
from tests.contract.caches import connect
from tests.lab.redis_cluster import RedisCluster
from tests.lab.redis_sentinel import RedisSentinel

TIMEOUT = 0.5
"""cache.timeout of these tests, seconds."""

Lab = RedisCluster | RedisSentinel


@pytest.fixture(params=["cluster", "sentinel"])
def lab(request: pytest.FixtureRequest) -> Lab:
    """Each of the two."""
    made: Lab = request.getfixturevalue(f"redis_{request.param}")
    return made


class Bench:
    """A near cache, and another client that writes behind its back."""

    def __init__(self, near: NearCache, other: RedisCache) -> None:
        self.near, self.other = near, other

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what Redis is about to tell."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - the near cache has no event to tell of it
                await asyncio.sleep(0.005)

    async def keeps(self, key: str) -> None:
        """Read a key until it is kept: the invalidation of its own writing may come after the first reading."""
        async with asyncio.timeout(20):
            while self.near.entries.get(key) is None:
                assert (await self.near.get_many([key]))[0] is not None
                await asyncio.sleep(0)

    async def follows(self, key: str) -> None:
        """What somebody else writes is what is read, at once after it was told."""
        for value in ("first", "second"):
            await self.other.set(key, value, 60)
            await self.until(lambda: "first" not in (self.near.entries.get(key) or ()))
            assert (await self.near.get_many([key]))[0] == value
            await self.keeps(key)


@asynccontextmanager
async def bench(lab: Lab) -> AsyncIterator[Bench]:
    redis = servers.connect(lab.url, timeout=TIMEOUT, max_connections=4)
    near = NearCache(RedisCache(redis), max_entries=100, clock=SystemClock())
    other = connect(lab.url, timeout=TIMEOUT, max_connections=4)
    tracking = asyncio.create_task(track(redis, near, "p:", SystemClock()))
    made = Bench(near, other)
    try:
        await made.until(lambda: near._coherent)
        yield made
    finally:
        tracking.cancel()
        with suppress(asyncio.CancelledError):
            await tracking
        await near.close()
        await other.close()


async def test_changes_are_told_by_every_primary(redis_cluster: RedisCluster) -> None:
    async with bench(redis_cluster) as b:
        for primary in redis_cluster.primaries:
            await b.follows(redis_cluster.key_of(primary, "p:"))


async def test_a_killed_primary_empties_it_and_the_next_one_is_heard(lab: Lab) -> None:
    async with bench(lab) as b:
        keys = [f"p:{number}" for number in range(6)]
        for key in keys:
            await b.near.set(key, "1", 60)
            await b.keeps(key)
        victim = lab.primary_of("p:0")
        victim.kill()
        await b.until(lambda: not b.near._coherent)
        assert len(b.near) == 0
        await asyncio.to_thread(lab.wait_failed_over, victim)
        await b.until(lambda: b.near._coherent)
        for key in keys:
            await b.follows(key)


async def test_while_one_primary_is_lost_nothing_is_kept_of_the_others(redis_cluster: RedisCluster) -> None:
    async with bench(redis_cluster) as b:
        victim, well, _ = redis_cluster.primaries
        key = redis_cluster.key_of(well, "p:")
        victim.kill()
        await b.until(lambda: not b.near._coherent)
        await b.near.set(key, "1", 60)
        assert await b.near.get(key) == "1"
        assert len(b.near) == 0


async def test_a_primary_demoted_in_order_is_listened_to_no_more(lab: Lab) -> None:
    """It stays up and could be listened to for ever."""
    async with bench(lab) as b:
        await b.near.set("p:a", "1", 60)
        await b.keeps("p:a")
        await asyncio.to_thread(lab.switch_over, "p:a")
        heir = lab.primary_of("p:a")
        await b.until(lambda: heir.ask("PUBSUB", "NUMSUB", "__redis__:invalidate")[1] == 1 and b.near._coherent)
        await b.follows("p:a")


async def test_a_hanging_primary_empties_it_and_the_next_one_is_heard(lab: Lab) -> None:
    async with bench(lab) as b:
        victim = lab.primary_of("p:a")
        await b.near.set("p:a", "1", 60)
        await b.keeps("p:a")
        with victim.paused():
            await b.until(lambda: not b.near._coherent)
            assert len(b.near) == 0
            await asyncio.to_thread(lab.wait_failed_over, victim)
            await b.until(lambda: b.near._coherent)
            await b.follows("p:a")


async def test_a_moved_slot_is_heard_of_at_its_new_owner(redis_cluster: RedisCluster) -> None:
    source, target, _ = redis_cluster.primaries
    key = redis_cluster.key_of(source, "p:")
    async with bench(redis_cluster) as b:
        await b.near.set(key, "1", 60)
        await b.keeps(key)
        with redis_cluster.moving(key, target) as moving:
            await asyncio.to_thread(moving.finish)
        await b.follows(key)


async def test_nobody_there_keeps_it_empty_until_somebody_is(redis_sentinel: RedisSentinel) -> None:
    """Tracking begins before Redis does, and looks for it until it finds it."""
    primary = redis_sentinel.primary
    replica = next(server for server in redis_sentinel.servers if server is not primary)
    replica.kill()
    primary.kill()
    redis = servers.connect(redis_sentinel.url, timeout=TIMEOUT, max_connections=4)
    near = NearCache(RedisCache(redis), max_entries=100, clock=SystemClock())
    tracking = asyncio.create_task(track(redis, near, "p:", SystemClock()))
    made = Bench(near, RedisCache(redis))
    primary.start()
    await made.until(lambda: near._coherent)
    tracking.cancel()
    await asyncio.gather(tracking, return_exceptions=True)
    await near.close()


@pytest.mark.parametrize("url", ["redis://h:1", "redis+cluster://h:1", "redis+sentinel://h:1/s"])
async def test_a_listener_is_cancelled_for_certain(url: str) -> None:
    """With a timeout redis-py sends through asyncio.wait_for, which before Python 3.12 may lose a cancellation."""
    redis = servers.connect(url, timeout=TIMEOUT, max_connections=1)
    listener = redis.listener(("h", 1))
    assert listener.connection_pool.connection_kwargs["socket_timeout"] is None
    await listener.aclose()
    await redis.close()
