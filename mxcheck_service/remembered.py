"""Lookups whose end is known beforehand: what they read from the cache has not changed since.

A lookup that only read is a function of the cache entries it read and of the settings. As long as the process knows
without asking that these entries stand (`CacheBackend.known_for`), its result stands, and nothing has to be looked up.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from mxcheck_service.core.model import Lookup
from mxcheck_service.ports import CacheBackend
from mxcheck_service.trace import Trace

T = TypeVar("T")
Reads = tuple[tuple[str, str | None], ...]
"""Keys, each with the value that was read."""


class Remembered(NamedTuple, Generic[T]):
    """A lookup, the entries it read, and what the caller has made of it so far (`uses`, the caller's own)."""

    lookup: Lookup
    reads: Reads
    uses: dict[Hashable, T]


class RememberedLookups(Generic[T]):
    """The lookups of at most `max_entries` domains, under one snapshot of settings and maps.

    One that is asked for when its entries have less than `soon` seconds left is told to `ending`, with what it read and
    these seconds.
    """

    def __init__(
        self, cache: CacheBackend, max_entries: int, *, soon: float = 0.0, ending: Callable[[str, Reads, float], None]
    ) -> None:
        self._cache = cache
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
        left = self._cache.known_for(remembered.reads)
        if not left:
            del self._lookups[domain]
            return None
        if left < self._soon:
            self._ending(domain, remembered.reads, left)
        self._lookups.move_to_end(domain)
        return remembered

    def put(self, domain: str, lookup: Lookup, trace: Trace) -> None:
        """Remember a lookup, if it would end the same again."""
        if trace.repeatable:
            self._lookups[domain] = Remembered(lookup, tuple(trace.reads.items()), {})
            self._lookups.move_to_end(domain)
            if len(self._lookups) > self._max_entries:
                self._lookups.popitem(last=False)
