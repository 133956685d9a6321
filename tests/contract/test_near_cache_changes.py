"""The near cache over a real Redis: how long what it knows stands, and who is told when it does not any more."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
from redis.asyncio import Redis

from mxcheck_service.cache.exchange import Executor
from mxcheck_service.cache.near import NearCache
from mxcheck_service.cache.redis import RedisCache
from mxcheck_service.cache.servers import Servers, connect
from mxcheck_service.core.codec import LOCK
from mxcheck_service.core.model import Lookup, Outcome, Verdict
from mxcheck_service.ports import SystemClock
from mxcheck_service.remembered import RememberedLookups
from mxcheck_service.trace import Trace
from tests.contract.test_near_cache import Bench, HandClock, bench, read
from tests.lab.redis import RedisServer


@pytest.fixture
async def b(redis_server: RedisServer) -> AsyncIterator[Bench]:
    async with bench(redis_server) as made:
        yield made


@pytest.fixture
async def far(redis_server: RedisServer) -> AsyncIterator[Servers]:
    servers = connect(redis_server.url, timeout=5, max_connections=4)
    yield servers
    await servers.close()


class TestAbsence:
    async def test_is_kept_and_its_end_is_told(self, b: Bench) -> None:
        assert [await b.read("p:a") for _ in range(3)] == [None] * 3
        assert b.far.asked == ["p:a"]
        assert b.near.known_for([("p:a", None)])
        await b.other.set("p:a", "1", ex=60)
        await b.settled()
        assert not b.near.known_for([("p:a", None)])
        assert await b.read("p:a") == "1"

    async def test_of_what_was_deleted_is_kept_too(self, b: Bench) -> None:
        await b.near.put("p:a", "1", 60)
        await b.near.delete("p:a")
        await b.settled()
        assert [await b.read("p:a") for _ in range(2)] == [None] * 2
        assert b.far.asked == ["p:a"]

    async def test_under_a_key_of_another_type_ends_when_that_is_overwritten(self, b: Bench) -> None:
        await b.other.rpush("p:a", "x")
        await b.settled()
        assert await b.read("p:a") is None
        await b.other.set("p:a", "1", ex=60)
        await b.settled()
        assert await b.read("p:a") == "1"


class TestKnown:
    @pytest.fixture
    async def known(self, b: Bench) -> Bench:
        """A near cache that knows p:a to be 1, and p:b to be absent."""
        await b.near.set("p:a", "1", 60)
        await b.settled()
        await b.near.get_many(["p:a", "p:b"])
        assert b.near.known_for([("p:a", "1"), ("p:b", None)])
        return b

    async def test_only_what_is_kept_and_the_same(self, known: Bench) -> None:
        assert known.near.known_for([])
        assert not known.near.known_for([("p:a", "2")])
        assert not known.near.known_for([("p:a", None)])
        assert not known.near.known_for([("p:a", "1"), ("p:c", None)])
        assert known.far.asked == ["p:a", "p:b"]

    @pytest.mark.parametrize("change", ["set", "put", "set_if_absent", "delete"])
    @pytest.mark.parametrize(("key", "value"), [("p:a", "1"), ("p:b", None)])
    async def test_ends_with_a_change_of_our_own(self, known: Bench, change: str, key: str, value: str | None) -> None:
        """Before Redis tells."""
        near = known.near
        change_it = near.delete if change == "delete" else partial(getattr(near, change), value="2", ttl=60)
        await change_it(key)
        assert not near.known_for([(key, value)])

    async def test_ends_with_a_change_of_our_own_that_fails(self, known: Bench, redis_server: RedisServer) -> None:
        """It may have been made all the same."""
        redis_server.stop()
        await known.near.put("p:a", "2", 60)
        assert not known.near.known_for([("p:a", "1")])

    async def test_ends_when_changes_are_not_told_any_more(self, known: Bench) -> None:
        known.near.end()
        assert not known.near.known_for([("p:a", "1")])
        await known.read("p:a")
        assert not known.near.known_for([("p:a", "1")])

    async def test_ends_with_the_flush_of_all(self, known: Bench) -> None:
        await known.other.flushall()
        await known.until(lambda: not known.near.known_for([("p:a", "1")]))

    @pytest.mark.parametrize("how", ["told", "flushed", "not told any more", "no room"])
    async def test_that_ends_makes_another_version(self, known: Bench, how: str) -> None:
        version = known.near.version
        match how:
            case "told":
                known.near.forget(["p:a"])
            case "flushed":
                known.near.forget(None)
            case "not told any more":
                known.near.end()
            case "no room":
                for number in range(100):
                    known.near.entries.put(f"p:{number}", "1", math.inf)
        assert not known.near.known_for([("p:a", "1")])
        assert known.near.version != version

    async def test_stands_whatever_others_publish_in_the_name_of_redis(self, known: Bench) -> None:
        """Whoever may publish can speak where Redis tells of changes, but cannot say a list of keys."""
        for said in ("p:a", "", b"\xff"):
            await known.other.publish("__redis__:invalidate", said)
        await known.settled()
        assert known.near.known_for([("p:a", "1")])
        await known.other.set("p:a", "3", ex=60)
        await known.settled()
        assert await known.read("p:a") == "3"

    async def test_that_comes_leaves_the_version(self, known: Bench) -> None:
        version = known.near.version
        known.near.entries.put("p:new", "1", math.inf)
        assert known.near.version == version

    async def test_ends_when_there_is_no_room(self, redis_server: RedisServer) -> None:
        async with bench(redis_server, max_entries=2) as b:
            await b.near.get_many(["p:a", "p:b"])
            assert b.near.known_for([("p:a", None)])
            await b.read("p:c")
            assert b.near.known_for([("p:a", None)])
            assert not b.near.known_for([("p:b", None)])
            assert b.near.entries.evictions == 1


class SlowRedis(RedisCache):
    """Each question for values takes three seconds of the clock."""

    def __init__(self, executor: Executor, clock: HandClock) -> None:
        super().__init__(executor)
        self._clock = clock

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        found = await super().get_many(keys)
        self._clock.now += 3
        return found


class TestBoundedAge:
    async def test_nothing_is_older_than_its_bound(self, redis_server: RedisServer, far: Servers) -> None:
        """Counted from before the question: who knows when, on its way, it was answered."""
        clock = HandClock()
        async with Redis.from_url(redis_server.url) as client:
            await client.set("p:forever", "1")
            await client.set("p:long", "1", ex=60)
            near = NearCache(SlowRedis(far, clock), max_entries=10, clock=clock)
            near.begin(5.0)
            keys, reads = ["p:forever", "p:long", "p:absent"], [("p:forever", "1"), ("p:long", "1"), ("p:absent", None)]
            start = clock.now
            assert await near.get_many(keys) == [value for _, value in reads]
            clock.now = start + 4.99
            assert near.known_for(reads) == pytest.approx(0.01)
            clock.now = start + 5
            assert [near.known_for([one]) for one in reads] == [0] * 3

    async def test_an_end_in_redis_within_the_bound_comes_first(self, redis_server: RedisServer, far: Servers) -> None:
        clock = HandClock()
        async with Redis.from_url(redis_server.url) as client:
            await client.set("p:a", "1", ex=2)
            near = NearCache(RedisCache(far), max_entries=10, clock=clock)
            near.begin(5.0)
            assert await read(near, "p:a") == "1"
            clock.now += 2
            assert not near.known_for([("p:a", "1")])

    async def test_without_a_bound_absence_has_no_end_of_its_own(self, far: Servers) -> None:
        clock = HandClock()
        near = NearCache(RedisCache(far), max_entries=10, clock=clock)
        near.begin()
        await read(near, "p:a")
        clock.now += 1e9
        assert near.known_for([("p:a", None)]) == math.inf


class TestWatch:
    async def test_tells_of_a_change_by_somebody_else(self, b: Bench) -> None:
        with b.near.watch("p:a") as told, b.near.watch("p:b") as not_told:
            assert told is not None
            assert not_told is not None
            await b.other.set("p:a", "1")
            await asyncio.wait_for(told.wait(), 10)
            assert not not_told.is_set()

    async def test_tells_all_who_watch(self, b: Bench) -> None:
        with b.near.watch("p:a") as one, b.near.watch("p:a") as two:
            assert one is not None
            assert two is not None
            await b.other.set("p:a", "1")
            await asyncio.wait_for(asyncio.gather(one.wait(), two.wait()), 10)

    async def test_tells_of_the_end_of_a_lock_that_nobody_releases(self, b: Bench) -> None:
        await b.other.set("p:a", LOCK, px=50)
        await b.settled()
        with b.near.watch("p:a") as told:
            assert told is not None
            await asyncio.wait_for(told.wait(), 10)
        assert await b.read("p:a") is None

    async def test_tells_when_changes_are_not_told_any_more(self, b: Bench, redis_server: RedisServer) -> None:
        with b.near.watch("p:a") as told:
            assert told is not None
            redis_server.stop()
            await asyncio.wait_for(told.wait(), 10)
        assert not b.near._coherent

    async def test_is_left_without_a_trace(self, b: Bench) -> None:
        with b.near.watch("p:a"), b.near.watch("p:a"):
            pass
        assert not b.near._watches

    async def test_has_nothing_to_tell_by_where_changes_are_not_told(self, far: Servers) -> None:
        near = NearCache(RedisCache(far), max_entries=10, clock=SystemClock())
        with near.watch("p:a") as told:
            assert told is None
        near.begin(5.0)
        with near.watch("p:a") as told:
            assert told is None


class Service:
    """Looks keys up as a checker does: what only read is remembered, a lock is something done."""

    def __init__(self, near: NearCache) -> None:
        self._near = near
        self._remembered = RememberedLookups[None](near, 10, SystemClock(), ending=lambda *_: None)
        self.recalled = 0

    async def look_up(self, keys: Sequence[str]) -> list[str | None]:
        name = ",".join(keys)
        remembered = self._remembered.get(name)
        if remembered is not None:
            self.recalled += 1
            return [value for _, value in remembered.reads]
        trace = Trace(SystemClock(), explain=False)
        values = await self._near.get_many(keys)
        for key, value in zip(keys, values, strict=True):
            trace.read("x", key, key, value)
            if value == LOCK:
                trace.did("lock")
        self._remembered.put(name, Lookup(Outcome(Verdict.GOOD), name), trace)
        return values


async def test_no_lookup_that_starts_after_a_change_was_told_sees_what_was_before(redis_server: RedisServer) -> None:
    """Two services and a writer on one Redis. Values, deletions and locks come one after the other under each key, and
    a lookup may never fall behind what its service was told."""
    history: dict[str, list[str | None]] = {key: [None] for key in ("p:a", "p:b", "p:c")}
    told = dict.fromkeys(history, 0)
    done = asyncio.Event()
    draw = random.Random(11)
    lookups = 0

    async def look_up(service: Service) -> None:
        nonlocal lookups
        while not done.is_set():
            keys = draw.choice((("p:a",), ("p:a", "p:b"), ("p:c", "p:a"), ("p:b", "p:c")))
            floors = [told[key] for key in keys]
            for key, value, floor in zip(keys, await service.look_up(keys), floors, strict=True):
                assert value in history[key][floor:], (key, value, floor)
            lookups += 1
            await asyncio.sleep(draw.choice((0, 0, 0.0005)))

    async def change(writer: "Redis | NearCache", key: str, value: str | None) -> None:
        match writer, value:
            case _, None:
                await writer.delete(key)
            case NearCache(), str():
                await (writer.set if draw.random() < 0.5 else writer.put)(key, value, 60)
            case Redis(), str():
                await writer.set(key, value, ex=60)

    async with bench(redis_server) as one, bench(redis_server) as two, asyncio.TaskGroup() as readers:
        services = [Service(one.near), Service(two.near)]
        for service in services * 2:
            readers.create_task(look_up(service))
        for number in range(300):
            key = draw.choice(sorted(history))
            value = draw.choice((str(number), str(number), None, LOCK))
            history[key].append(value)
            writer = draw.choice((one.other, one.near, two.near))
            await change(writer, key, value)
            if isinstance(writer, NearCache):
                await writer.get(key)  # what was put has been written then
            await one.settled()
            await two.settled()
            told[key] = len(history[key]) - 1
            await asyncio.sleep(0)
        done.set()
    assert lookups > 300
    assert min(service.recalled for service in services) > 50
