"""A bounded store in the process whose entries have an end."""

from collections import OrderedDict
from collections.abc import Iterator

from mxcheck_service.ports import Clock


class ExpiringLru:
    """Text by key, each entry until its end in the clock's time; past `max_entries` the longest unused goes first."""

    def __init__(self, max_entries: int, clock: Clock) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[str, str, float]]:
        """Yield (key, value, end) of every entry, the longest unused first, those past their end too."""
        return ((key, value, end) for key, (value, end) in self._entries.items())

    def get(self, key: str) -> str | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, end = entry
        if end <= self._clock.monotonic():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: str, value: str, end: float) -> None:
        self._entries[key] = (value, end)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()
