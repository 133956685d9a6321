"""The shared cache in Redis: one class, the client chosen by the URL."""

import logging
import math
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mxcheck_service.ports import CacheError

T = TypeVar("T")
_log = logging.getLogger(__name__)


def connect(url: str, *, timeout: float, max_connections: int) -> "RedisCache":
    """Return a cache on the server that the URL names. Nothing is connected yet; `timeout` is seconds per command.

    A command on a connection that the server has closed meanwhile is tried once more on a new one, so that a restarted
    Redis costs nobody an error.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
    return RedisCache(Redis.from_pool(pool))


def listener(url: str, *, timeout: float) -> Redis:
    """Return a client for `cache.tracking`, which waits for messages as long as it takes.

    It never connects anew by itself: a new connection subscribes, but hears nothing before it has asked for tracking.
    """
    client: Redis = Redis.from_url(url, protocol=2, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0))
    return client


class RedisCache:
    """A `CacheBackend` over a redis-py client. Values are octets in and out: latin-1 loses none of them."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._down = False

    async def get(self, key: str) -> str | None:
        return _text(await self._call(self._client.get(key)))

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        if not keys:
            return []
        return [_text(value) for value in await self._call(self._client.mget(keys))]

    async def get_many_with_ttl(self, keys: Sequence[str], *, strict: bool) -> list[tuple[str, float] | None]:
        """Return (value, seconds left) in the order of `keys`, infinity for an entry without end.

        A key of another type is None, or with `strict` a CacheError.
        """
        pipeline = self._client.pipeline(transaction=False)
        if strict:
            for key in keys:
                pipeline.get(key)
        else:
            pipeline.mget(keys)
        for key in keys:
            pipeline.pttl(key)
        replies = await self._call(pipeline.execute())
        values = replies[: len(keys)] if strict else replies[0]
        found: list[tuple[str, float] | None] = []
        for value, milliseconds in zip(values, replies[-len(keys) :], strict=True):
            left = math.inf if milliseconds == -1 else milliseconds / 1000
            found.append((value.decode("latin-1"), left) if value is not None and left > 0 else None)
        return found

    async def set(self, key: str, value: str, ttl: int) -> None:
        await self._call(self._client.set(key, value.encode("latin-1"), ex=ttl))

    async def set_if_absent(self, key: str, value: str, ttl: int) -> bool:
        return bool(await self._call(self._client.set(key, value.encode("latin-1"), ex=ttl, nx=True)))

    async def delete(self, key: str) -> None:
        await self._call(self._client.delete(key))

    async def ping(self) -> None:
        await self._call(self._client.ping())

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(self, command: Awaitable[T]) -> T:
        """Await a command; raises CacheError. The log tells once when Redis is lost and once when it is back."""
        try:
            result = await command
        except ResponseError as error:
            raise CacheError(f"Redis refused the command: {error}") from error
        except (RedisError, OSError) as error:
            if not self._down:
                self._down = True
                kind = "does not answer" if isinstance(error, RedisTimeoutError) else "is lost"
                _log.warning("Redis %s, checks go on without a cache: %s", kind, error)
            raise CacheError(f"Redis: {error}") from error
        if self._down:
            self._down = False
            _log.warning("Redis is back")
        return result


def _text(value: bytes | str | None) -> str | None:
    """Return a reply as text. The client is built without decoding, so replies are octets; its types allow for both."""
    return value.decode("latin-1") if isinstance(value, bytes) else value
