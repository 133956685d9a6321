"""The embedded cache: a bounded LRU in the process, for running without Redis."""

from collections import OrderedDict
from collections.abc import Sequence

from mxcheck_service.ports import Clock


class MemoryCache:
    """A `CacheBackend` that never fails. The entry longest unused goes first when `max_entries` are held."""

    def __init__(self, max_entries: int, clock: Clock) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: str) -> str | None:
        return self._get(key)

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        return [self._get(key) for key in keys]

    async def set(self, key: str, value: str, ttl: int) -> None:
        self._set(key, value, ttl)

    async def set_if_absent(self, key: str, value: str, ttl: int) -> bool:
        if self._get(key) is not None:
            return False
        self._set(key, value, ttl)
        return True

    async def delete(self, key: str) -> None:
        self._entries.pop(key, None)

    async def ping(self) -> None:
        pass

    async def close(self) -> None:
        self._entries.clear()

    def snapshot(self) -> dict[str, tuple[str, float]]:
        """Return every live entry with the seconds it has left."""
        now = self._clock.monotonic()
        return {key: (value, end - now) for key, (value, end) in self._entries.items() if end > now}

    def _get(self, key: str) -> str | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, end = entry
        if end <= self._clock.monotonic():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    def _set(self, key: str, value: str, ttl: int) -> None:
        self._entries[key] = (value, self._clock.monotonic() + ttl)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
