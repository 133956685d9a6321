"""Waiting for conditions: never a fixed sleep, always a deadline."""

import asyncio
import time
from collections.abc import Callable

_POLL_SECONDS = 0.01


class StillWaiting(AssertionError):
    """The condition did not hold before the deadline."""


def poll_until(condition: Callable[[], bool], within: float, what: str) -> None:
    """Block until `condition()` is true; raise StillWaiting, naming `what`, after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() >= deadline:
            raise StillWaiting(f"not within {within:g} s: {what}")
        time.sleep(_POLL_SECONDS)


class Changes:
    """Wakes the tasks that wait for a state to come about; whoever changes the state calls `notify`."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Let every waiting task look at its condition again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until(
        self, condition: Callable[[], bool], within: float | None, what: Callable[[], str] = lambda: "the change"
    ) -> None:
        """Return once `condition()` is true; raise StillWaiting, naming `what()`, after `within` seconds (None: never).

        `what` is asked when the time is over, so that it can show the state as it is then.
        """
        try:
            async with asyncio.timeout(within):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            raise StillWaiting(f"not within {within} s: {what()}") from None
