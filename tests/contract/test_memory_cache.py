"""What the embedded cache alone does: it is bounded, and knows what it holds without asking anybody."""

from mxcheck_service.cache.memory import MemoryCache
from tests.unit.fakes import FakeClock


async def test_memory_forgets_what_was_longest_unused() -> None:
    cache = MemoryCache(2, FakeClock())
    await cache.set("a", "1", 60)
    await cache.set("b", "2", 60)
    await cache.get("a")
    await cache.set("c", "3", 60)
    assert await cache.get_many(["a", "b", "c"]) == ["1", None, "3"]
    assert len(cache) == 2


async def test_memory_knows_what_it_holds_until_its_end() -> None:
    clock = FakeClock()
    cache = MemoryCache(2, clock)
    await cache.set("a", "1", 60)
    read = [("a", "1"), ("b", None)]
    clock.now += 59
    assert cache.known_for(read) == 1
    clock.now += 1
    assert not cache.known_for(read)
    assert cache.known_for([("a", None)])


async def test_memory_has_another_version_when_an_absent_key_comes_and_when_one_goes_for_want_of_room() -> None:
    cache = MemoryCache(1, FakeClock())
    versions = [cache.version]
    for key in ("a", "b"):
        await cache.set(key, "1", 60)
        versions.append(cache.version)
    assert len(set(versions)) == 3


async def test_memory_keeps_what_is_in_use_though_nobody_reads_it_anew() -> None:
    cache = MemoryCache(2, FakeClock())
    await cache.set("a", "1", 60)
    await cache.set("b", "2", 60)
    assert cache.known_for([("a", "1")])
    await cache.set("c", "3", 60)
    assert await cache.get_many(["a", "b", "c"]) == ["1", None, "3"]


async def test_memory_is_empty_when_closed() -> None:
    cache = MemoryCache(2, FakeClock())
    await cache.set("a", "1", 60)
    await cache.close()
    assert await cache.get("a") is None
