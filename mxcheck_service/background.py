"""Work that may outlive the request that began it: owned here, awaited or cancelled at shutdown."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Background:
    """The set of tasks a process has under way besides its request handlers."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as a task that is kept alive until it ends."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self, seconds: float) -> int:
        """Wait until all tasks have ended, at most `seconds`; cancel the others and return how many they were."""
        end = asyncio.get_running_loop().time() + seconds
        # Work may give rise to more work, which has what is left of the time.
        while self._tasks and (patience := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=patience)
        left = tuple(self._tasks)
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
