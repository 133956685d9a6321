"""The shared cache in Redis: one class, the client chosen by the URL."""

import logging
import math
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mxcheck_service.cache import servers
from mxcheck_service.cache.routing import RoutedClient
from mxcheck_service.ports import CacheError

T = TypeVar("T")
_log = logging.getLogger(__name__)


def connect(url: str, *, timeout: float, max_connections: int) -> "RedisCache":
    """Return a cache on the servers that the URL names; see `cache.servers.connect`."""
    return RedisCache(servers.connect(url, timeout=timeout, max_connections=max_connections).client)


class RedisCache:
    """A `CacheBackend` over a redis-py client. Values are octets in and out: latin-1 loses none of them."""

    def __init__(self, client: Redis | RoutedClient) -> None:
        self._client = client
        self._down = False

    async def get(self, key: str) -> str | None:
        return _text(await self._call(self._client.get(key)))

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        return [_text(value) for value in await self._values(keys, [])]

    async def get_many_with_ttl(self, keys: Sequence[str], *, strict: bool) -> list[tuple[str, float] | None]:
        """Return (value, seconds left) in the order of `keys`, infinity for an entry without end.

        A key of another type is None, or with `strict` a CacheError.
        """
        replies = await self._values(keys, keys, strict=strict)
        found: list[tuple[str, float] | None] = []
        for value, milliseconds in zip(replies[: len(keys)], replies[len(keys) :], strict=True):
            text = _text(value)
            left = math.inf if milliseconds == -1 else milliseconds / 1000
            found.append((text, left) if text is not None and left > 0 else None)
        return found

    async def _values(self, keys: Sequence[str], timed: Sequence[str], *, strict: bool = False) -> list[Any]:
        """Return the values of `keys`, then the milliseconds left of `timed`; raises CacheError.

        Keys are asked for one by one, for a cluster's sake. One of another type is a WRONGTYPE error in its place.
        """
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.get(key)
        for key in timed:
            pipeline.pttl(key)

        async def execute() -> list[Any]:
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
            for reply in replies:
                if isinstance(reply, Exception) and (strict or "WRONGTYPE" not in str(reply)):
                    raise reply
            return replies

        return await self._call(execute())

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


def _text(value: Any) -> str | None:
    """Return the reply to GET as text, of which an error has none. The client does not decode: replies are octets."""
    return value.decode("latin-1") if isinstance(value, bytes) else None
