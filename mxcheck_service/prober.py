"""The probe: a TCP connection and, if asked for, the SMTP greeting. Nothing is sent before the greeting is complete."""

import asyncio
import errno
import os
import select
import socket
from contextlib import suppress
from typing import Final

from mxcheck_service.background import Background
from mxcheck_service.core.banner import Greeting, TolerantGreeting
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.core.policy import lock_ttl
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.ports import ConnectError, Connection, ConnectProblem, Dialer, LocalFault, Probed, Settling
from mxcheck_service.seats import Seat, Seats

_RECEIVE: Final = 8192
_LONGEST_REPLY: Final = 4096
"""Octets of a reply to QUIT that are waited for."""
_LONGEST_FAREWELL: Final = 5.0
"""Seconds to wait for the reply to QUIT. RFC 5321 allows minutes, but nothing hangs on the answer."""
_AT_ONCE: Final = 4
"""Pieces that are read as they come. Who has more to say, or says it in drops, is read ever more seldom."""
_SHORTEST_PAUSE: Final = 0.01
_PAUSE_SHARE: Final = 1 / 8
"""Part of the time so far that passes until the next piece is read: by so much, at most, a verdict comes later. There
is no other bound: thousands may drip for minutes."""
_LAST_LOOK: Final = 0.05
"""Seconds before the end of all patience at which what has come is read once more."""
_RECEIVE_BUFFER: Final = 16384
"""Octets that the kernel takes of a peer ahead of us, and as many for itself; left alone it takes megabytes."""
_UNDELIVERED: Final = 10_000
"""Milliseconds for which the kernel goes on with a closed connection whose peer takes nothing more (RFC 5482). Left
alone it does for minutes, and nobody can end that any more."""

_CROWDED: Final = "as many connections to mail hosts are open as may be: improvements.probes_at_once, open files"

_REFUSED = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


class SmtpProber:
    """Probes the port of the settings (reference: probe_connect_only, probe_with_greeting).

    With `improvements.slow_greeting` a greeting that takes longer is left to be settled by whoever asked. `seats` are
    those of the process; without them the prober has its own.
    """

    def __init__(
        self,
        settings: MxCheckSettings,
        improvements: Improvements,
        dialer: Dialer,
        background: Background,
        seats: Seats | None = None,
    ) -> None:
        self._settings = settings
        self._improvements = improvements
        self._dialer = dialer
        self._background = background
        self._seats = Seats(improvements.probes_at_once) if seats is None else seats

    async def probe(self, ip: str) -> Probed | LocalFault:
        # The lock was claimed just before: when it frees itself, another worker may begin.
        start = asyncio.get_running_loop().time()
        end = start + lock_ttl(self._settings)
        seat = self._seats.take(ip, self._improvements.probes_at_once)
        if seat is None:
            return LocalFault(_CROWDED, withheld=True)
        try:
            connection = await self._connect(ip, seat)
        except ConnectError as error:
            match error.problem:
                case ConnectProblem.REFUSED:
                    return Probed(Outcome(Verdict.REFUSED))
                case ConnectProblem.TIMEOUT | ConnectProblem.UNREACHABLE:
                    return Probed(Outcome(Verdict.TIMEOUT_CONNECT))
                case ConnectProblem.LOCAL | ConnectProblem.EXHAUSTED:
                    return LocalFault(str(error))
                case ConnectProblem.WITHHELD:
                    return LocalFault(str(error), withheld=True)
        connected = asyncio.get_running_loop().time()
        if not self._settings.verify_greeting:
            connection.close()
            return Probed(Outcome(Verdict.GOOD), connect_seconds=connected - start)
        reading = _Reading(connection, self._greeting(), connected - start)
        slow = self._improvements.slow_greeting
        if slow is None:
            outcome = await reading.outcome(until=end, silence=self._settings.read_timeout)
        else:
            # Within the lifetime of the lock, which allows for the read timeout.
            outcome = await reading.outcome(until=connected + min(slow, self._settings.read_timeout))
            if outcome is None and reading.is_promising:
                patience = connected + self._improvements.greeting_patience
                return reading.told(Outcome(Verdict.GOOD), _Settling(self, reading, until=patience))
        return self.leave(reading, outcome)

    async def _connect(self, ip: str, seat: Seat) -> "_Seated":
        try:
            connection = await self._dialer.connect(ip, self._settings.port, self._settings.connect_timeout)
        except BaseException:
            seat.leave()
            raise
        return _Seated(connection, seat)

    def leave(self, reading: "_Reading", outcome: Outcome | None) -> Probed:
        """End a conversation with manners and return what it told; None: the greeting was not complete in time."""
        probed = reading.told(outcome or reading.greeting.timed_out())
        polite = probed.outcome.verdict is Verdict.GOOD and self._settings.send_quit
        # The verdict stands; nobody waits for good manners, and where too many peers let us wait there are none.
        farewell = self._background.spare(_farewell(reading.connection)) if polite else None
        if farewell:
            # One that is cancelled before its first step has closed nothing.
            farewell.add_done_callback(lambda _: reading.connection.close())
            reading.connection.seat.give_way(farewell)
        else:
            reading.connection.close()
        return probed

    def _greeting(self) -> Greeting:
        kind = TolerantGreeting if self._improvements.tolerant_greeting else Greeting
        return kind(whole=self._settings.send_quit, believe_521=self._improvements.believe_521)


class _Seated:
    """A connection that has its seat until it is closed, and what its peer sends, piece by piece."""

    def __init__(self, connection: Connection, seat: Seat) -> None:
        self._connection = connection
        self.seat = seat
        self._start = asyncio.get_running_loop().time()
        self._pieces = 0

    async def receive(self, *, until: float, silence: float | None = None) -> bytes:
        """Return the next piece; raises TimeoutError when none has come within `silence` seconds.

        Every piece costs a turn of the loop, however small it is. Who sends thousands gets no more turns than others:
        from the fifth on some time goes by before the next one is read, though not past `until` (the loop's time).
        """
        if self._pieces >= _AT_ONCE:
            now = asyncio.get_running_loop().time()
            pause = min((now - self._start) * _PAUSE_SHARE, until - now - _LAST_LOOK)
            await asyncio.sleep(max(pause, _SHORTEST_PAUSE))
        self._pieces += 1
        async with asyncio.timeout(silence):
            return await self._connection.receive()

    async def send(self, data: bytes) -> None:
        await self._connection.send(data)

    def close(self) -> None:
        """Close. A second time this does nothing."""
        self._connection.close()
        self.seat.leave()


class _Reading:
    """A connection and what its greeting has come to so far."""

    def __init__(self, connection: _Seated, greeting: Greeting, connect_seconds: float) -> None:
        self.connection = connection
        self.greeting = greeting
        self._connect_seconds = connect_seconds

    @property
    def is_promising(self) -> bool:
        """Whether time alone stands between what has come and a greeting."""
        return self.greeting.timed_out().verdict is Verdict.TIMEOUT_READ

    async def outcome(self, *, until: float, silence: float | None = None) -> Outcome | None:
        """Read until the greeting is judged; None: not by `until` (the loop's time), or `silence` seconds passed.

        Closes the connection when it is cancelled.
        """
        try:
            async with asyncio.timeout_at(until):
                while True:
                    data = await self.connection.receive(until=until, silence=silence)
                    outcome = self.greeting.feed(data) if data else self.greeting.closed()
                    if outcome:
                        return outcome
        except TimeoutError:
            return None
        except OSError:
            return self.greeting.closed()
        except BaseException:
            self.connection.close()
            raise

    def told(self, outcome: Outcome, settling: Settling | None = None) -> Probed:
        """Return what the probe told."""
        return Probed(outcome, tuple(self.greeting.lines), self._connect_seconds, settling)


class _Settling:
    """A `Settling` that goes on reading until `until` (the loop's time)."""

    def __init__(self, prober: SmtpProber, reading: _Reading, *, until: float) -> None:
        self._prober = prober
        self._reading = reading
        self._until = until
        self._is_settled = False

    async def settled(self) -> Probed:
        task = asyncio.current_task()
        if task:
            self._reading.connection.seat.give_way(task)
        outcome = await self._reading.outcome(until=self._until)
        # From here on the farewell may have the connection.
        self._is_settled = True
        return self._prober.leave(self._reading, outcome)

    def abandon(self) -> None:
        if not self._is_settled:
            self._reading.connection.close()


async def _farewell(connection: _Seated) -> None:
    """Say QUIT, read the reply and close (RFC 5321 section 4.1.1.10)."""
    until = asyncio.get_running_loop().time() + _LONGEST_FAREWELL
    try:
        async with asyncio.timeout_at(until):
            await connection.send(b"QUIT\r\n")
            reply = b""
            while not reply.endswith(b"\n") and len(reply) < _LONGEST_REPLY:
                data = await connection.receive(until=until)
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
            problem = ConnectProblem.EXHAUSTED if error.errno in _EXHAUSTED else ConnectProblem.LOCAL
            raise ConnectError(problem, str(error)) from error
        try:
            # Before the handshake, which offers the peer so much.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            code = sock.connect_ex((ip, port))
            remote = code == errno.EINPROGRESS
            if remote:
                try:
                    async with asyncio.timeout(timeout):
                        await _writable(sock)
                except TimeoutError:
                    # After a time in which this process did not run, the target may have answered long ago.
                    if not _is_writable(sock):
                        raise
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
        with suppress(OSError):  # the peer may have ended it, and a second time there is nothing to be closed
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNDELIVERED)
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


def _is_writable(sock: socket.socket) -> bool:
    """Tell whether a connect under way has ended, either way."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(0))


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
