"""Counts probes before they are made, in the cache: for all workers and services that share it.

The windows are minutes of the clock: the limits hold for each of them, and in sixty seconds that lie across two there
may be twice as many. Who is over a limit is not counted, so that what a narrow limit refuses takes nothing from a wide
one.
"""

import logging
from contextlib import suppress
from typing import Final

from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.core.limits import WINDOW, Limit, giving_way, limits, shares
from mxcheck_service.core.model import Verdict
from mxcheck_service.core.settings import Improvements
from mxcheck_service.counts import UNCOUNTED, Counts
from mxcheck_service.ports import CacheError, Clock
from mxcheck_service.trace import Trace

_log = logging.getLogger(__name__)

_LIFETIME: Final = 2 * WINDOW
"""Seconds that a counter lives: longer than its window, also where the clocks of services differ."""


class Limits:
    """The limits of these settings. Safe to build anew at any time: all state is in the cache."""

    def __init__(
        self, improvements: Improvements, cache: CacheLayers, clock: Clock, counts: Counts = UNCOUNTED
    ) -> None:
        self._most = limits(improvements)
        self._most_giving_way = giving_way(self._most)
        self._cache = cache
        self._clock = clock
        self._limited = {limit: counts.limited.tick(limit) for limit in Limit}

    async def refusal(self, ip: str, host: str | None, trace: Trace, *, give_way: bool = False) -> Verdict | None:
        """Count a probe that is about to be made; return None when it may be, else the verdict in its place.

        `host`: the mail host that the address is probed as; `give_way`: no message waits for it. What cannot be counted
        must not be probed, for the reason that nothing is without its lock: a dead cache would make every message a
        connection.
        """
        counted = shares(self._most_giving_way if give_way else self._most, ip, host)
        if not counted:
            return None
        window = int(self._clock.time()) // WINDOW
        names = [share.name for share in counted]
        try:
            numbers = await self._cache.count(window, names, _LIFETIME)
        except CacheError as error:
            _log.error("probe of %s not counted, so it is not made: %s", ip, error)
            return Verdict.REDIS_ERROR
        reached = [share.limit for share, number in zip(counted, numbers, strict=True) if number > share.most]
        if not reached:
            return None
        await self._give_back(window, names)
        trace.did("limit", ip=ip, limit=[limit.value for limit in reached])
        self._limited[reached[0]]()
        return Verdict.RATELIMITED

    async def not_made(self, ip: str, host: str, counted_at: float) -> None:
        """Take back that a probe was counted (at this time of the clock), since it did not leave this host."""
        if counted := shares(self._most, ip, host):
            await self._give_back(int(counted_at) // WINDOW, [share.name for share in counted])

    async def _give_back(self, window: int, names: list[str]) -> None:
        # If it fails they are missing from what may be probed in this minute, which nobody has to wait for.
        with suppress(CacheError):
            await self._cache.count(window, names, _LIFETIME, by=-1)

    def next_window(self) -> float:
        """Return the seconds until there is room again."""
        return WINDOW - self._clock.time() % WINDOW
