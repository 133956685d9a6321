"""Where the service is entered: sockets at addresses and at a path, and who gets in by which.

What is refused here has had nothing of it read: a connection is accepted, looked at and reset before TLS and HTTP know
of it. Only the address of the connection counts, never what a header says of another one.
"""

import asyncio
import ipaddress
import logging
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from mxcheck_service import unix_socket
from mxcheck_service.core.networks import exact_network, is_loopback
from mxcheck_service.settings import ServerSettings
from mxcheck_service.tls import Certificates, certificates, reason

_log = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 5.0
"""Longest time a TLS handshake may take."""
MOST_HANDSHAKES: Final = 256
"""TLS handshakes under way at once; for one more the oldest is given up, which is the one that leads nowhere."""
_SHUTDOWN_SECONDS: Final = 2.0
"""Longest time that a peer may take to end TLS."""
_AT_ONCE: Final = 64
"""Connections accepted before others get their turn. Not few: while turns are long, new callers would wait for many."""
_OUT_OF_DESCRIPTORS: Final = 0.05
"""Seconds until the next attempt to accept when the system had no room for a connection."""
_RESET: Final = struct.pack("ii", 1, 0)

Factory = Callable[[], asyncio.BaseProtocol]


class Callers:
    """Who may connect: those at addresses in any of the networks, everyone when there is none."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(exact_network(text) for text in networks)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def admits(self, address: str) -> bool:
        """Return whether a peer at this address may come in."""
        ip = ipaddress.ip_address(address)
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return any((mapped or ip) in network for network in self._networks)


@dataclass(frozen=True, slots=True)
class Entrance:
    """Sockets that are bound, and listen once they are opened."""

    tcp: tuple[socket.socket, ...]
    unix: socket.socket | None
    certificates: Certificates | None
    callers: Callers
    server: ServerSettings

    @property
    def port(self) -> int | None:
        """The TCP port, which is a number where the settings say 0."""
        port: int | None = self.tcp[0].getsockname()[1] if self.tcp else None
        return port

    @contextmanager
    def joined(self) -> Iterator["Entrance"]:
        """Yield an entrance for one of several processes: TCP sockets of its own beside these, the same unix socket."""
        with ExitStack() as stack:
            own = tuple(stack.enter_context(_bind(taken.family, taken.getsockname(), True)) for taken in self.tcp)
            yield Entrance(own, self.unix, self.certificates, self.callers, self.server)

    def open(self, factory: Factory) -> Callable[[], None]:
        """Accept connections, each for a protocol made by `factory`, until what is returned is called."""
        doors = [_Door(taken, factory, self.certificates, self.callers) for taken in self.tcp]
        if self.unix:
            doors.append(_Door(self.unix, factory))

        def close() -> None:
            for door in doors:
                door.close()

        return close

    def announce(self, cache: str) -> None:
        """Log where the service is to be found, and once that anybody may ask when it is so."""
        scheme = "http" if self.certificates is None else "https"
        for taken in self.tcp:
            ip, port = taken.getsockname()[:2]
            _log.info("listening on %s://%s:%d, cache %s", scheme, f"[{ip}]" if ":" in ip else ip, port, cache)
        if self.unix:
            _log.info("listening on unix:%s, cache %s", self.server.unix_socket, cache)
        guarded = self.server.auth_token or self.server.tls_client_ca or self.callers
        wide = [taken.getsockname()[0] for taken in self.tcp if not is_loopback(taken.getsockname()[0])]
        if wide and not guarded:
            _log.warning(
                "anybody who reaches %s may ask, and so make us probe: set server.auth_token, server.tls_client_ca or "
                "server.allow, or server.host to 127.0.0.1",
                ", ".join(wide),
            )


@contextmanager
def entrance(server: ServerSettings, *, shared: bool = False) -> Iterator[Entrance]:
    """Bind what the settings name, and yield it; the socket file is gone in the end.

    `shared`: others are to join; then the TCP sockets themselves never listen. Raises OSError and TlsError.
    """
    held = certificates(server)
    with ExitStack() as stack:
        tcp = tuple(stack.enter_context(taken) for taken in _reserve(server.host, server.port, shared))
        unix = None
        if server.unix_socket:
            unix = stack.enter_context(unix_socket.bound(server.unix_socket, int(server.unix_socket_mode, 8)))
        yield Entrance(tcp, unix, held, Callers(server.allow), server)


def _reserve(host: str, port: int | None, shared: bool) -> Iterator[socket.socket]:
    """Yield a socket bound to each address of `host`, which no other service has.

    Port 0 is one free port, the same for all. Raises OSError.
    """
    if port is None:
        return
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _, _, _, address in dict.fromkeys(found):
        taken = _bind(family, (address[0], port, *address[2:]), False)
        if shared:
            # Only now: bound with this option, another mxcheck's workers would be joined instead of noticed. What is
            # noticed is a socket that listens; two services started in the same moment are beyond it.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = taken.getsockname()[1]
        yield taken


def _bind(family: int, address: tuple[object, ...], join: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    # What the last one to serve here has left in TIME_WAIT is in nobody's way.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if join:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        reason = str(error.strerror).lower()
        raise OSError(error.errno, f"error while attempting to bind on address {address}: {reason}") from None
    return bound


class _Door:
    """Accepts the connections of one socket, by hand, since the loop's own servers read before anybody can look."""

    def __init__(
        self,
        listening: socket.socket,
        factory: Factory,
        held: Certificates | None = None,
        callers: Callers | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = listening
        self._factory = factory
        self._certificates = held
        self._callers = callers or None
        self._arriving: dict[asyncio.Task[None], None] = {}
        self._again: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        # Callers that come all at once find a place in the queue: one that does not tries again after a second.
        listening.listen(socket.SOMAXCONN)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more, and give up those who have not come in yet."""
        if self._again:
            self._again.cancel()
        self._loop.remove_reader(self._socket)
        for task in self._arriving:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return  # another worker was faster, or the peer has gone
            except OSError as error:
                _log.error(
                    "no room for another caller, those who come wait in the queue: %s; more file descriptors are to be"
                    " allowed (LimitNOFILE, ulimit -n), or fewer callers",
                    error.strerror,
                )
                self._loop.remove_reader(self._socket)
                self._again = self._loop.call_later(
                    _OUT_OF_DESCRIPTORS, self._loop.add_reader, self._socket, self._accept
                )
                return
            if self._callers and not self._callers.admits(address[0]):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.close()
                _log.warning("a connection from %s was reset: server.allow has no network of it", address[0])
                continue
            connection.setblocking(False)
            if self._certificates is None:
                arrival = self._loop.create_task(self._enter(connection))
            else:
                if len(self._arriving) >= MOST_HANDSHAKES:
                    self._arriving.pop(oldest := next(iter(self._arriving)))
                    oldest.cancel()
                arrival = self._loop.create_task(self._shake_hands(connection, address[0], self._certificates.context))
            self._arriving[arrival] = None
            arrival.add_done_callback(self._come_in)

    def _come_in(self, arrival: asyncio.Task[None]) -> None:
        self._arriving.pop(arrival, None)

    async def _enter(self, connection: socket.socket) -> None:
        with suppress(OSError):
            await self._loop.connect_accepted_socket(self._factory, connection)

    async def _shake_hands(self, connection: socket.socket, address: str, context: ssl.SSLContext) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )
        except ssl.SSLError as error:
            verified = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
            _log.warning("TLS with %s failed: %s", address, verified or reason(error))
        except OSError:
            pass  # gone, or silent: a port scan, or a load balancer that looks whether the port is open
