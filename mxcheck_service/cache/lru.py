"""A bounded store in the process whose entries have an end."""

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mxcheck_service.ports import Clock


class Kept(NamedTuple):
    """A value, None for a key known to be absent, until `end` in the clock's time."""

    value: str | None
    end: float


class ExpiringLru:
    """Values by key, each until its end; past `max_entries` the longest unused goes first.

    `complete`: a key that is not here is known to be absent. The counters only grow: `hits` and `misses` of keys asked
    for, `evictions` for want of room, and `version` with every change that ends what was known before.
    """

    def __init__(self, max_entries: int, clock: Clock, *, complete: bool = False) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._complete = complete
        self._entries: OrderedDict[str, Kept] = OrderedDict()
        self.hits = self.misses = self.evictions = self.version = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[str, Kept]]:
        """Yield every entry, the longest unused first, those past their end too."""
        return iter(self._entries.items())

    def get(self, key: str) -> Kept | None:
        entry = self._entries.get(key)
        if entry is not None:
            if entry.end > self._clock.monotonic():
                self._entries.move_to_end(key)
                self.hits += 1
                return entry
            del self._entries[key]
        self.misses += 1
        return None

    def end(self, key: str) -> float | None:
        """Return when an entry ends, or has ended; looking does not count as using it."""
        entry = self._entries.get(key)
        return None if entry is None else entry.end

    def known_for(self, reads: Iterable[tuple[str, str | None]]) -> float:
        """Return for how many seconds more each key is known to have just this value, 0 if it is not."""
        entries, now = self._entries, self._clock.monotonic()
        end = math.inf
        for key, value in reads:
            entry = entries.get(key)
            if entry is None or entry.end <= now:
                if not self._complete or value is not None:
                    self.misses += 1
                    return 0.0
            elif entry.value != value:
                return 0.0
            else:
                end = min(end, entry.end)
                entries.move_to_end(key)
                self.hits += 1
        return end - now

    def put(self, key: str, value: str | None, end: float) -> None:
        if self._complete or key in self._entries:
            self.version += 1
        self._entries[key] = Kept(value, end)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
            self.evictions += 1
            self.version += 1

    def drop(self, key: str) -> None:
        if self._entries.pop(key, None):
            self.version += 1

    def clear(self) -> None:
        self._entries.clear()
        self.version += 1
