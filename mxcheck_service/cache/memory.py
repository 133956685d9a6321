"""The embedded cache: in the process, for running without Redis."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext

from mxcheck_service.cache.lru import ExpiringLru
from mxcheck_service.counts import Reads
from mxcheck_service.ports import Clock


class MemoryCache:
    """A `CacheBackend` that never fails. The entry longest unused goes first when `max_entries` are held."""

    def __init__(self, max_entries: int, clock: Clock, reads: Reads | None = None) -> None:
        self._clock = clock
        self._reads = reads or Reads()
        self._entries = ExpiringLru(max_entries, clock, complete=True)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def version(self) -> int:
        return self._entries.version

    def known_for(self, reads: Collection[tuple[str, str | None]]) -> float:
        return self._entries.known_for(reads)

    async def get(self, key: str) -> str | None:
        entry = self._entries.get(key)
        return entry.value if entry else None

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        values = [await self.get(key) for key in keys]
        for key, value in zip(keys, values, strict=True):
            self._reads.near(key, value)
        return values

    async def seconds_left(self, keys: Sequence[str]) -> list[float]:
        now = self._clock.monotonic()
        ends = (self._entries.end(key) for key in keys)
        return [0.0 if end is None else max(0.0, end - now) for end in ends]

    async def set(self, key: str, value: str, ttl: int) -> None:
        self._entries.put(key, value, self._clock.monotonic() + ttl)

    async def put(self, key: str, value: str, ttl: int) -> None:
        await self.set(key, value, ttl)

    async def set_if_absent(self, key: str, value: str, ttl: int) -> bool:
        if await self.get(key) is not None:
            return False
        await self.set(key, value, ttl)
        return True

    async def delete(self, key: str) -> None:
        self._entries.drop(key)

    async def count(self, keys: Sequence[str], by: int, ttl: int) -> list[int]:
        now = self._clock.monotonic()
        return [self._count(key, by, now + ttl) for key in keys]

    def watch(self, key: str) -> AbstractContextManager[asyncio.Event | None]:
        return nullcontext()

    async def ping(self) -> None:
        pass

    async def close(self) -> None:
        self._entries.clear()

    def _count(self, key: str, by: int, end: float) -> int:
        kept = self._entries.get(key)
        number = by + int(kept.value or 0) if kept else by
        self._entries.put(key, str(number), kept.end if kept else end)
        return number

    def snapshot(self) -> dict[str, tuple[str, float]]:
        """Return every live entry with the seconds it has left."""
        now = self._clock.monotonic()
        return {key: (value, end - now) for key, (value, end) in self._entries if value is not None and end > now}
