"""The probe: a TCP connection and, if asked for, the SMTP greeting. Nothing is sent before the greeting is complete."""

import asyncio
import errno
import os
import socket
from typing import Final

from mxcheck_service.background import Background
from mxcheck_service.core.banner import Greeting
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.core.policy import lock_ttl
from mxcheck_service.core.settings import MxCheckSettings
from mxcheck_service.ports import ConnectError, Connection, ConnectProblem, Dialer, LocalFault, Probed

_RECEIVE: Final = 4096
_LONGEST_FAREWELL: Final = 5.0
"""Seconds to wait for the reply to QUIT. RFC 5321 allows minutes, but nothing hangs on the answer."""

_REFUSED = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


class SmtpProber:
    """Probes the port of the settings (reference: probe_connect_only, probe_with_greeting)."""

    def __init__(self, settings: MxCheckSettings, dialer: Dialer, background: Background) -> None:
        self._settings = settings
        self._dialer = dialer
        self._background = background

    async def probe(self, ip: str) -> Probed | LocalFault:
        # The lock was claimed just before: when it frees itself, another worker may begin.
        start = asyncio.get_running_loop().time()
        end = start + lock_ttl(self._settings)
        try:
            connection = await self._dialer.connect(ip, self._settings.port, self._settings.connect_timeout)
        except ConnectError as error:
            match error.problem:
                case ConnectProblem.REFUSED:
                    return Probed(Outcome(Verdict.REFUSED))
                case ConnectProblem.TIMEOUT | ConnectProblem.UNREACHABLE:
                    return Probed(Outcome(Verdict.TIMEOUT_CONNECT))
                case ConnectProblem.LOCAL:
                    return LocalFault(str(error))
                case ConnectProblem.WITHHELD:
                    return LocalFault(str(error), withheld=True)
        connect_seconds = asyncio.get_running_loop().time() - start
        if not self._settings.verify_greeting:
            connection.close()
            return Probed(Outcome(Verdict.GOOD), connect_seconds=connect_seconds)
        greeting = Greeting(whole=self._settings.send_quit)
        leaving = False
        try:
            outcome = await self._greet(connection, greeting, end)
            leaving = outcome.verdict is Verdict.GOOD and self._settings.send_quit
        finally:
            if not leaving:
                connection.close()
        if leaving:
            # The verdict stands; nobody waits for good manners.
            self._background.spawn(_farewell(connection))
        return Probed(outcome, tuple(greeting.lines), connect_seconds)

    async def _greet(self, connection: Connection, greeting: Greeting, end: float) -> Outcome:
        """Read the greeting until it is complete, `read_timeout` of silence, or `end` (the loop's time)."""
        try:
            async with asyncio.timeout_at(end):
                while True:
                    async with asyncio.timeout(self._settings.read_timeout):
                        data = await connection.receive()
                    outcome = greeting.feed(data) if data else greeting.closed()
                    if outcome:
                        return outcome
        except TimeoutError:
            return greeting.timed_out()
        except OSError:
            return greeting.closed()


async def _farewell(connection: Connection) -> None:
    """Say QUIT, read the reply and close (RFC 5321 section 4.1.1.10)."""
    try:
        async with asyncio.timeout(_LONGEST_FAREWELL):
            await connection.send(b"QUIT\r\n")
            reply = b""
            while not reply.endswith(b"\n") and len(reply) < _RECEIVE:
                data = await connection.receive()
                if not data:
                    break
                reply += data
    except OSError:  # a timeout is one, too
        pass
    finally:
        connection.close()


class TcpDialer:
    """Opens real TCP connections."""

    async def connect(self, ip: str, port: int, timeout: float) -> "TcpConnection":
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise ConnectError(ConnectProblem.LOCAL, str(error)) from error
        try:
            code = sock.connect_ex((ip, port))
            remote = code == errno.EINPROGRESS
            if remote:
                async with asyncio.timeout(timeout):
                    await _writable(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            # A reset that answers the SYN is ECONNREFUSED. ECONNRESET here came after the handshake, before this task
            # had its turn: the connection was made, and reading from it tells the rest.
            if code and not (remote and code == errno.ECONNRESET):
                raise ConnectError(_problem(code, remote=remote), os.strerror(code))
        except TimeoutError:
            sock.close()
            raise ConnectError(ConnectProblem.TIMEOUT, f"no answer within {timeout} s") from None
        except BaseException:
            sock.close()
            raise
        return TcpConnection(sock)


class TcpConnection:
    """A `Connection` over a non-blocking socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._sock, _RECEIVE)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    def close(self) -> None:
        self._sock.close()


def _problem(code: int, *, remote: bool) -> ConnectProblem:
    """Sort an errno. `remote`: it came while the connection was under way, so a router or the target may have sent it;
    connect(2) failing at once for want of a route is our own host's word."""
    if code in _REFUSED:
        return ConnectProblem.REFUSED
    if code == errno.ETIMEDOUT:
        return ConnectProblem.TIMEOUT
    if code in _UNREACHABLE and remote:
        return ConnectProblem.UNREACHABLE
    return ConnectProblem.LOCAL


async def _writable(sock: socket.socket) -> None:
    """Wait until a connect under way has ended, either way."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def ready() -> None:
        # Called on every turn of the loop until the waiting task has had its own.
        if not done.done():
            done.set_result(None)

    loop.add_writer(sock.fileno(), ready)
    try:
        await done
    finally:
        loop.remove_writer(sock.fileno())
