"""Takes callers in, and leaves them in the kernel's queue while there is no file descriptor for them.

uvloop accepts such a caller with its last descriptor and hangs up, so that one who could have been served a moment
later gets a reset.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, cast

from aiohttp import web

_log = logging.getLogger(__name__)

PAUSE: Final = 0.05
"""Seconds until it is tried again: descriptors are probes', and come back all the time."""
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_AT_ONCE: Final = 64
"""Callers taken in until those already there have their turn."""


def bound(host: str, port: int, *, share: bool) -> list[socket.socket]:
    """Return a socket bound to each address of `host`; `share`: other processes may be, too.

    Port 0 is one free port, the same for all. Raises OSError.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    taken: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            taken.append(sock)
            # What the last one to serve here has left in TIME_WAIT is in nobody's way.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if share:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address[0], port, *address[2:]))
            except OSError as error:
                reason = str(error.strerror).lower()
                raise OSError(error.errno, f"error while attempting to bind on address {address}: {reason}") from None
            port = sock.getsockname()[1]
    except BaseException:
        for sock in taken:
            sock.close()
        raise
    return taken


class PatientSite(web.BaseSite):
    """A site at sockets that are bound; it closes them in the end."""

    def __init__(
        self,
        runner: web.AppRunner,
        sockets: Sequence[socket.socket],
        *,
        ssl_context: ssl.SSLContext | None = None,
        backlog: int = socket.SOMAXCONN,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context, backlog=backlog)
        self._sockets = sockets

    @property
    def name(self) -> str:
        return ", ".join(str(sock.getsockname()) for sock in self._sockets)

    async def start(self) -> None:
        await super().start()
        server = self._runner.server
        assert server is not None
        for sock in self._sockets:
            sock.listen(self._backlog)
        # Nothing of it is called but `close`, and `sockets` asked for.
        self._server = cast(asyncio.AbstractServer, Acceptor(self._sockets, server, self._ssl_context))


class Acceptor:
    """Accepts connections at sockets that listen, from its making on, and closes these in the end."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        protocol: Callable[[], asyncio.BaseProtocol],
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.sockets = tuple(sockets)
        self._protocol = protocol
        self._ssl = ssl_context
        self._loop = asyncio.get_running_loop()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        for sock in self.sockets:
            sock.setblocking(False)
            self._loop.add_reader(sock, self._accept, sock)

    def close(self) -> None:
        """Accept no more; connections stay."""
        for sock in self.sockets:
            if sock in self._pauses:
                self._pauses.pop(sock).cancel()
            else:
                self._loop.remove_reader(sock)
            sock.close()
        self.sockets = ()
        for task in self._handshakes:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                caller, _address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(listener, error)
                    return
                # The caller's: it has hung up in the queue, or its network is gone (accept(2), "Error handling").
                continue
            caller.setblocking(False)
            task = self._loop.create_task(self._take_in(caller))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _take_in(self, caller: socket.socket) -> None:
        with suppress(OSError):  # it has gone, or its TLS is none
            await self._loop.connect_accepted_socket(self._protocol, caller, ssl=self._ssl)

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """Leave the listener alone for a moment: it would be ready on every turn of the loop."""
        _log.error(
            "no room for another caller, those who come wait in the queue: %s; more file descriptors are to be"
            " allowed (LimitNOFILE, ulimit -n), or fewer callers",
            error.strerror,
        )
        self._loop.remove_reader(listener)
        self._pauses[listener] = self._loop.call_later(PAUSE, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        del self._pauses[listener]
        self._loop.add_reader(listener, self._accept, listener)
        self._accept(listener)
