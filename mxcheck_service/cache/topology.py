"""Who the primaries of a deployment are at present, as its sentinels or the nodes of a cluster tell."""

import asyncio
import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.sentinel import Sentinel
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from mxcheck_service.cache.exchange import UNREADABLE, Link
from mxcheck_service.cache_url import Address

FRESH: Final = 0.1
"""Seconds for which what was told is not doubted because of a server that still does not answer."""
SHARE: Final = 4
"""A node that does not answer within this part of the time for a command is passed over for the next one."""


class Nodes:
    """The way to each server, made when first wanted; `options` are those of redis-py's BlockingConnectionPool."""

    def __init__(self, options: Mapping[str, Any], timeout: float) -> None:
        self._options = options
        self._timeout = timeout
        self._links: dict[Address, Link] = {}
        self._clients: dict[Address, Redis] = {}

    def link(self, node: Address) -> Link:
        """Return what a server's commands go over."""
        if node not in self._links:
            pool = BlockingConnectionPool(host=node[0], port=node[1], **self._options)
            self._links[node] = Link(pool, self._timeout)
            self._clients[node] = Redis.from_pool(pool)
        return self._links[node]

    def client(self, node: Address) -> Redis:
        """Return what a server is asked over for the topology."""
        self.link(node)
        return self._clients[node]

    async def aclose(self) -> None:
        for link in self._links.values():
            await link.close()


@dataclass(frozen=True, slots=True)
class Topology:
    """The owners of the hash slots: (first slot, owner), in the order of the slots; None owns what nobody serves."""

    ranges: tuple[tuple[int, Address | None], ...]

    @property
    def primaries(self) -> frozenset[Address]:
        return frozenset(owner for _, owner in self.ranges if owner)

    def owner(self, slot: int) -> Address | None:
        return self.ranges[bisect_right(self.ranges, slot, key=lambda row: row[0]) - 1][1]


class Source(Protocol):
    """Whom to ask for the topology."""

    async def ask(self) -> Topology:
        """Return what is told now; raises RedisError or OSError."""
        ...

    async def close(self) -> None: ...


class SentinelSource:
    """Asks sentinels, one after the other, for the primary of a service."""

    def __init__(self, sentinel: Sentinel, service: str) -> None:
        self._sentinel = sentinel
        self._service = service

    async def ask(self) -> Topology:
        try:
            return Topology(((0, await self._sentinel.discover_master(self._service)),))
        except UNREADABLE as error:
            raise RedisConnectionError(f"a sentinel cannot be understood: {error}") from error

    async def close(self) -> None:
        for client in self._sentinel.sentinels:
            await client.aclose()


class ClusterSource:
    """Asks nodes of a cluster, beginning anywhere: one that is cut off from the others never tells anything new."""

    def __init__(self, seeds: Sequence[Address], nodes: Nodes, timeout: float) -> None:
        self._seeds = seeds
        self._clients = nodes
        self._patience = timeout / SHARE
        self._nodes = list(seeds)

    async def ask(self) -> Topology:
        problem: Exception | None = None
        anywhere = random.sample(self._nodes, len(self._nodes))
        for node in sorted(anywhere, key=lambda node: not self._clients.link(node).answers):
            try:
                async with asyncio.timeout(self._patience):
                    rows = await self._clients.client(node).execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
                if rows:
                    return self._read(rows, node)
            except (RedisError, OSError, *UNREADABLE) as error:
                problem = error
        raise RedisConnectionError(f"no node of the cluster tells who serves what: {problem or 'none serves anything'}")

    async def close(self) -> None:
        pass

    def _read(self, rows: list[Any], told_by: Address) -> Topology:
        """Read [[first slot, last slot, [host, port, …] of the primary, the same of each replica …], …].

        Raises whatever comes of it when they are something else.
        """
        ranges: list[tuple[int, Address | None]] = [(0, None)]
        nodes: list[Address] = []
        for first, last, *servers in sorted(rows, key=lambda row: int(row[0])):
            # A node that does not know its own name leaves it out: it is the one that was asked.
            addresses = [(host.decode() if host else told_by[0], _port(port)) for host, port, *_ in servers]
            ranges[-1:] = [(first, addresses[0])] if ranges[-1][0] == first else [ranges[-1], (first, addresses[0])]
            if last + 1 < REDIS_CLUSTER_HASH_SLOTS:
                ranges.append((last + 1, None))
            nodes += addresses
        self._nodes = list(dict.fromkeys((*nodes, *self._seeds)))
        return Topology(tuple(ranges))


def _port(told: Any) -> int:
    if not isinstance(told, int) or not 0 < told < 65_536:
        raise ValueError(f"{told!r} is no port")
    return told


class Primaries:
    """What is known of the topology; asked for when it is not known, once for all who want to know."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: Topology | None = None
        self._told_at = 0.0
        self._asking = asyncio.Lock()
        self._learnt = asyncio.Event()

    async def present(self) -> Topology:
        """Return the topology as last told; raises RedisError or OSError when nobody tells."""
        async with self._asking:
            if self._known is None:
                self._known = await self._source.ask()
                self._told_at = asyncio.get_running_loop().time()
                self._learnt.set()
            return self._known

    def forget(self, topology: Topology | None = None) -> None:
        """Ask anew for the next one who wants to know, unless this topology (None: any) was replaced already."""
        if topology is None or self._known is topology:
            self._known = None

    def doubt(self, topology: Topology) -> None:
        """As `forget`, but not of what has just been told: this comes with every command to a server that hangs."""
        if asyncio.get_running_loop().time() - self._told_at >= FRESH:
            self.forget(topology)

    async def changed(self, heard: frozenset[Address], every: float) -> None:
        """Return when others than these are primaries; they are asked for every so many seconds, or whenever forgotten.

        Raises RedisError or OSError when nobody tells.
        """
        while (await self.present()).primaries == heard:
            self._learnt.clear()
            try:
                async with asyncio.timeout(every):
                    await self._learnt.wait()
            except TimeoutError:
                self.forget()

    async def close(self) -> None:
        await self._source.close()
