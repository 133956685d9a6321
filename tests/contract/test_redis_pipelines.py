"""The commands of concurrent requests over a real Redis: how many pipelines they take, and what a failure costs."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from mxcheck_service.cache import batch, servers
from mxcheck_service.cache.exchange import Command
from mxcheck_service.cache.redis import RedisCache
from mxcheck_service.ports import CacheError
from tests.contract.caches import connect
from tests.lab.redis import RedisServer


class CountingCache(RedisCache):
    """Counts the commands of each pipeline; `hold` keeps them from being sent."""

    def __init__(self, url: str, *, timeout: float = 5, batching: bool = True) -> None:
        self.sizes: list[int] = []
        self.hold: asyncio.Event | None = None
        super().__init__(servers.connect(url, timeout=timeout, max_connections=4), batching=batching)

    async def _execute(self, commands: Sequence[Command]) -> Sequence[Any]:
        self.sizes.append(len(commands))
        if self.hold:
            await self.hold.wait()
        return await super()._execute(commands)


@pytest.fixture
async def cache(redis_server: RedisServer) -> AsyncIterator[CountingCache]:
    made = CountingCache(redis_server.url)
    yield made
    if made.hold:
        made.hold.set()
    await made.close()


async def test_many_concurrent_calls_take_one_pipeline(cache: CountingCache) -> None:
    claims = await asyncio.gather(*(cache.set_if_absent(f"k{number}", str(number), 60) for number in range(100)))
    values = await asyncio.gather(*(cache.get_many([f"k{number}", "absent"]) for number in range(100)))
    assert all(claims)
    assert list(values) == [[str(number), None] for number in range(100)]
    assert cache.sizes == [100, 200]


async def test_numbers_go_with_what_else_is_asked(cache: CountingCache) -> None:
    counting = [asyncio.create_task(cache.count(["a", "b", "c", "d"], 1, 60)) for _ in range(2)]
    assert await cache.set_if_absent("k", "v", 60)
    assert [await task for task in counting] == [[1] * 4, [2] * 4]
    assert cache.sizes == [17]


async def test_a_number_that_is_none_is_an_error(cache: CountingCache) -> None:
    await cache.set("k", "v", 60)
    with pytest.raises(CacheError, match="not an integer"):
        await cache.count(["k"], 1, 60)


async def test_without_batching_each_call_is_a_pipeline(redis_server: RedisServer) -> None:
    cache = CountingCache(redis_server.url, batching=False)
    await asyncio.gather(*(cache.get_many([f"k{number}", "absent"]) for number in range(10)))
    assert cache.sizes == [2] * 10
    await cache.close()


async def test_batched_calls_need_one_connection_and_no_command_of_their_own(
    redis_server: RedisServer, cache: CountingCache
) -> None:
    with redis_server.client() as client:
        client.config_resetstat()
        await asyncio.gather(*(cache.put(f"k{number}", "v", 60) for number in range(50)))
        await asyncio.gather(*(cache.get_many([f"k{number}"]) for number in range(50)))
        stats: Any = client.info("commandstats")
        connections: Any = client.info("stats")
    assert {name: stats[f"cmdstat_{name}"]["calls"] for name in ("set", "get")} == {"set": 50, "get": 50}
    assert not {"cmdstat_multi", "cmdstat_exec"} & set(stats)
    assert connections["total_connections_received"] == 1


async def test_put_returns_before_the_value_is_written(cache: CountingCache) -> None:
    cache.hold = asyncio.Event()
    async with asyncio.timeout(5):
        await cache.put("k", "v", 60)
    later = asyncio.create_task(cache.get("k"))
    cache.hold.set()
    assert await later == "v"


async def test_close_writes_what_was_put_before(cache: CountingCache, redis_server: RedisServer) -> None:
    cache.hold = asyncio.Event()
    async with asyncio.timeout(5):
        await cache.put("a", "1", 60)
    closing = asyncio.create_task(cache.close())
    await asyncio.sleep(0)
    await cache.put("b", "2", 60)
    cache.hold.set()
    await closing
    with redis_server.client() as client:
        assert client.mget("a", "b") == ["1", "2"]


@pytest.mark.parametrize("batching", [True, False])
async def test_a_value_that_cannot_be_put_is_one_line_in_the_log(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, batching: bool
) -> None:
    cache = connect(redis_server.url, timeout=5, max_connections=4, batching=batching)
    redis_server.stop()
    await cache.put("p:k", "v", 60)
    await cache.close()
    assert [record.getMessage().partition(":")[0] for record in caplog.records if record.levelname == "ERROR"] == [
        "cache write p"
    ]


@pytest.mark.parametrize("batching", [True, False])
async def test_a_value_that_redis_refuses_is_one_line_in_the_log(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, batching: bool
) -> None:
    cache = connect(redis_server.url, timeout=5, max_connections=4, batching=batching)
    await cache.put("p:k", "v", -1)
    await cache.close()
    (record,) = caplog.records
    assert record.getMessage().startswith("cache write p:k: Redis refused the command")


async def test_a_value_that_finds_no_room_to_wait_in_is_one_line_in_the_log(
    cache: CountingCache, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MOST_WAITING", 1)
    await cache.put("a", "1", 60)
    await cache.put("b", "2", 60)
    with pytest.raises(CacheError, match="waiting"):
        await cache.get("a")
    await cache.close()
    (record,) = caplog.records
    assert record.getMessage() == "cache write b: Redis: 1 requests are waiting for it already"
    assert await cache.get_many(["a"]) == ["1"]


async def test_a_command_that_redis_refuses_fails_alone(cache: CountingCache, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.rpush("list", "x")
    results = await asyncio.gather(
        cache.get("list"),
        cache.set("a", "1", 60),
        cache.set("b", "2", -1),
        cache.get_many(["list", "a"]),
        cache.seconds_left(["list", "absent"]),
        return_exceptions=True,
    )
    assert cache.sizes == [7]
    assert [type(results[0]), type(results[2])] == [CacheError, CacheError]
    assert [str(results[0])[:60], results[1], results[3]] == [
        "Redis refused the command: WRONGTYPE Operation against a key",
        None,
        [None, "1"],
    ]
    assert results[4] == [float("inf"), 0]


async def test_callers_that_hang_up_do_not_disturb_the_others(cache: CountingCache) -> None:
    """The replies of a cancelled one are on the connection still, and are nobody else's."""
    await cache.set("a", "1", 60)
    cache.hold = asyncio.Event()
    asked = [asyncio.create_task(cache.get_many(["absent", "a"])) for _ in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked[0].cancel()
    asked[2].cancel()
    cache.hold.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False, True, False]
    assert [results[1], results[3]] == [[None, "1"]] * 2
    assert await cache.get("a") == "1"


async def test_a_redis_that_hangs_costs_those_who_wait_one_time_limit_together(redis_server: RedisServer) -> None:
    cache = CountingCache(redis_server.url, timeout=0.2)
    assert await cache.get("a") is None
    with redis_server.paused():
        first = asyncio.create_task(cache.get("a"))
        while len(cache.sizes) < 2:  # noqa: ASYNC110 - nothing tells that a pipeline has begun
            await asyncio.sleep(0)
        waiting = [asyncio.create_task(cache.get(key)) for key in "bcd"]
        errors = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert [type(error) for error in errors] == [CacheError] * 4
    assert cache.sizes == [1, 1]
    await answers_again(cache)
    await cache.close()


async def test_nobody_waits_for_a_redis_that_is_known_to_hang(redis_server: RedisServer) -> None:
    cache = CountingCache(redis_server.url, timeout=0.5)
    with redis_server.paused():
        with pytest.raises(CacheError):
            await cache.get("a")
        began = time.monotonic()
        for key in "bcdef":
            with pytest.raises(CacheError):
                await cache.get(key)
        assert time.monotonic() - began < 2 * 0.5, "all five together"
    await answers_again(cache)
    await cache.close()


async def answers_again(cache: CountingCache) -> None:
    """Wait until the PING that was sent meanwhile has been answered."""
    async with asyncio.timeout(30):
        while True:
            try:
                assert await cache.get("a") is None
            except CacheError:
                await asyncio.sleep(0)
            else:
                return


async def test_a_defect_of_the_client_library_is_raised_and_ends_nothing(
    cache: CountingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("mxcheck_service.cache.exchange.exchange", explode)
        errors = await asyncio.gather(cache.get("a"), cache.get("b"), return_exceptions=True)
    assert [type(error) for error in errors] == [ZeroDivisionError] * 2
    assert await cache.get("a") is None
