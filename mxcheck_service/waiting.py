"""Waiting for what another worker is about to store."""

import asyncio
from contextlib import suppress
from typing import Final

from mxcheck_service.ports import Clock

FIRST_POLL: Final = 0.02
LONGEST_POLL: Final = 0.25
"""Seconds between two looks where nothing tells of changes: from the first to the second, growing by half."""
LONGEST_SILENCE: Final = 1.0
"""Seconds after which to look even though nothing was told: of an entry that has expired one may be told late."""


class Looks:
    """When to look at an entry: `told` is the event of `CacheBackend.watch`, None where one has to look by oneself."""

    def __init__(self, told: asyncio.Event | None, clock: Clock) -> None:
        self._told = told
        self._clock = clock
        self._pause = FIRST_POLL
        self._first = True

    async def next(self) -> None:
        """Return when it is time to look: at once if it is the first look that can be told of, else after a change."""
        if self._told is None:
            await self._clock.sleep(self._pause)
            self._pause = min(self._pause * 1.5, LONGEST_POLL)
        elif self._first:
            self._first = False
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), LONGEST_SILENCE)
            self._told.clear()
