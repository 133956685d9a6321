"""A cluster, and a primary under sentinels, that lose servers, give slots away, hang and come back."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mxcheck_service.cache import servers
from mxcheck_service.cache.exchange import Command
from mxcheck_service.cache.servers import Servers
from mxcheck_service.ports import CacheBackend, CacheError
from tests.contract.caches import connect
from tests.lab.redis_cluster import RedisCluster
from tests.lab.redis_sentinel import RedisSentinel

PATIENCE = 0.8
"""cache.timeout of these tests, seconds."""
BRIEFLY = PATIENCE + 0.7
"""What a command may take on a busy machine."""

Lab = RedisCluster | RedisSentinel


@pytest.fixture(params=["cluster", "sentinel"])
def lab(request: pytest.FixtureRequest) -> Lab:
    """Each of the two."""
    made: Lab = request.getfixturevalue(f"redis_{request.param}")
    return made


@asynccontextmanager
async def connected(lab: Lab) -> AsyncIterator[Servers]:
    several = servers.connect(lab.url, timeout=PATIENCE, max_connections=4)
    try:
        yield several
    finally:
        await several.close()


@asynccontextmanager
async def opened(lab: Lab) -> AsyncIterator[CacheBackend]:
    cache = connect(lab.url, timeout=PATIENCE, max_connections=4)
    try:
        yield cache
    finally:
        await cache.close()


async def outcome_of(cache: CacheBackend, key: str) -> str:
    """Write and read a key; "ok" or "error", and never longer than a command may take each."""
    started = time.monotonic()
    try:
        await cache.set(key, "v", 60)
        assert await cache.get(key) == "v"
    except CacheError:
        return "error"
    finally:
        assert time.monotonic() - started < 2 * BRIEFLY
    return "ok"


async def test_a_killed_primary_costs_errors_until_another_has_taken_over(lab: Lab) -> None:
    victim = lab.primary_of("k")
    async with opened(lab) as cache:
        assert await outcome_of(cache, "k") == "ok"
        victim.kill()
        assert await outcome_of(cache, "k") == "error"
        failing_over = asyncio.create_task(asyncio.to_thread(lab.wait_failed_over, victim))
        meanwhile = set()
        while not failing_over.done():
            meanwhile.add(await outcome_of(cache, "k"))
            await asyncio.sleep(0.01)
        await failing_over
        assert meanwhile <= {"ok", "error"}
        assert [await outcome_of(cache, "k") for _ in range(3)] == ["ok"] * 3


async def test_a_hanging_primary_is_left_once_another_has_taken_over(lab: Lab) -> None:
    """Connections to it still succeed, so that nothing but the time tells."""
    victim = lab.primary_of("k")
    async with opened(lab) as cache:
        assert await outcome_of(cache, "k") == "ok"
        with victim.paused():
            assert await outcome_of(cache, "k") == "error"
            async with asyncio.timeout(20):
                while await outcome_of(cache, "k") == "error":
                    pass
            assert [await outcome_of(cache, "k") for _ in range(3)] == ["ok"] * 3


async def test_a_server_that_was_demoted_while_nobody_looked_is_asked_nothing_more(lab: Lab) -> None:
    """It is there and answers; a client that holds on to it would be told MOVED or READONLY for ever."""
    before = lab.primary_of("k")
    async with opened(lab) as cache:
        assert await outcome_of(cache, "k") == "ok"
        await asyncio.to_thread(lab.switch_over, "k")
        assert lab.primary_of("k") is not before
        assert before.running
        assert await outcome_of(cache, "k") == "ok"


async def test_ping_fails_while_a_primary_is_lost(lab: Lab) -> None:
    async with opened(lab) as cache:
        await cache.ping()
        lab.primary_of("k").kill()
        with pytest.raises(CacheError):
            await cache.ping()


@pytest.mark.parametrize("url", ["redis+cluster://127.0.0.1:1,127.0.0.1:2", "redis+sentinel://127.0.0.1:1/lab"])
async def test_nobody_there_is_an_error_at_once(url: str) -> None:
    cache = connect(url, timeout=PATIENCE, max_connections=4)
    with pytest.raises(CacheError):
        await cache.get("k")
    with pytest.raises(CacheError):
        await cache.get_many(["k", "l"])
    await cache.close()


async def test_a_hanging_teller_is_passed_over(lab: Lab) -> None:
    """A hung sentinel, or a hung node of the cluster that does not serve the key, holds nobody up for long."""
    for hanging in range(3):
        with lab.teller_paused(hanging, "k"):
            async with opened(lab) as cache:
                assert await outcome_of(cache, "k") == "ok"


async def test_more_commands_than_connections_wait(lab: Lab) -> None:
    async with opened(lab) as cache:
        assert await asyncio.gather(*(cache.set_if_absent(f"k{n}", "v", 60) for n in range(100))) == [True] * 100
        assert await cache.get_many([f"k{n}" for n in range(100)]) == ["v"] * 100


def setting(keys: Sequence[str]) -> list[Command]:
    return [("SET", key, b"v", "EX", 60) for key in keys]


async def test_commands_have_replies_and_errors_in_order(redis_cluster: RedisCluster) -> None:
    async with connected(redis_cluster) as several:
        keys = [redis_cluster.key_of(primary, "k") for primary in redis_cluster.primaries]
        redis_cluster.primary_of(keys[1]).ask("RPUSH", keys[1], "x")
        commands: list[Command] = [("SET", key, b"v", "EX", 60, "NX") for key in keys]
        commands += [(word, key) for word in ("GET", "PTTL") for key in keys]
        replies = await several.execute([*commands, ("DEL", keys[0])])
        assert replies[:3] == [b"OK", None, b"OK"]
        assert [type(reply) for reply in replies[3:6]] == [bytes, ResponseError, bytes]
        assert [reply > 0 for reply in replies[6:9]] == [True, False, True]
        assert replies[9:] == [1]


async def test_a_lost_primary_fails_its_own_commands_only(redis_cluster: RedisCluster) -> None:
    """The others of the same pipeline have their replies, those in flight on other connections too."""
    async with connected(redis_cluster) as several:
        keys = [redis_cluster.key_of(primary, "k") for primary in redis_cluster.primaries]
        await several.ping()
        redis_cluster.primary_of(keys[1]).kill()
        for _ in range(2):
            replies = await several.execute(setting(keys))
            assert [replies[0], replies[2]] == [b"OK", b"OK"]
            assert isinstance(replies[1], RedisConnectionError)


async def test_a_hanging_primary_holds_up_its_own_commands_only(redis_cluster: RedisCluster) -> None:
    async with connected(redis_cluster) as several:
        keys = [redis_cluster.key_of(primary, "k") for primary in redis_cluster.primaries]
        await several.ping()
        with redis_cluster.primary_of(keys[1]).paused():
            started = time.monotonic()
            replies = await several.execute(setting(keys))
            assert time.monotonic() - started < BRIEFLY
        assert [replies[0], replies[2]] == [b"OK", b"OK"]
        assert isinstance(replies[1], RedisTimeoutError)


async def test_commands_follow_a_slot_on_its_way(redis_cluster: RedisCluster) -> None:
    """A slot being moved answers ASK for keys that are not there any more, and MOVED once it has gone."""
    source, target, _ = redis_cluster.primaries
    key = redis_cluster.key_of(source, "k")
    async with opened(redis_cluster) as cache:
        with redis_cluster.moving(key, target) as moving:
            await cache.set(key, "asked", 60)
            assert source.ask("CLUSTER", "COUNTKEYSINSLOT", moving.slots[0]) == 0
            assert target.ask("CLUSTER", "COUNTKEYSINSLOT", moving.slots[0]) == 1
            assert await cache.get_many([key, "other"]) == ["asked", None]
            moving.finish()
        assert await cache.get(key) == "asked"
        assert redis_cluster.primary_of(key) is target


async def test_a_slot_that_nobody_serves_is_an_error(redis_cluster: RedisCluster) -> None:
    key, *_ = (redis_cluster.key_of(primary, "k") for primary in redis_cluster.primaries)
    async with connected(redis_cluster) as several:
        with redis_cluster.unserved(key):
            (reply,) = await several.execute([("GET", key)])
            assert isinstance(reply, RedisError)
        assert await several.execute(setting([key])) == [b"OK"]


async def test_a_server_that_is_no_cluster_says_so(redis_sentinel: RedisSentinel) -> None:
    cache = connect(f"redis+cluster://127.0.0.1:{redis_sentinel.primary.port}", timeout=PATIENCE, max_connections=4)
    with pytest.raises(CacheError, match="cluster support disabled"):
        await cache.get("k")
    await cache.close()


async def test_a_service_that_sentinels_do_not_know_is_named(redis_sentinel: RedisSentinel) -> None:
    cache = connect(redis_sentinel.url.replace("/lab/0", "/bal"), timeout=PATIENCE, max_connections=4)
    with pytest.raises(CacheError, match="'bal'"):
        await cache.get("k")
    await cache.close()


async def test_the_database_of_the_url_is_used(redis_sentinel: RedisSentinel) -> None:
    cache = connect(redis_sentinel.url.replace("/lab/0", "/lab/3"), timeout=PATIENCE, max_connections=4)
    await cache.set("k", "v", 60)
    assert "db3:keys=1" in redis_sentinel.primary.ask("INFO", "keyspace")
    await cache.close()
