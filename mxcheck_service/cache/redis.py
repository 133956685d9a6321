"""The shared cache in Redis: one class, whatever servers the URL names (see `cache.servers`)."""

import asyncio
import logging
import math
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final

from redis.exceptions import ClusterDownError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mxcheck_service.cache.batch import Batches
from mxcheck_service.cache.exchange import Command, Executor
from mxcheck_service.counts import Reads
from mxcheck_service.ports import CacheError

_log = logging.getLogger(__name__)

LONGEST_VALUE: Final = 65_536
"""Octets of a value. A DNS answer has no more; whoever may write to Redis may put there what they like."""
TOO_LONG: Final = "(too long)"
"""What is read in place of such a value: nothing of the grammar."""

_LOST: Final = (RedisConnectionError, RedisTimeoutError, ClusterDownError)


class RedisCache:
    """A `CacheBackend` on Redis. Values are octets in and out: latin-1 loses none of them.

    With `batching` the commands of concurrent requests go out together (see `cache.batch`), without it those of each
    call by themselves.
    """

    def __init__(self, executor: Executor, *, batching: bool = True, reads: Reads | None = None) -> None:
        self._reads = reads or Reads()
        self._servers = executor
        self._batches = Batches(self._execute) if batching else None
        self._down = False

    @property
    def up(self) -> bool:
        """Whether the last pipeline was answered by every server it went to; true before the first one."""
        return not self._down

    @property
    def waiting(self) -> int:
        """Requests that wait for the next pipeline."""
        return 0 if self._batches is None else len(self._batches)

    @property
    def version(self) -> int:
        return 0

    def known_for(self, reads: Collection[tuple[str, str | None]]) -> float:
        return 0.0 if reads else math.inf

    async def get(self, key: str) -> str | None:
        return _text(await self._ask("GET", key))

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        if not keys:
            return []
        try:
            values = [_readable(reply) for reply in await self._ask_all([("GET", key) for key in keys])]
        except CacheError:
            for key in keys:
                self._reads.failed(key)
            raise
        for key, value in zip(keys, values, strict=True):
            self._reads.redis(key, value)
        return values

    async def seconds_left(self, keys: Sequence[str]) -> list[float]:
        """Return how long each key has to live: infinity for one without end, 0 for an absent one."""
        replies = [_number(_accepted(reply)) for reply in await self._ask_all([("PTTL", key) for key in keys])]
        return [math.inf if milliseconds == -1 else max(0, milliseconds) / 1000 for milliseconds in replies]

    async def set(self, key: str, value: str, ttl: int) -> None:
        await self._ask("SET", key, value.encode("latin-1"), "EX", ttl)

    async def put(self, key: str, value: str, ttl: int) -> None:
        command = ("SET", key, value.encode("latin-1"), "EX", ttl)
        try:
            if self._batches is None:
                await self._ask(*command)
            else:
                self._batches.add([command]).add_done_callback(partial(_tell_failure, key))
        except CacheError as error:
            _log.error("cache write %s: %s", key, error)

    async def set_if_absent(self, key: str, value: str, ttl: int) -> bool:
        return bool(await self._ask("SET", key, value.encode("latin-1"), "EX", ttl, "NX"))

    async def delete(self, key: str) -> None:
        await self._ask("DEL", key)

    async def count(self, keys: Sequence[str], by: int, ttl: int) -> list[int]:
        # Not INCRBY and EXPIRE: EXPIRE would have to be allowed as well, and knows NX from Redis 7 on only.
        commands: list[Command] = []
        for key in keys:
            commands += [("SET", key, 0, "EX", ttl, "NX"), ("INCRBY", key, by)]
        replies = [_accepted(reply) for reply in await self._ask_all(commands)]
        return list(map(_number, replies[1::2]))

    def watch(self, key: str) -> AbstractContextManager[asyncio.Event | None]:
        return nullcontext()

    async def ping(self) -> None:
        try:
            await self._servers.ping()
        except (RedisError, OSError) as error:
            raise CacheError(f"Redis: {_reason(error)}") from error

    async def close(self) -> None:
        """Close, after what was put has been written."""
        if self._batches is not None:
            await self._batches.drain()
        await self._servers.close()

    async def _ask(self, *command: str | bytes | int) -> Any:
        """Return the reply to one command; raises CacheError."""
        (reply,) = await self._ask_all([command])
        return _accepted(reply)

    async def _ask_all(self, commands: Sequence[Command]) -> Sequence[Any]:
        """Return a reply or an error for each command; raises CacheError when there are none."""
        return await (self._execute(commands) if self._batches is None else self._batches.add(commands))

    async def _execute(self, commands: Sequence[Command]) -> Sequence[Any]:
        """Send commands in one pipeline; raises CacheError when there are no replies at all."""
        try:
            replies = await self._servers.execute(commands)
        except (RedisError, OSError) as error:
            self._note(error)
            raise CacheError(f"Redis: {_reason(error)}") from error
        # Of several servers one may be lost.
        self._note(next((reply for reply in replies if isinstance(reply, _LOST)), None))
        return replies

    def _note(self, problem: Exception | None) -> None:
        """Tell the log once when Redis is lost and once when it is back."""
        if problem is not None and not self._down:
            kind = "does not answer" if isinstance(problem, TimeoutError | RedisTimeoutError) else "is lost"
            _log.warning("Redis %s, checks go on without a cache: %s", kind, _reason(problem))
        elif problem is None and self._down:
            _log.warning("Redis is back")
        self._down = problem is not None


def _reason(error: Exception) -> str:
    """Return what an error says, less the arguments of our own command: a server that does not know HELLO or AUTH, as
    Redis before 6, quotes the password in its refusal."""
    return str(error).partition(", with args beginning with")[0]


def _accepted(reply: Any) -> Any:
    """Return a reply that is no error; raises CacheError."""
    if isinstance(reply, Exception):
        raise CacheError(f"Redis refused the command: {_reason(reply)}") from reply
    return reply


def _text(reply: Any) -> str | None:
    if reply is None:
        return None
    if not isinstance(reply, bytes):
        raise _Strange(reply)
    return reply.decode("latin-1") if len(reply) <= LONGEST_VALUE else TOO_LONG


def _number(reply: Any) -> int:
    if not isinstance(reply, int):
        raise _Strange(reply)
    return reply


class _Strange(CacheError):
    """A reply is of another kind than the command's."""

    def __init__(self, reply: Any) -> None:
        super().__init__(f"Redis answered with something else than was asked for ({type(reply).__name__})")


def _readable(reply: Any) -> str | None:
    """Return the value of a key, None for one of another type as MGET does."""
    if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
        return None
    return _text(_accepted(reply))


def _tell_failure(key: str, written: asyncio.Future[Sequence[Any]]) -> None:
    try:
        (reply,) = written.result()
        _accepted(reply)
    except CacheError as error:
        _log.error("cache write %s: %s", key, error)
