"""Which Redis a URL names: the clients for commands, and those that listen for what changes."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from mxcheck_service import cache_url
from mxcheck_service.cache.exchange import Command, Executor, Link
from mxcheck_service.cache.routing import Router
from mxcheck_service.cache.topology import SHARE, ClusterSource, Nodes, Primaries, SentinelSource, Source
from mxcheck_service.cache_url import Address, CacheUrl, Kind

_ONLY: Final[Address] = ("", 0)


class Servers(Executor, Protocol):
    """The servers behind one URL."""

    async def primaries(self) -> frozenset[Address]:
        """Return the servers that hold the keys now; raises RedisError or OSError when nobody tells."""
        ...

    async def changed(self, heard: frozenset[Address], every: float) -> None:
        """Return when others than these hold the keys, looking every so many seconds; raises as `primaries` does."""
        ...

    def listener(self, primary: Address) -> Redis:
        """Return a client for `cache.tracking`, which waits for messages as long as it takes.

        It never connects anew by itself: a new connection subscribes, but hears nothing before it asks for tracking.
        """
        ...


def connect(url: str, *, timeout: float, max_connections: int) -> Servers:
    """Return the servers that the URL names; raises ValueError when it names none. Nothing is connected yet.

    `timeout` is seconds per command, `max_connections` is per server; one more command waits. A command on a connection
    that the server has closed meanwhile is tried once more on a new one, so that a restart costs nobody an error.
    """
    parsed = cache_url.parse(url)
    if parsed.kind in (Kind.CLUSTER, Kind.SENTINEL):
        return _SeveralServers(parsed, timeout, max_connections)
    return OneServer(BlockingConnectionPool.from_url(url, **_commands(timeout, max_connections)), url, timeout)


class OneServer:
    """A single server, behind a pool of redis-py's."""

    def __init__(self, pool: ConnectionPool, url: str, timeout: float) -> None:
        self._link = Link(pool, timeout)
        self._url = url
        self._timeout = timeout

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        return await self._link.exchange(commands)

    async def ping(self) -> None:
        await self.execute([("PING",)])

    async def close(self) -> None:
        await self._link.close()

    async def primaries(self) -> frozenset[Address]:
        return frozenset({_ONLY})

    async def changed(self, heard: frozenset[Address], every: float) -> None:
        await asyncio.Event().wait()

    def listener(self, primary: Address) -> Redis:
        client: Redis = Redis.from_url(self._url, **_listening(self._timeout))
        return client


class _SeveralServers:
    """A cluster, or what sentinels watch."""

    def __init__(self, url: CacheUrl, timeout: float, max_connections: int) -> None:
        self._timeout = timeout
        self._options: dict[str, Any] = {"db": url.database, **url.credentials}
        nodes = Nodes(self._options | _commands(timeout, max_connections), timeout)
        source: Source
        if url.kind is Kind.CLUSTER:
            source = ClusterSource(url.nodes, nodes, timeout)
        else:
            signing_on = _one_try(timeout / SHARE) | dict(url.sentinel_credentials)
            sentinel = Sentinel(url.nodes, sentinel_kwargs=signing_on)  # type: ignore[no-untyped-call]
            source = SentinelSource(sentinel, url.service)
        self._primaries = Primaries(source)
        self._router = Router(self._primaries, nodes, timeout)

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        return await self._router.execute(commands)

    async def ping(self) -> None:
        await self._router.ping()

    async def close(self) -> None:
        await self._router.close()

    async def primaries(self) -> frozenset[Address]:
        self._primaries.forget()
        return (await self._primaries.present()).primaries

    async def changed(self, heard: frozenset[Address], every: float) -> None:
        await self._primaries.changed(heard, every)

    def listener(self, primary: Address) -> Redis:
        return Redis(host=primary[0], port=primary[1], **self._options, **_listening(self._timeout))


def _commands(timeout: float, max_connections: int) -> dict[str, Any]:
    """Return redis-py's options of a pool for commands."""
    return {
        "max_connections": max_connections,
        "timeout": timeout,
        "socket_timeout": None,  # `exchange` limits the time of all its commands
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }


def _one_try(timeout: float) -> dict[str, Any]:
    """Return redis-py's options of a client that fails at once."""
    return {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": Retry(NoBackoff(), 0)}


def _listening(timeout: float) -> dict[str, Any]:
    """Return redis-py's options of a client whose connection is an endless subscription, in RESP2.

    No socket_timeout: redis-py would send by way of asyncio.wait_for, which before Python 3.12 may swallow that its
    task is cancelled, and a listener would go on for ever.
    """
    return {"protocol": 2, "socket_connect_timeout": timeout, "socket_timeout": None, "retry": Retry(NoBackoff(), 0)}
