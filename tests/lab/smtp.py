"""Scripted SMTP peers on 127.0.0.N, all at one port, with a record of everything that clients do.

    async with SmtpPeers() as peers:
        peer = peers.add(good())
        probe(peer.address, peers.port)
        session = (await peer.wait_ended())[0]
        assert session.received == b"QUIT\\r\\n"
        assert session.ended is End.CLIENT_CLOSED     # it had read all it was sent, the 221 too

The scripts are in `smtp_scripts`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.lab.process import ComponentFailed
from tests.lab.smtp_conversation import Conversation, End, Session
from tests.lab.smtp_scripts import Script
from tests.lab.sockets import free_port
from tests.lab.waiting import Changes

__all__ = ["End", "Peer", "Session", "SmtpPeers"]

_FIRST, _LAST = 2, 250
_MAX_FILLERS = 16
_WITHIN = 20.0
"""Seconds; longer than the service waits for any peer by default, its five seconds for the reply to QUIT included."""
# Loopback connects in microseconds, and a dropped SYN is repeated after one second only.
_FILLER_CONNECT_SECONDS = 0.2


class Peer:
    """One address with its scripts and its sessions, in the order of connecting."""

    def __init__(self, address: str, port: int, scripts: tuple[Script, ...], changes: Changes) -> None:
        self.address = address
        self.port = port
        self.sessions: list[Session] = []
        self._scripts = scripts
        self._changes = changes

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return len(self.sessions)

    @property
    def received(self) -> bytes:
        """Every byte of every session."""
        return b"".join(session.received for session in self.sessions)

    def play(self, *scripts: Script) -> None:
        """Other scripts for the connections from now on: the first for the next, …; the last one stays."""
        self._scripts = scripts

    def next_script(self) -> Script:
        """The script for the next connection."""
        script, *later = self._scripts
        if later:
            self._scripts = tuple(later)
        return script

    async def wait_connected(self, times: int = 1, within: float = _WITHIN) -> list[Session]:
        """The sessions, once there are so many; raises StillWaiting."""
        await self._changes.wait_until(
            lambda: self.connections >= times,
            within,
            lambda: f"{times} connections to {self.address}: {self.sessions}",
        )
        return self.sessions

    async def wait_ended(self, times: int = 1, within: float = _WITHIN) -> list[Session]:
        """The sessions, once so many of them ended; raises StillWaiting."""
        await self._changes.wait_until(
            lambda: sum(session.ended is not None for session in self.sessions) >= times,
            within,
            lambda: f"{times} ended sessions at {self.address}: {self.sessions}",
        )
        return self.sessions

    async def wait_received(self, data: bytes, within: float = _WITHIN) -> None:
        """Return once some session has received this data; raises StillWaiting."""
        await self._changes.wait_until(
            lambda: any(data in session.received for session in self.sessions),
            within,
            lambda: f"{data!r} received at {self.address}: {self.sessions}",
        )

    async def wait_sent(self, data: bytes, within: float = _WITHIN) -> None:
        """Return once some session has sent this data; raises StillWaiting."""
        await self._changes.wait_until(
            lambda: any(data in session.sent for session in self.sessions),
            within,
            lambda: f"{data!r} sent by {self.address}: {self.sessions}",
        )


class SmtpPeers:
    """The peers of a test as an async context manager; with no `port` they take a free one."""

    def __init__(self, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self._changes = Changes()
        self._taken: set[str] = set()
        self._resources = contextlib.ExitStack()
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._resources.close()

    def add(self, script: Script, *later: Script, address: str | None = None) -> Peer:
        """A peer at `address` (127.0.0.N or ::1), or the next free one.

        The first connection gets `script`, those after it the `later` ones; the last one stays.
        """
        listener = self._bind(address)
        listener.listen(1024)
        peer = Peer(listener.getsockname()[0], self.port, (script, *later), self._changes)
        self._listeners.append(listener)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener, peer)
        return peer

    def add_refused(self, address: str | None = None) -> str:
        """An address where connections are refused: it is taken, and nobody listens."""
        return str(self._bind(address).getsockname()[0])

    async def wait_connections(self, times: int, peers: Sequence[Peer], within: float = _WITHIN) -> int:
        """Return how many connections these peers have had, once there are so many; raises StillWaiting."""

        def total() -> int:
            return sum(peer.connections for peer in peers)

        await self._changes.wait_until(lambda: total() >= times, within, lambda: f"{times} connections: {total()}")
        return total()

    async def add_connect_timeout(self, address: str | None = None) -> str:
        """An address where a connection attempt gets no answer: its listener's backlog is full."""
        listener = self._bind(address)
        listener.listen(0)
        target = listener.getsockname()
        for _ in range(_MAX_FILLERS):
            filler = self._resources.enter_context(socket.socket(listener.family))
            filler.setblocking(False)
            try:
                async with asyncio.timeout(_FILLER_CONNECT_SECONDS):
                    await asyncio.get_running_loop().sock_connect(filler, target)
            except TimeoutError:
                return str(target[0])
        raise ComponentFailed(f"the backlog of {target} does not fill")

    def _bind(self, address: str | None) -> socket.socket:
        chosen = address or self._next_address()
        self._taken.add(chosen)
        family = socket.AF_INET6 if ":" in chosen else socket.AF_INET
        bound = self._resources.enter_context(socket.socket(family))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((chosen, self.port))
        return bound

    def _next_address(self) -> str:
        for number in range(_FIRST, _LAST + 1):
            if (address := f"127.0.0.{number}") not in self._taken:
                return address
        raise ComponentFailed("no address left on 127.0.0.0/24")

    def _accept(self, listener: socket.socket, peer: Peer) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client went before
        session = Session()
        peer.sessions.append(session)
        task = asyncio.create_task(Conversation(connection, session, self._changes).run(peer.next_script()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step runs none of its own clean-up.
        task.add_done_callback(lambda _: connection.close())
        self._changes.notify()
