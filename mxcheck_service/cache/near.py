"""A near cache: what was read from Redis is kept in the process until Redis says that it has changed.

Source: Redis' server-assisted client-side caching, broadcasting mode (`CLIENT TRACKING ... BCAST PREFIX`). While
nothing is heard from Redis (`cache.tracking` tells) nothing is kept, and every read goes through.
"""

import asyncio
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from mxcheck_service.cache.lru import ExpiringLru
from mxcheck_service.cache.redis import RedisCache
from mxcheck_service.core.codec import LOCK
from mxcheck_service.counts import Reads
from mxcheck_service.ports import Clock


class NearCache:
    """A `CacheBackend` over another one. Holds at most `max_entries`; the one longest unused goes first.

    An entry never outlives its time in Redis, a lock is never kept, and neither is what changed while it was fetched.
    That a key is absent is kept, too: Redis tells of its coming as well.
    """

    def __init__(self, far: RedisCache, *, max_entries: int, clock: Clock, reads: Reads | None = None) -> None:
        self._far = far
        self._clock = clock
        self._reads = reads or Reads()
        self._coherent = False
        self._longest = math.inf
        # Fetches under way by key, and the keys among them whose answer may be old by the time it is here.
        self._fetching: dict[str, int] = {}
        self._changed: set[str] = set()
        self._epoch = 0
        self._watches: dict[str, set[asyncio.Event]] = {}
        self.entries = ExpiringLru(max_entries, clock)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def far(self) -> RedisCache:
        """What is kept near."""
        return self._far

    @property
    def tracked(self) -> bool | None:
        """Whether Redis tells of changes at present; None: it never does, and what is kept is kept for a short time."""
        return None if self._longest < math.inf else self._coherent

    def begin(self, longest: float = math.inf) -> None:
        """Keep what is read from now on, for `longest` seconds at most where changes are not told."""
        self._coherent = True
        self._longest = longest

    def end(self) -> None:
        """Forget everything and keep nothing: changes are not told any more."""
        self._coherent = False
        self.forget(None)

    def forget(self, keys: Sequence[str] | None) -> None:
        """Forget these keys, which have changed; None: all of them."""
        if keys is None:
            self._epoch += 1
            self.entries.clear()
            for watches in self._watches.values():
                _set(watches)
            return
        for key in keys:
            self._drop(key)
            _set(self._watches.get(key, ()))

    @property
    def version(self) -> int:
        return self.entries.version

    def known_for(self, reads: Collection[tuple[str, str | None]]) -> float:
        return self.entries.known_for(reads)

    async def get(self, key: str) -> str | None:
        return await self._far.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        known = {key: kept for key in keys if (kept := self.entries.get(key))}
        for key, kept in known.items():
            self._reads.near(key, kept.value)
        missing = [key for key in keys if key not in known]
        fetched = dict(zip(missing, await self._fetch(missing), strict=True)) if missing else {}
        return [known[key].value if key in known else fetched[key] for key in keys]

    async def seconds_left(self, keys: Sequence[str]) -> list[float]:
        return await self._far.seconds_left(keys)

    async def set(self, key: str, value: str, ttl: int) -> None:
        try:
            await self._far.set(key, value, ttl)
        finally:
            self._drop(key)

    async def put(self, key: str, value: str, ttl: int) -> None:
        try:
            await self._far.put(key, value, ttl)
        finally:
            self._drop(key)

    async def set_if_absent(self, key: str, value: str, ttl: int) -> bool:
        try:
            return await self._far.set_if_absent(key, value, ttl)
        finally:
            self._drop(key)

    async def delete(self, key: str) -> None:
        try:
            await self._far.delete(key)
        finally:
            self._drop(key)

    async def count(self, keys: Sequence[str], by: int, ttl: int) -> list[int]:
        try:
            return await self._far.count(keys, by, ttl)
        finally:
            for key in keys:
                self._drop(key)

    @contextmanager
    def watch(self, key: str) -> Iterator[asyncio.Event | None]:
        if not self._coherent or self._longest < math.inf:
            yield None
            return
        told = asyncio.Event()
        self._watches.setdefault(key, set()).add(told)
        try:
            yield told
        finally:
            self._watches[key].discard(told)
            if not self._watches[key]:
                del self._watches[key]

    async def ping(self) -> None:
        await self._far.ping()

    async def close(self) -> None:
        self.end()
        await self._far.close()

    def _drop(self, key: str) -> None:
        """Forget a key that we change. Who watches it is told when Redis tells of the change: there may be none."""
        self.entries.drop(key)
        if key in self._fetching:
            self._changed.add(key)

    async def _fetch(self, keys: Sequence[str]) -> list[str | None]:
        """Read from Redis, and keep what has not changed meanwhile."""
        if not self._coherent:
            return await self._far.get_many(keys)
        epoch = self._epoch
        for key in keys:
            self._fetching[key] = self._fetching.get(key, 0) + 1
        try:
            # Counted from before each question, so that a near entry is no older than allowed, and ends no later than
            # the far one.
            ends = dict.fromkeys(keys, self._clock.monotonic() + self._longest)
            values = await self._far.get_many(keys)
            found = [key for key, value in zip(keys, values, strict=True) if value is not None]
            if found:
                asked = self._clock.monotonic()
                for key, left in zip(found, await self._far.seconds_left(found), strict=True):
                    ends[key] = min(ends[key], asked + left)
            if self._coherent and epoch == self._epoch:
                for key, value in zip(keys, values, strict=True):
                    if value != LOCK and key not in self._changed:
                        self.entries.put(key, value, ends[key])
        finally:
            for key in keys:
                self._fetching[key] -= 1
                if not self._fetching[key]:
                    del self._fetching[key]
                    self._changed.discard(key)
        return values


def _set(events: Iterable[asyncio.Event]) -> None:
    for event in events:
        event.set()
