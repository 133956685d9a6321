"""Politeness towards those who are probed: at most so many connections at a time to one network of mail hosts.

A provider's MX hosts have thousands of names and many addresses, but they stand in few networks. What is limited is
therefore the network of the address, /24 for IPv4 and /64 for IPv6: the limit holds for each address in it, too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from typing import Final, Protocol

from mxcheck_service.core.limits import network_of
from mxcheck_service.ports import Connection, Dialer


class Turns(Protocol):
    """Decides when an address may be probed.

    `patient`: no message waits for the verdict. Limits are reached sooner then, and where one is, the next window is
    waited for.
    """

    @property
    def patient(self) -> bool: ...

    def turn(self, ip: str) -> AbstractAsyncContextManager[None]:
        """Wait until it is this address's turn; on leaving, the probe is over."""
        ...


class NoLimit:
    """Every address may be probed at once."""

    patient: Final = False

    def turn(self, ip: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()


class PerNetwork:
    """Gives each network at most `limit` turns at a time.

    A turn is waited for before the probe lock is claimed, so that no lock grows old in a queue. Connections made
    through `dialer` in a turn keep its place until they are closed: saying goodbye may take longer than the probe.
    """

    patient: Final = True

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._networks: dict[str, _Network] = {}

    def __len__(self) -> int:
        """Return how many networks are in use or waited for."""
        return len(self._networks)

    @asynccontextmanager
    async def turn(self, ip: str) -> AsyncIterator[None]:
        place = await self._enter(network_of(ip))
        token = _PLACE.set(place)
        try:
            yield
        finally:
            _PLACE.reset(token)
            place.leave()

    def dialer(self, dialer: Dialer) -> Dialer:
        """Return a dialer whose connections count."""
        return _CountingDialer(dialer)

    async def _enter(self, name: str) -> "_Place":
        network = self._networks.setdefault(name, _Network(self._limit))
        network.users += 1
        try:
            await network.places.acquire()
        except BaseException:
            self._left(name, network)
            raise
        return _Place(self, name, network)

    def freed(self, name: str, network: "_Network") -> None:
        """Take a place back."""
        network.places.release()
        self._left(name, network)

    def _left(self, name: str, network: "_Network") -> None:
        network.users -= 1
        if not network.users:
            del self._networks[name]


class _Network:
    def __init__(self, limit: int) -> None:
        self.places = asyncio.Semaphore(limit)
        self.users = 0


class _Place:
    """One of a network's places; free again when the turn is over and its connections are closed."""

    def __init__(self, owner: PerNetwork, name: str, network: _Network) -> None:
        self._owner = owner
        self._name = name
        self._network = network
        self._holders = 1

    def hold(self) -> None:
        self._holders += 1

    def leave(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._owner.freed(self._name, self._network)


_PLACE: ContextVar[_Place | None] = ContextVar("place", default=None)
"""The place of the turn that the running task is in: the prober between turn and dialer need not know of it."""


class _CountingDialer:
    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    async def connect(self, ip: str, port: int, timeout: float) -> Connection:
        connection = await self._dialer.connect(ip, port, timeout)
        place = _PLACE.get()
        return connection if place is None else _CountedConnection(connection, place)


class _CountedConnection:
    def __init__(self, connection: Connection, place: _Place) -> None:
        place.hold()
        self._connection = connection
        self._place: _Place | None = place

    async def receive(self) -> bytes:
        return await self._connection.receive()

    async def send(self, data: bytes) -> None:
        await self._connection.send(data)

    def close(self) -> None:
        self._connection.close()
        if self._place is not None:
            self._place.leave()
            self._place = None
