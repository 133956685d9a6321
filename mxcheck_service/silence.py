"""Tells a resolver that answers nobody from a name that nobody answers for.

A failed question fails its name for a minute (`expire_dns_fail`), so that a flood of mail from a domain with dead name
servers does not wait for them message by message. When our own resolver is dead, or its way out is, every name fails
that is asked for, and what is kept of that outlives the fault. So names that fail while nothing is answered are
remembered, and once something is, they are to be forgotten.
"""

from math import inf
from typing import Final, Literal, NamedTuple

from mxcheck_service.core.limits import suffix_of

DOUBT: Final = 3
"""Registered names in a row; so many without an answer between them are hardly dead each by itself."""
MOST: Final = 2000
"""Names that are remembered, the latest: those before them fail until they expire."""


class Key(NamedTuple):
    """A cached entry: its layer and the name."""

    layer: Literal["d", "m"]
    name: str


class Silence:
    """Follows what becomes of questions; times are seconds of any clock."""

    def __init__(self) -> None:
        self._failed: dict[Key, None] = {}
        self._over = -inf

    def failed(self, key: Key, asked: float) -> bool:
        """Take in that a question of that time was not answered; tell whether the name is to be failed for long."""
        if asked < self._over:
            return False
        self._failed.pop(key, None)
        self._failed[key] = None
        if len(self._failed) > MOST:
            del self._failed[next(iter(self._failed))]
        return True

    def answered(self, now: float) -> list[Key]:
        """Take in an answer, whatever it says; return what failed for want of one and is to be forgotten."""
        if not self._failed:
            return []
        found = list(self._failed)
        self._failed.clear()
        if len({suffix_of(key.name) for key in found}) < DOUBT:
            return []
        self._over = now
        return found
