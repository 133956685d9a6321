"""Redis commands of concurrent requests, sent together.

A command by itself costs a client library some tens of microseconds and a round trip; one more in a pipeline costs a
few microseconds. So whatever is asked within one turn of the loop, or while an earlier pipeline is under way, goes out
as the next pipeline. There is one at a time: commands take effect in the order in which they were given.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any, Final

from mxcheck_service.cache.exchange import Command
from mxcheck_service.ports import CacheError

MOST_TOGETHER: Final = 256
"""Requests of one pipeline, so that it does not outlast the time that a command has."""
MOST_WAITING: Final = 10_000
"""Requests that may wait for their turn; one more is refused. Only behind a server that hangs so many gather."""

Execute = Callable[[Sequence[Command]], Awaitable[Sequence[Any]]]
"""Returns a reply or an error for each command; raises CacheError when there are none."""
_Request = tuple[Sequence[Command], asyncio.Future[Sequence[Any]]]


class Batches:
    """Gathers commands for `execute`."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._waiting: list[_Request] = []
        self._sending: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, commands: Sequence[Command]) -> asyncio.Future[Sequence[Any]]:
        """Return a future with what `execute` will return for these commands; raises CacheError when too many wait."""
        if len(self._waiting) >= MOST_WAITING:
            raise CacheError(f"Redis: {MOST_WAITING} requests are waiting for it already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Any]] = loop.create_future()
        self._waiting.append((commands, future))
        if self._sending is None:
            # The task begins after everything that is ready now has had its turn.
            self._sending = loop.create_task(self._send())
        return future

    async def drain(self) -> None:
        """Wait until everything given so far has been answered, or has failed."""
        if self._sending:
            await asyncio.wait((self._sending,))

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
                try:
                    replies = iter(await self._execute([command for commands, _ in batch for command in commands]))
                except asyncio.CancelledError:
                    self._fail(batch, CacheError("Redis: the process ends"))
                    raise
                except Exception as error:
                    self._fail(batch, error)
                else:
                    for commands, future in batch:
                        own = list(islice(replies, len(commands)))
                        if not future.done():
                            future.set_result(own)
        finally:
            self._sending = None

    def _fail(self, batch: list[_Request], error: Exception) -> None:
        """Fail these requests and whatever waits: it would fail the same way, one time limit after the other."""
        failed, self._waiting = batch + self._waiting, []
        for _, future in failed:
            if not future.done():
                future.set_exception(error)
