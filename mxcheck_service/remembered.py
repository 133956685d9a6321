"""Lookups whose end is known beforehand: what they read from the cache has not changed since.

A lookup that only read is a function of the cache entries it read and of the settings. As long as the process knows
without asking that these entries stand (`CacheBackend.known_for`), its result stands, and nothing has to be looked up.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from mxcheck_service.core.model import Lookup
from mxcheck_service.ports import CacheBackend, Clock
from mxcheck_service.trace import Trace

_SLICE: Final = 200
"""Lookups forgotten until others have their turn: less than half a millisecond."""

_NEVER: Final = -1
"""The version of a cache that was never asked."""

T = TypeVar("T")
Reads = tuple[tuple[str, str | None], ...]
"""Keys, each with the value that was read."""


@dataclass(slots=True)
class Remembered(Generic[T]):
    """A lookup, the entries it read, and what the caller has made of it so far (`uses`, the caller's own).

    The entries stand until `end` in the clock's time, as long as the cache has the `version` that was asked.
    """

    lookup: Lookup
    reads: Reads
    version: int
    end: float
    uses: dict[Hashable, T] = field(default_factory=dict)


class RememberedLookups(Generic[T]):
    """The lookups of at most `max_entries` domains, under one snapshot of settings and maps.

    One that is asked for when its entries have less than `soon` seconds left is told to `ending`, with what it read and
    these seconds.
    """

    def __init__(
        self,
        cache: CacheBackend,
        max_entries: int,
        clock: Clock,
        *,
        soon: float = 0.0,
        ending: Callable[[str, Reads, float], None],
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._max_entries = max_entries
        self._soon = soon
        self._ending = ending
        self._lookups: OrderedDict[str, Remembered[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lookups)

    def get(self, domain: str) -> Remembered[T] | None:
        """Return what a lookup of this domain would find now, None when it has to be made."""
        remembered = self._lookups.get(domain)
        if remembered is None:
            return None
        now = self._clock.monotonic()
        if remembered.version != self._cache.version or remembered.end <= now:
            left = self._cache.known_for(remembered.reads)
            if not left:
                del self._lookups[domain]
                return None
            remembered.version, remembered.end = self._cache.version, now + left
        left = remembered.end - now
        if left < self._soon:
            self._ending(domain, remembered.reads, left)
        self._lookups.move_to_end(domain)
        return remembered

    async def forget(self) -> None:
        """Forget everything, a little at a time: a hundred thousand lookups at once would take a tenth of a second."""
        while self._lookups:
            for _ in range(min(_SLICE, len(self._lookups))):
                self._lookups.popitem(last=False)
            await asyncio.sleep(0)

    def put(self, domain: str, lookup: Lookup, trace: Trace) -> None:
        """Remember a lookup, if it would end the same again."""
        if trace.repeatable:
            # Asked about its entries when it is asked for.
            self._lookups[domain] = Remembered(lookup, tuple(trace.reads.items()), _NEVER, 0.0)
            self._lookups.move_to_end(domain)
            if len(self._lookups) > self._max_entries:
                self._lookups.popitem(last=False)
