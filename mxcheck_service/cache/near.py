"""A near cache: what was read from Redis is kept in the process until Redis says that it has changed.

Source: Redis' server-assisted client-side caching, broadcasting mode (`CLIENT TRACKING ... BCAST PREFIX`). While
nothing is heard from Redis (`cache.tracking` tells) nothing is kept, and every read goes through.
"""

from collections.abc import Sequence

from mxcheck_service.cache.lru import ExpiringLru
from mxcheck_service.cache.redis import RedisCache
from mxcheck_service.core.codec import LOCK
from mxcheck_service.ports import Clock


class NearCache:
    """A `CacheBackend` over another one. Holds at most `max_entries`; the one longest unused goes first.

    An entry never outlives its time in Redis, a lock is never kept, and neither is what changed while it was fetched.
    """

    def __init__(self, far: RedisCache, *, max_entries: int, clock: Clock) -> None:
        self._far = far
        self._clock = clock
        self._entries = ExpiringLru(max_entries, clock)
        self._coherent = False
        # Fetches under way by key, and the keys among them whose answer may be old by the time it is here.
        self._fetching: dict[str, int] = {}
        self._changed: set[str] = set()
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self) -> None:
        """Keep what is read from now on: from now on changes are told."""
        self._coherent = True

    def end(self) -> None:
        """Forget everything and keep nothing: changes are not told any more."""
        self._coherent = False
        self.forget(None)

    def forget(self, keys: Sequence[str] | None) -> None:
        """Forget these keys, which have changed; None: all of them."""
        if keys is None:
            self._epoch += 1
            self._entries.clear()
            return
        for key in keys:
            self._entries.drop(key)
            if key in self._fetching:
                self._changed.add(key)

    async def get(self, key: str) -> str | None:
        value = self._entries.get(key)
        if value is None:
            value = await self._far.get(key) if not self._coherent else (await self._fetch([key], alone=True))[0]
        return value

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        if not self._coherent:
            return await self._far.get_many(keys)
        values = {key: self._entries.get(key) for key in keys}
        missing = [key for key, value in values.items() if value is None]
        if missing:
            values |= zip(missing, await self._fetch(missing, alone=False), strict=True)
        return [values[key] for key in keys]

    async def set(self, key: str, value: str, ttl: int) -> None:
        try:
            await self._far.set(key, value, ttl)
        finally:
            self.forget([key])

    async def set_if_absent(self, key: str, value: str, ttl: int) -> bool:
        try:
            return await self._far.set_if_absent(key, value, ttl)
        finally:
            self.forget([key])

    async def delete(self, key: str) -> None:
        try:
            await self._far.delete(key)
        finally:
            self.forget([key])

    async def ping(self) -> None:
        await self._far.ping()

    async def close(self) -> None:
        self.end()
        await self._far.close()

    async def _fetch(self, keys: Sequence[str], *, alone: bool) -> list[str | None]:
        """Read from Redis and keep what has not changed meanwhile; `alone`: a value of another type is an error."""
        # The time left is counted from before the question, so that the near entry ends no later than the far one.
        asked = self._clock.monotonic()
        epoch = self._epoch
        for key in keys:
            self._fetching[key] = self._fetching.get(key, 0) + 1
        try:
            found = await self._far.get_many_with_ttl(keys, strict=alone)
            for key, entry in zip(keys, found, strict=True):
                if entry and entry[0] != LOCK and key not in self._changed and self._coherent and epoch == self._epoch:
                    self._entries.put(key, entry[0], asked + entry[1])
        finally:
            for key in keys:
                self._fetching[key] -= 1
                if not self._fetching[key]:
                    del self._fetching[key]
                    self._changed.discard(key)
        return [entry[0] if entry else None for entry in found]
