"""How many lookups are taken on, and whose turn it is.

What costs is a domain that has to be looked up, whoever asked for it and whether or not somebody still waits for it. So
lookups are counted, not requests. A message has one to three domains; a request may name hundreds, and its lookups get
only a few places that all such requests share, each in its turn.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mxcheck_service.core.model import Source

FEW: Final = len(Source)
"""Most domains of an ordinary message: one of each source."""
TOGETHER: Final = 4
"""Lookups under way at once, however busy the processor is, of all requests that have more. So few that they share it
with the others, and do not take it."""
MOST_TOGETHER: Final = 64
"""So many where they wait for the network only."""
_BUSY: Final = 0.7
"""Share of the time that the processor works, past which those that have more are to leave it to the others."""

_LATE: Final = 0.03
"""Seconds; lookups take less than one all told where the loop is no later than that."""
_LESS: Final = 0.8
_MORE: Final = 1.05
_LEAST: Final = 64
"""Lookups that are always taken on."""
_CROWDED: Final = 0.7
"""Part of all lookups; where the loop has been late so often that no more are taken on, they begin together."""
_APART: Final = 4
"""Looks at the loop from one such beginning to the next: a tenth of a second."""
_RESTED: Final = 0.95
"""Share of the time that the processor works, below which it could have begun more."""


class Overloaded(Exception):
    """Nothing more can be taken on now; nothing was begun."""


class Places:
    """Gives places to the lookups of a process.

    `most`: so many lookups are under way when no more are taken on, or fewer while the process cannot cope with them;
    requests with many domains have as many again.
    """

    def __init__(self, most: float = math.inf, *, together: int = TOGETHER) -> None:
        self._most = self.limit = most
        self.together = together
        self._in_turn = 0
        self._lines: deque[deque[asyncio.Future[None]]] = deque()
        self._crowded = False
        self._beginners: list[asyncio.Future[None]] = []
        self._looks = 0
        self.few = 0
        """Lookups of ordinary messages that are under way."""
        self.many = 0
        """Those of requests with more domains, under way or waiting for their turn."""

    def __len__(self) -> int:
        return self.few + self.many

    @property
    def full(self) -> bool:
        """Whether an ordinary message would be refused."""
        return self.few >= self.limit

    def full_after(self, coming: int) -> bool:
        """Whether an ordinary message would be refused once so many that are coming have their places: where at least
        half are taken, since who is remembered needs none."""
        return self.few + min(coming, self.few) >= self.limit

    def adapt(self, late: float, busy: float) -> None:
        """Take what the event loop tells, some times a second: how many seconds late it is, and which share of the time
        it has had no rest.

        A lookup needs a dozen turns of the loop, so what counts is how long one lasts. Nothing is lost by having fewer
        under way once the processor is what they wait for; where they wait for the network, no turn lasts long.
        """
        if late > _LATE:
            self.limit = max(self.limit * _LESS, min(_LEAST, self._most))
        else:
            self.limit = min(self.limit * _MORE, self._most)
        self.together = max(self.together - 1, TOGETHER) if busy > _BUSY else min(self.together + 1, MOST_TOGETHER)
        self._call()
        self._crowded = busy > _BUSY and self.limit < _CROWDED * self._most
        self._looks += 1
        if not self._crowded or busy < _RESTED or self._looks >= _APART:
            self._begin_together()

    def take(self, count: int, *, no_more: bool = False) -> "Taken":
        """Take on so many lookups of one request; raises Overloaded, and always where there are to be `no_more`."""
        if no_more or (self.full if count <= FEW else self.many >= self._most):
            raise Overloaded
        return Taken(self, count)

    async def enter(self, line: deque[asyncio.Future[None]]) -> None:
        """Wait for a place: in its own line, and the lines are served in turn."""
        if self._in_turn < self.together:
            self._in_turn += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        if len(line) == 1:
            self._lines.append(line)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Leave the place to the next one."""
        self._in_turn -= 1
        self._call()

    async def begin(self) -> None:
        """Begin a lookup of an ordinary message: at once, or together with others where it is crowded.

        All wait for the processor then. Those that begin in one turn of the loop go through the same steps side by
        side, so that the code and the connections of a step serve many at a time, and each costs less.
        """
        if self._crowded:
            beginning: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._beginners.append(beginning)
            await beginning

    def _begin_together(self) -> None:
        self._looks = 0
        for beginning in self._beginners:
            if not beginning.done():
                beginning.set_result(None)
        self._beginners.clear()

    def _call(self) -> None:
        """Tell those whose turn it is, as long as there are places."""
        while self._lines and self._in_turn < self.together:
            line = self._lines.popleft()
            turn = line.popleft()
            if line:
                self._lines.append(line)
            if not turn.done():
                turn.set_result(None)
                self._in_turn += 1


class Taken:
    """The lookups of one request that were taken on."""

    def __init__(self, places: Places, count: int) -> None:
        self._places = places
        self._few = count <= FEW
        self._line: deque[asyncio.Future[None]] = deque()
        self._add(count)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place, once there is one."""
        if self._few:
            await self._places.begin()
            yield
            return
        await self._places.enter(self._line)
        try:
            yield
        finally:
            self._places.leave()

    def over(self, lookup: object) -> None:
        """Note that one of them has ended, however that came."""
        self._add(-1)

    def _add(self, count: int) -> None:
        if self._few:
            self._places.few += count
        else:
            self._places.many += count
