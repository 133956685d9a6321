"""Commands to one Redis server and its replies, on a connection of redis-py's.

What redis-py's pipelines do, less what a pipeline of plain commands can do without: an encoder in Python, and a time
limit for every single reply.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import hiredis
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

Command = tuple[str | bytes | int, ...]
UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What redis-py raises besides its own errors for RESP that makes no sense, such as MOVED to a port of letters."""
_PACK: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment] # its stub knows one word only


class Executor(Protocol):
    """Where commands go: one server, or several of which each has its share of the keys."""

    async def execute(self, commands: Sequence[Command]) -> Sequence[Any]:
        """Return the reply to each command in order, an error in place of each that failed.

        Every command has one key, its second word. Raises RedisError and OSError when there are no replies at all.
        """
        ...

    async def ping(self) -> None:
        """Ask for a sign of life; raises as `execute` does."""
        ...

    async def close(self) -> None: ...


class NotAnswering(RedisTimeoutError):
    """The server has not answered others in time, so the commands were not sent."""


class Link:
    """The way to one Redis server, on which nobody waits for a server that hangs.

    After commands that were not answered in time it sends PING, again and again, and refuses whatever else is to be
    sent until that is answered: a check has many commands, one after the other, and each would take all its time.
    """

    def __init__(self, pool: ConnectionPool, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._trial: asyncio.Task[None] | None = None
        self._wanted = False

    @property
    def answers(self) -> bool:
        """Whether it has not just failed to."""
        return self._trial is None

    async def exchange(self, commands: Sequence[Command], timeout: float | None = None) -> list[Any]:
        """As the function of this name, within the link's own time at most; raises NotAnswering at once."""
        if self._trial is not None:
            self._wanted = True
            raise NotAnswering("it has not answered in time, and is asked nothing else until it does")
        try:
            return await exchange(self._pool, commands, self._timeout if timeout is None else timeout)
        except (TimeoutError, RedisTimeoutError):
            if self._trial is None:
                self._trial = asyncio.create_task(self._try())
            raise

    async def _try(self) -> None:
        """Return when the server answers, or refuses to, or nobody has wanted anything of it for a while."""
        try:
            self._wanted = True
            while self._wanted:
                self._wanted = False
                try:
                    await exchange(self._pool, [("PING",)], self._timeout)
                except (TimeoutError, RedisTimeoutError):
                    continue
                except (RedisError, OSError):
                    pass  # the next one will be told so, too, and at once
                return
        finally:
            self._trial = None

    async def close(self) -> None:
        """Close all connections."""
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.gather(self._trial, return_exceptions=True)
        await self._pool.aclose()


async def exchange(pool: ConnectionPool, commands: Sequence[Command], timeout: float) -> list[Any]:
    """Return the reply to each command in order, a ResponseError in place of one that was refused.

    Within `timeout` seconds for all; raises RedisError, and OSError, of which TimeoutError is one. On a connection that
    the server has closed meanwhile it is tried once more, so that a restarted server costs nobody an error.
    """
    async with asyncio.timeout(timeout):
        try:
            return await _exchange(pool, commands)
        except RedisConnectionError:
            return await _exchange(pool, commands)


async def _exchange(pool: ConnectionPool, commands: Sequence[Command]) -> list[Any]:
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]
    replies: list[Any] = []
    try:
        await connection.send_packed_command(b"".join(map(_PACK, commands)))
        for _ in commands:
            try:
                replies.append(await connection.read_response(timeout=math.inf))
            except ResponseError as error:
                replies.append(error)
            except UNREADABLE as error:
                raise InvalidResponse(f"a reply cannot be read: {error}") from error
    except BaseException:
        # Replies that nobody has read would answer the next one's commands.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)
    return replies
