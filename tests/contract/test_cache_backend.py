"""One contract for every cache backend: memory, fakeredis, and real Redis.

Redis as one server over TCP, TLS and a unix socket, as a cluster, and under sentinels.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import fakeredis
import pytest
import redis.asyncio

from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.cache.redis import RedisCache
from mxcheck_service.cache.servers import OneServer
from mxcheck_service.ports import CacheBackend, CacheError
from tests.contract.caches import connect
from tests.lab.redis import RedisServer
from tests.lab.redis_cluster import RedisCluster
from tests.lab.redis_sentinel import RedisSentinel

BACKENDS = (
    *("memory", "fakeredis", "redis", "redis without batching", "rediss", "unix", "redis with password"),
    *("cluster", "sentinel"),
)


class StillClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Expiry(Protocol):
    """How to look at and speed up the ageing of entries of one backend."""

    async def ttl(self, key: str) -> float: ...

    async def expire_now(self, key: str) -> None: ...


class MemoryExpiry:
    def __init__(self, cache: MemoryCache, clock: StillClock) -> None:
        self._cache, self._clock = cache, clock

    async def ttl(self, key: str) -> float:
        return self._cache.snapshot()[key][1]

    async def expire_now(self, key: str) -> None:
        self._clock.now += await self.ttl(key)


class RedisExpiry:
    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client

    async def ttl(self, key: str) -> float:
        return float(await self._client.pttl(key)) / 1000

    async def expire_now(self, key: str) -> None:
        await self._client.pexpire(key, 0)


class PrimaryExpiry:
    """Looks at whichever primary has the key."""

    def __init__(self, servers: RedisCluster | RedisSentinel) -> None:
        self._servers = servers

    async def ttl(self, key: str) -> float:
        return int(self._servers.primary_of(key).ask("PTTL", key)) / 1000

    async def expire_now(self, key: str) -> None:
        self._servers.primary_of(key).ask("PEXPIRE", key, 0)


@pytest.fixture(params=BACKENDS)
async def backend_and_expiry(request: pytest.FixtureRequest) -> AsyncIterator[tuple[CacheBackend, Expiry]]:
    if request.param == "memory":
        clock = StillClock()
        memory = MemoryCache(100, clock)
        yield memory, MemoryExpiry(memory, clock)
        return
    if request.param == "fakeredis":
        client = fakeredis.FakeAsyncRedis()
        yield RedisCache(OneServer(client.connection_pool, "", 5)), RedisExpiry(client)
        await client.aclose()
        return
    if request.param in ("cluster", "sentinel"):
        servers: RedisCluster | RedisSentinel = request.getfixturevalue(f"redis_{request.param}")
        cache = connect(servers.url, timeout=5, max_connections=4)
        yield cache, PrimaryExpiry(servers)
        await cache.close()
        return
    name = "redis_with_password" if request.param == "redis with password" else "redis_server"
    server: RedisServer = request.getfixturevalue(name)
    server.flush()
    trusting = f"{server.tls_url}?ssl_ca_certs={server.ca_file}"
    url = {"rediss": trusting, "unix": server.unix_url}.get(request.param, server.url)
    cache = connect(url, timeout=5, max_connections=4, batching=request.param != "redis without batching")
    async with redis.asyncio.Redis.from_url(server.url) as observer:
        yield cache, RedisExpiry(observer)
    await cache.close()


@pytest.fixture
def cache(backend_and_expiry: tuple[CacheBackend, Expiry]) -> CacheBackend:
    return backend_and_expiry[0]


@pytest.fixture
def expiry(backend_and_expiry: tuple[CacheBackend, Expiry]) -> Expiry:
    return backend_and_expiry[1]


async def test_absent_keys_are_none(cache: CacheBackend) -> None:
    assert await cache.get("k") is None
    assert await cache.get_many(["k", "l"]) == [None, None]


async def test_nothing_asked_for_is_nothing(cache: CacheBackend) -> None:
    assert await cache.get_many([]) == []


async def test_values_come_back_in_the_order_of_the_keys(cache: CacheBackend) -> None:
    await cache.set("a", "1", 60)
    await cache.set("b", "2", 60)
    assert await cache.get_many(["b", "missing", "a"]) == ["2", None, "1"]


async def test_a_later_value_replaces_the_earlier_one_and_its_lifetime(cache: CacheBackend, expiry: Expiry) -> None:
    await cache.set("k", "old", 10)
    await cache.set("k", "new", 1000)
    assert await cache.get("k") == "new"
    assert 990 < await expiry.ttl("k") <= 1000


async def test_every_octet_survives(cache: CacheBackend) -> None:
    value = "".join(chr(octet) for octet in range(256))
    await cache.set("k", value, 60)
    assert await cache.get("k") == value


async def test_an_expired_entry_is_gone(cache: CacheBackend, expiry: Expiry) -> None:
    await cache.set("k", "v", 60)
    await expiry.expire_now("k")
    assert await cache.get("k") is None
    assert await cache.get_many(["k"]) == [None]


async def test_only_the_first_claim_of_a_key_succeeds(cache: CacheBackend, expiry: Expiry) -> None:
    assert await cache.set_if_absent("k", "first", 30)
    assert not await cache.set_if_absent("k", "second", 300)
    assert await cache.get("k") == "first"
    assert 29 < await expiry.ttl("k") <= 30


async def test_an_expired_key_can_be_claimed_again(cache: CacheBackend, expiry: Expiry) -> None:
    await cache.set_if_absent("k", "first", 30)
    await expiry.expire_now("k")
    assert await cache.set_if_absent("k", "second", 30)


async def test_of_many_claims_at_once_one_succeeds(cache: CacheBackend) -> None:
    claims = await asyncio.gather(*(cache.set_if_absent("k", str(index), 30) for index in range(20)))
    assert claims.count(True) == 1


async def test_a_deleted_key_is_gone_and_may_be_deleted_again(cache: CacheBackend) -> None:
    await cache.set("k", "v", 60)
    await cache.delete("k")
    await cache.delete("k")
    assert await cache.get("k") is None


async def test_what_was_put_is_found_by_whatever_is_asked_later(cache: CacheBackend, expiry: Expiry) -> None:
    await cache.put("k", "put", 60)
    found = await asyncio.gather(cache.get("k"), cache.get_many(["x", "k"]), cache.set_if_absent("k", "claimed", 60))
    assert list(found) == ["put", [None, "put"], False]
    assert await cache.get("k") == "put"


async def test_what_was_put_has_its_lifetime_and_replaces_what_was_there(cache: CacheBackend, expiry: Expiry) -> None:
    await cache.set("k", "old", 1000)
    await cache.put("k", "new", 30)
    assert await cache.get("k") == "new"
    assert 29 < await expiry.ttl("k") <= 30


async def test_a_value_set_after_one_was_put_stays(cache: CacheBackend) -> None:
    await cache.put("k", "1", 60)
    await cache.set("k", "2", 60)
    await cache.put("k", "3", 60)
    await cache.delete("k")
    assert await cache.get("k") is None
    await cache.put("k", "4", 60)
    await cache.put("k", "5", 60)
    assert await cache.get_many(["k"]) == ["5"]


async def test_nothing_read_stands_for_ever(cache: CacheBackend) -> None:
    assert cache.known_for(()) == math.inf


async def test_a_value_that_is_not_the_one_read_has_changed(cache: CacheBackend) -> None:
    await cache.set("k", "v", 60)
    await cache.get_many(["k"])
    assert not cache.known_for([("k", "other")])
    assert not cache.known_for([("k", None)])
    assert not cache.known_for([("k", "v"), ("l", "w")])
    await cache.delete("k")
    assert not cache.known_for([("k", "v")])


async def test_what_does_not_know_without_asking_says_so(cache: CacheBackend) -> None:
    await cache.set("k", "v", 60)
    knows = isinstance(cache, MemoryCache)
    assert cache.known_for([("k", "v")]) == (60 if knows else 0)
    assert cache.known_for([("absent", None)]) == (math.inf if knows else 0)


@pytest.mark.parametrize("change", ["another value", "deleted"])
async def test_what_was_known_and_is_not_any_more_makes_another_version(cache: CacheBackend, change: str) -> None:
    await cache.set("k", "v", 60)
    version, knew = cache.version, cache.known_for([("k", "v")])
    if change == "deleted":
        await cache.delete("k")
    else:
        await cache.put("k", "w", 60)
    assert not cache.known_for([("k", "v")])
    assert (cache.version != version) is (knew > 0)


async def test_none_of_them_tells_of_changes_by_itself(cache: CacheBackend) -> None:
    with cache.watch("k") as told:
        assert told is None


async def test_what_is_left_of_each_entry_is_told_in_the_order_of_the_keys(cache: CacheBackend, expiry: Expiry) -> None:
    await cache.set("long", "v", 1000)
    await cache.set("over", "v", 60)
    await expiry.expire_now("over")
    long, missing, over = await cache.seconds_left(["long", "missing", "over"])
    assert (missing, over) == (0, 0)
    assert 930 < long <= 1000
    assert await cache.seconds_left([]) == []


async def test_a_number_counts_what_all_add_and_lives_from_the_first(cache: CacheBackend, expiry: Expiry) -> None:
    assert await cache.count(["a", "b"], 1, 60) == [1, 1]
    added = await asyncio.gather(*(cache.count(["a"], 1, 600) for _ in range(20)))
    assert sorted(added) == [[number] for number in range(2, 22)]
    assert await cache.count(["b", "a"], -1, 600) == [0, 20]
    assert 50 < await expiry.ttl("a") <= 60
    await expiry.expire_now("a")
    assert await cache.count(["a", "b"], 1, 60) == [1, 1]


async def test_ping_says_nothing_when_all_is_well(cache: CacheBackend) -> None:
    await cache.ping()


async def test_a_key_of_another_type_is_an_error_alone_and_a_miss_among_others(redis_server: RedisServer) -> None:
    cache = connect(redis_server.url, timeout=5, max_connections=4)
    with redis_server.client() as client:
        client.rpush("list", "x")
    with pytest.raises(CacheError, match="WRONGTYPE"):
        await cache.get("list")
    assert await cache.get_many(["list"]) == [None]
    await cache.set("list", "healed", 60)
    assert await cache.get("list") == "healed"
    await cache.close()


CALLS: dict[str, Callable[[CacheBackend], Awaitable[object]]] = {
    "get": lambda cache: cache.get("k"),
    "get_many": lambda cache: cache.get_many(["k"]),
    "seconds_left": lambda cache: cache.seconds_left(["k"]),
    "set": lambda cache: cache.set("k", "v", 60),
    "set_if_absent": lambda cache: cache.set_if_absent("k", "v", 60),
    "delete": lambda cache: cache.delete("k"),
    "count": lambda cache: cache.count(["k"], 1, 60),
    "ping": lambda cache: cache.ping(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_redis_that_is_not_there_is_a_cache_error(
    redis_server: RedisServer, call: Callable[[CacheBackend], Awaitable[object]]
) -> None:
    cache = connect(redis_server.url, timeout=5, max_connections=4)
    redis_server.stop()
    with pytest.raises(CacheError, match="Redis"):
        await call(cache)
    await cache.close()


async def test_a_redis_that_does_not_answer_is_a_cache_error_within_the_timeout(redis_server: RedisServer) -> None:
    cache = connect(redis_server.url, timeout=0.2, max_connections=4)
    await cache.ping()
    with redis_server.paused(), pytest.raises(CacheError):
        async with asyncio.timeout(5):
            await cache.get("k")
    await cache.close()


async def test_a_restarted_redis_costs_no_error(redis_server: RedisServer) -> None:
    """The connections in the pool are dead then; the command goes out again on a new one."""
    cache = connect(redis_server.url, timeout=5, max_connections=4)
    await cache.set("k", "v", 60)
    redis_server.restart()
    assert await cache.get("k") is None
    await cache.close()


async def test_the_log_tells_once_that_redis_is_lost_and_once_that_it_is_back(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    cache = connect(redis_server.url, timeout=5, max_connections=4)
    redis_server.stop()
    for _ in range(3):
        with pytest.raises(CacheError):
            await cache.get("k")
    redis_server.start()
    await cache.get("k")
    await cache.get("k")
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["Redis is lost", "Redis is back"]
    await cache.close()


async def test_an_untrusted_certificate_is_refused(redis_server: RedisServer) -> None:
    cache = connect(redis_server.tls_url, timeout=5, max_connections=1)
    with pytest.raises(CacheError, match="certificate"):
        await cache.ping()
    await cache.close()
