"""An event loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context
from itertools import count
from typing import TypeVarTuple, Unpack

Ts = TypeVarTuple("Ts")
A_MOMENT = 1e-11


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs timers in order, at once. Nothing in it may wait for a real socket."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = count()
        super().__init__(_JumpingSelector(self._advance))

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer. Of two for the same time the first one set is the first to run, as if a moment lay between."""
        return super().call_at(when + next(self._order) * A_MOMENT, callback, *args, context=context)

    def _advance(self, seconds: float) -> None:
        self._now += seconds


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits for something that no timer will bring about")
        if timeout > 0:
            self._advance(timeout)
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        return ready


class VirtualClock:
    """The clock of the running loop, for whoever asks a `Clock` instead."""

    def monotonic(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        """Return the loop's time, as if it began in 1970."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Sleep in the loop's time."""
        await asyncio.sleep(seconds)
