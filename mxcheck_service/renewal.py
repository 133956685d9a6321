"""Refresh ahead: entries that are asked for often are renewed before they expire (improvements.refresh_ahead).

So that the domains most mail comes from never meet the cold path. What a renewal cannot better stays as it is: a DNS
failure renews nothing, and a known-good address is not turned bad by one failed probe (as in Postfix's verify(8)); the
entry then ends when its time is over, and the next message asks anew.
"""

import logging
from typing import Final

from mxcheck_service.background import Background
from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.names import Names
from mxcheck_service.ports import Clock
from mxcheck_service.probing import Probing
from mxcheck_service.remembered import Reads
from mxcheck_service.trace import Trace

_log = logging.getLogger(__name__)

OFTEN: Final = 3
"""Times that a domain is asked for shortly before the end of its entries, for these to be renewed."""
_SAME_END: Final = 1.0
"""Seconds by which the end of the same entries may seem to differ."""
_MOST_COUNTED: Final = 10_000
"""Domains whose questions are counted; past it counting begins anew, which costs a renewal more or less."""


class Renewal:
    """Renews what is asked for within the last `soon` seconds of its life."""

    def __init__(
        self, cache: CacheLayers, names: Names, probing: Probing, clock: Clock, background: Background, *, soon: float
    ) -> None:
        self._cache = cache
        self._names = names
        self._probing = probing
        self._clock = clock
        self._background = background
        self._soon = soon
        self._asked: dict[str, tuple[int, float]] = {}

    def ending(self, domain: str, reads: Reads, left: float) -> None:
        """Take note that a domain was asked for whose entries have `left` seconds to live."""
        end = self._clock.monotonic() + left
        count, end_before = self._asked.get(domain, (0, end))
        # A later end: these are other entries, and the domain has to prove itself again.
        count = 1 if end > end_before + _SAME_END else count + 1
        if len(self._asked) >= _MOST_COUNTED:
            self._asked.clear()
        self._asked[domain] = (count, end)
        if count == OFTEN:
            for key, value in reads:
                if (
                    value is not None
                    and self._cache.known_for(key, value) < self._soon
                    and not self._background.spare(self._renew(key))
                ):
                    # Too many at once: when it is asked for as often again there may be room.
                    self._asked[domain] = (0, end)

    async def _renew(self, key: str) -> None:
        try:
            await self._renew_entry(*self._cache.taken_apart(key))
        except Exception:
            _log.exception("renewal of %s crashed", key)

    async def _renew_entry(self, layer: str, name: str) -> None:
        trace = Trace(self._clock, explain=False)
        match layer:
            case "d":
                await self._names.renew_domain(name, trace)
            case "m":
                await self._names.renew_host(name, trace)
            case _:
                await self._probing.renew(name, trace, within=self._soon)
