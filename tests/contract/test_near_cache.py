"""The near cache over a real Redis: what it keeps is what Redis holds, and what Redis says has changed is gone."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from redis.asyncio import Redis

from mxcheck_service.cache.near import NearCache
from mxcheck_service.cache.redis import RedisCache
from mxcheck_service.cache.servers import Servers, connect
from mxcheck_service.cache.tracking import track
from mxcheck_service.ports import SystemClock
from tests.lab.redis import RedisServer


class CountingRedis(RedisCache):
    """Counts the keys that are asked for, and can be held up before its answer is passed on."""

    def __init__(self, servers: Servers) -> None:
        super().__init__(servers)
        self.asked: list[str] = []
        self.answered = asyncio.Event()
        self.pass_on = asyncio.Event()
        self.pass_on.set()

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        found = await super().get_many(keys)
        self.asked.extend(keys)
        self.answered.set()
        await self.pass_on.wait()
        return found


async def read(near: NearCache, key: str) -> str | None:
    (value,) = await near.get_many([key])
    return value


class HandClock(SystemClock):
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Bench:
    """A near cache in step with a server, and another client that writes behind its back."""

    def __init__(self, near: NearCache, far: CountingRedis, other: "Redis") -> None:
        self.near, self.far, self.other = near, far, other

    async def read(self, key: str) -> str | None:
        return await read(self.near, key)

    async def held_up(self, key: str, value: str) -> "asyncio.Task[str | None]":
        """Have this value read, and hold the answer up until `far.pass_on` is set."""
        await self.other.set(key, value, ex=60)
        await self.settled()
        self.far.answered.clear()
        self.far.pass_on.clear()
        reading = asyncio.create_task(self.read(key))
        await self.far.answered.wait()
        return reading

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what Redis is about to tell."""
        await asyncio.wait_for(self._changes(condition), 10)

    @staticmethod
    async def _changes(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - the near cache has no event to tell of it
            await asyncio.sleep(0.005)

    async def settled(self) -> None:
        """Wait until a change made now has been told: then all earlier ones have been, too."""
        self.near.entries.put("p:marker", "x", float("inf"))
        await self.other.set("p:marker", "y")
        await self.until(lambda: self.near.entries.get("p:marker") is None)


@asynccontextmanager
async def bench(server: RedisServer, max_entries: int = 100) -> AsyncIterator[Bench]:
    servers = connect(server.url, timeout=5, max_connections=4)
    async with Redis.from_url(server.url) as other:
        far = CountingRedis(servers)
        near = NearCache(far, max_entries=max_entries, clock=SystemClock())
        tracking = asyncio.create_task(track(servers, near, "p:", SystemClock()))
        made = Bench(near, far, other)
        await made.until(lambda: near._coherent)
        await made.settled()
        yield made
        tracking.cancel()
        with suppress(asyncio.CancelledError):
            await tracking
        await near.close()


@pytest.fixture
async def b(redis_server: RedisServer) -> AsyncIterator[Bench]:
    async with bench(redis_server) as made:
        yield made


async def test_what_was_read_is_not_asked_for_again(b: Bench) -> None:
    await b.other.set("p:a", "1", ex=60)
    await b.settled()
    assert [await b.read("p:a") for _ in range(3)] == ["1"] * 3
    assert await b.near.get_many(["p:a", "p:b"]) == ["1", None]
    assert b.far.asked == ["p:a", "p:b"]


async def test_what_somebody_else_changes_is_asked_for_again(b: Bench) -> None:
    await b.other.set("p:a", "old", ex=60)
    await b.settled()
    assert await b.read("p:a") == "old"
    await b.other.set("p:a", "new", ex=60)
    await b.settled()
    assert await b.read("p:a") == "new"
    await b.other.delete("p:a")
    await b.settled()
    assert await b.read("p:a") is None


async def test_changes_of_keys_beyond_ascii_are_told_too(b: Bench) -> None:
    """A key prefix may be anything; names and addresses are ASCII."""
    for value in ("old", "new"):
        await b.other.set("p:ü", value, ex=60)
        await b.settled()
        assert await b.read("p:ü") == value


async def test_our_own_writes_are_seen_at_once(b: Bench) -> None:
    await b.near.set("p:a", "1", 60)
    assert await b.read("p:a") == "1"
    await b.near.set("p:a", "2", 60)
    assert await b.read("p:a") == "2"
    await b.near.delete("p:a")
    assert await b.read("p:a") is None
    assert await b.near.set_if_absent("p:a", "3", 60)
    assert await b.read("p:a") == "3"


async def test_numbers_are_counted_in_redis_and_seen_at_once(redis_server: RedisServer) -> None:
    """Before Redis tells of the change; here it never does."""
    far = CountingRedis(connect(redis_server.url, timeout=5, max_connections=4))
    near = NearCache(far, max_entries=10, clock=SystemClock())
    near.begin()
    for number in range(1, 4):
        assert await near.count(["p:n"], 1, 60) == [number]
        assert await read(near, "p:n") == str(number)
    await near.close()


async def test_a_flush_empties_it(b: Bench) -> None:
    await b.near.set("p:a", "1", 60)
    await b.settled()
    await b.read("p:a")
    await b.other.flushall()
    await b.until(lambda: len(b.near) == 0)
    assert await b.read("p:a") is None


async def test_an_answer_overtaken_by_a_change_is_not_kept(b: Bench) -> None:
    """The reply was on its way when the key changed: it may be told, but not remembered."""
    reading = await b.held_up("p:a", "old")
    await b.other.set("p:a", "new", ex=60)
    await b.settled()
    b.far.pass_on.set()
    assert await reading == "old"
    assert await b.read("p:a") == "new"


@pytest.mark.parametrize("told_again", [False, True], ids=["flushed", "not told for a while"])
async def test_an_answer_from_before_everything_was_forgotten_is_not_kept(b: Bench, told_again: bool) -> None:
    reading = await b.held_up("p:a", "old")
    if told_again:
        b.near.end()
        b.near.begin()
    else:
        b.near.forget(None)
    b.far.pass_on.set()
    assert await reading == "old"
    assert not b.near.entries.known_for([("p:a", "old")])


async def test_locks_are_never_kept(b: Bench) -> None:
    await b.other.set("p:i:192.0.2.1", "l", ex=60)
    await b.settled()
    assert await b.read("p:i:192.0.2.1") == "l"
    assert await b.near.get_many(["p:i:192.0.2.1"]) == ["l"]
    assert b.far.asked == ["p:i:192.0.2.1"] * 2


async def test_an_entry_ends_no_later_than_in_redis(redis_server: RedisServer) -> None:
    """Redis tells of expiry too, when it gets to it; the near cache does not wait for that."""
    async with Redis.from_url(redis_server.url) as client:
        clock = HandClock()
        servers = connect(redis_server.url, timeout=5, max_connections=4)
        near = NearCache(RedisCache(servers), max_entries=10, clock=clock)
        near.begin()
        await client.set("p:a", "1", ex=60)
        assert await read(near, "p:a") == "1"
        clock.now += 59
        await client.delete("p:a")
        assert await read(near, "p:a") == "1"
        clock.now += 1
        assert await read(near, "p:a") is None
        await near.close()


async def test_it_holds_no_more_than_it_may(redis_server: RedisServer) -> None:
    async with bench(redis_server, max_entries=3) as b:
        for number in range(5):
            await b.other.set(f"p:{number}", str(number), ex=60)
        await b.settled()
        assert await b.near.get_many([f"p:{number}" for number in range(5)]) == ["0", "1", "2", "3", "4"]
        assert len(b.near) == 3
        b.far.asked.clear()
        await b.near.get_many(["p:4", "p:3", "p:2", "p:1"])
        assert b.far.asked == ["p:1"]


async def test_while_redis_is_not_heard_nothing_is_kept(b: Bench, redis_server: RedisServer) -> None:
    await b.near.set("p:a", "1", 60)
    await b.settled()
    await b.read("p:a")
    redis_server.stop()
    await b.until(lambda: not b.near._coherent)
    assert len(b.near) == 0
    redis_server.start()
    await b.until(lambda: b.near._coherent)
    await b.near.set("p:a", "2", 60)
    assert await b.read("p:a") == "2"


async def test_a_lost_connection_is_noticed_and_made_again(b: Bench) -> None:
    await b.near.set("p:a", "1", 60)
    await b.settled()
    await b.read("p:a")
    await b.other.client_kill_filter(_type="pubsub")
    await b.until(lambda: len(b.near) == 0)
    await b.until(lambda: b.near._coherent)
    await b.other.set("p:a", "2", ex=60)
    await b.settled()
    assert await b.read("p:a") == "2"


async def test_a_silent_server_is_given_up(b: Bench, redis_server: RedisServer) -> None:
    """Nothing closes the connection; only the heartbeat can tell."""
    with redis_server.paused():
        await b.until(lambda: not b.near._coherent)
    await b.until(lambda: b.near._coherent)


@pytest.mark.parametrize(("untold", "kept"), [(0.0, "nothing"), (5.0, "what it holds is kept near for 5 s at most")])
async def test_where_changes_are_not_told_there_is_one_line_and_a_short_memory(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, untold: float, kept: str
) -> None:
    async with Redis.from_url(redis_server.url) as admin:
        await admin.acl_setuser("plain", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-client"])
        servers = connect(redis_server.url.replace("redis://", "redis://plain:secret@"), timeout=5, max_connections=1)
        clock = HandClock()
        near = NearCache(RedisCache(servers), max_entries=10, clock=clock)
        async with asyncio.timeout(30):
            await track(servers, near, "p:", clock, untold=untold)
        await near.set("p:a", "1", 60)
        assert await read(near, "p:a") == "1"
        await admin.set("p:a", "2", ex=60)
        assert await read(near, "p:a") == ("1" if untold else "2")
        clock.now += 5
        assert await read(near, "p:a") == "2"
        await near.close()
        await admin.acl_deluser("plain")
    (record,) = caplog.records
    assert record.getMessage().startswith(f"Redis does not tell of changes, so {kept}")


async def test_no_read_that_starts_after_a_change_was_told_sees_what_was_before(redis_server: RedisServer) -> None:
    """Two services and a writer on one Redis: values only grow, and a reader may never fall behind what it was told."""
    told: dict[str, int] = dict.fromkeys(("p:a", "p:b", "p:c"), 0)
    done = asyncio.Event()
    draw = random.Random(7)
    reads = 0

    async def read_on(near: NearCache) -> None:
        nonlocal reads
        while not done.is_set():
            keys = draw.sample(sorted(told), draw.randint(1, 3))
            floors = [told[key] for key in keys]
            values = await near.get_many(keys)
            assert all(int(value or 0) >= floor for value, floor in zip(values, floors, strict=True))
            reads += 1
            await asyncio.sleep(draw.choice((0, 0, 0.0005)))

    async with bench(redis_server) as one, bench(redis_server) as two, asyncio.TaskGroup() as readers:
        for near in (one.near, one.near, two.near, two.near):
            readers.create_task(read_on(near))
        for number in range(1, 201):
            key = draw.choice(sorted(told))
            writer = draw.choice((one.other, one.near, two.near))
            await (
                writer.set(key, str(number), ex=60) if isinstance(writer, Redis) else writer.set(key, str(number), 60)
            )
            await one.settled()
            await two.settled()
            told[key] = number
        done.set()
    assert reads > 200
