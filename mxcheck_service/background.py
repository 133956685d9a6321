"""Work that may outlive the request that began it: owned here, awaited or cancelled at shutdown."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

MAX_LINGERING: Final = 1000
"""Most tasks of a process that linger, and most that could be left undone."""


class Background:
    """The set of tasks a process has under way besides its request handlers.

    Lookups and what they give rise to go on as they must; past `most` tasks the process is `full`, and whoever takes on
    lookups takes on no more. Some could be left undone, and some only linger: they wait for long, on the chance of
    learning something. There are at most `max_lingering` of each, and no shutdown waits for one that lingers.
    """

    def __init__(self, max_lingering: int = MAX_LINGERING, most: float = math.inf) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._spare: set[asyncio.Task[Any]] = set()
        self._lingering: set[asyncio.Task[Any]] = set()
        self._max_lingering = max_lingering
        self._most = most

    def __len__(self) -> int:
        """Return how many tasks are under way, those that linger apart."""
        return len(self._tasks) + len(self._spare)

    @property
    def full(self) -> bool:
        """Whether so much is under way that nothing new is to be begun."""
        return len(self._tasks) >= self._most

    @property
    def lingering(self) -> int:
        """How many tasks linger."""
        return len(self._lingering)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as a task that is kept alive until it ends."""
        return _kept(self._tasks, coroutine)

    def spare(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T] | None:
        """Run a coroutine that could be left undone; None: there are too many such, and it is closed unrun."""
        if len(self._spare) >= self._max_lingering:
            coroutine.close()
            return None
        return _kept(self._spare, coroutine)

    def linger(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T] | None:
        """Run a coroutine as a task that nobody will wait for; None: there are too many, and it is closed unrun."""
        if len(self._lingering) >= self._max_lingering:
            coroutine.close()
            return None
        return _kept(self._lingering, coroutine)

    async def drain(self, seconds: float) -> int:
        """Wait until all tasks have ended, at most `seconds`; cancel the others and return how many they were.

        Those that linger are cancelled at once, and do not count.
        """
        await _cancelled(self._lingering)
        end = asyncio.get_running_loop().time() + seconds
        # Work may give rise to more work, which has what is left of the time.
        while (tasks := self._tasks | self._spare) and (patience := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(tasks, timeout=patience)
        # What has begun to linger meanwhile.
        await _cancelled(self._lingering)
        return await _cancelled(self._tasks | self._spare)


def _kept(tasks: set[asyncio.Task[Any]], coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.get_running_loop().create_task(coroutine)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


async def _cancelled(tasks: Collection[asyncio.Task[Any]]) -> int:
    """Cancel tasks, and return how many they were when they have ended."""
    left = tuple(tasks)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return len(left)


class SingleFlight(Generic[T]):
    """Calls for the same key at the same time run once: the first caller does the work, the others get its result.

    An error of the first caller is raised in all; when it is cancelled, the next caller in line takes over.
    """

    def __init__(self) -> None:
        self._flights: dict[str, asyncio.Future[T]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._flights

    async def run(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        while flight := self._flights.get(key):
            try:
                return await asyncio.shield(flight)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not flight.cancelled() or (task and task.cancelling()):
                    raise
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            result = await work()
        except asyncio.CancelledError:
            flight.cancel()
            raise
        except BaseException as error:
            flight.set_exception(error)
            # Nobody may be waiting; the first caller raises it anyway.
            flight.exception()
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            del self._flights[key]
