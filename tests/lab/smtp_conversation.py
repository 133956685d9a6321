"""One connection of a scripted SMTP peer: plays the script and records what the client does."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple, assert_never

from tests.lab.smtp_scripts import Close, Expect, Repeat, Reset, Script, Send, Stay, Step, Wait
from tests.lab.sockets import RESET_ON_CLOSE
from tests.lab.waiting import Changes


class End(Enum):
    """How a session ended."""

    CLIENT_CLOSED = "the client closed, having read everything sent before"
    CLIENT_RESET = "the client reset the connection, or closed it with something unread or on the way"
    PEER_RESET = "the script reset the connection"
    LAB_ENDED = "the lab ended first"


class Event(NamedTuple):
    """One thing that happened in a session; `eof` is the client's end of stream, `closed` the peer's.

    What a `Repeat` sends is noted once.
    """

    kind: Literal["sent", "received", "eof", "closed"]
    data: bytes = b""


@dataclass
class Session:
    """The record of one connection."""

    log: list[Event] = field(default_factory=list)
    ended: End | None = None

    @property
    def received(self) -> bytes:
        """Every byte that the client sent."""
        return b"".join(event.data for event in self.log if event.kind == "received")

    @property
    def sent(self) -> bytes:
        """Every byte that the peer sent."""
        return b"".join(event.data for event in self.log if event.kind == "sent")

    def received_before(self, sent: bytes) -> bytes:
        """What had arrived from the client when the peer started to send this data (a `Send` of a script).

        Raises ValueError when it never did.
        """
        kinds = [(event.kind, event.data) for event in self.log]
        return b"".join(data for kind, data in kinds[: kinds.index(("sent", sent))] if kind == "received")


class _ClientGone(Exception):
    """The client ended its stream while the script waited for something."""


class Conversation:
    """Plays one script on one connection; bytes of the client are recorded as they arrive, whatever the step."""

    def __init__(self, connection: socket.socket, session: Session, watchers: Changes) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._session = session
        # Its own, so that a session does not wake the tasks of all the others.
        self._changes = Changes()
        self._watchers = watchers
        self._gone = False
        self._reset_seen = False
        self._consumed = 0

    async def run(self, script: Script) -> None:
        """Play it to its end; never raises but when cancelled."""
        reader = asyncio.create_task(self._read())
        end = End.LAB_ENDED
        try:
            for step in (*script, Close()):
                if isinstance(step, Reset):
                    self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                    end = End.PEER_RESET
                    return
                await self._do(step)
            end = self._how_client_ended()
        except _ClientGone:
            end = self._how_client_ended()
        except OSError:
            end = End.CLIENT_RESET
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            self._connection.close()
            self._session.ended = end
            self._watchers.notify()

    async def _do(self, step: Step) -> None:
        match step:
            case Send(data, None):
                await self._send(data)
            case Send(data, gap):
                for byte in data:
                    await self._send(bytes((byte,)))
                    await asyncio.sleep(gap or 0.0)
            case Repeat(data):
                self._note(Event("sent", data))
                while not self._gone:
                    await asyncio.get_running_loop().sock_sendall(self._connection, data)
                    # A send that fits the socket's buffer does not suspend, and others must run too.
                    await asyncio.sleep(0)
                raise _ClientGone
            case Expect(data):
                await self._until(lambda: data in self._session.received[self._consumed :])
                self._consumed = self._session.received.index(data, self._consumed) + len(data)
            case Wait(event):
                await self._until_event(event)
            case Stay():
                await self._until(lambda: False)
            case Close():
                self._connection.shutdown(socket.SHUT_WR)
                self._note(Event("closed"))
                await self._until(lambda: False)
            case Reset():
                raise AssertionError("run() handles it")
            case _:
                assert_never(step)

    async def _send(self, data: bytes) -> None:
        self._take_arrived()
        self._note(Event("sent", data))
        await asyncio.get_running_loop().sock_sendall(self._connection, data)

    def _take_arrived(self) -> None:
        """Record what the kernel holds already, so that the record's order is the order of events."""
        with contextlib.suppress(BlockingIOError):
            while not self._gone:
                self._take(self._connection.recv(65_536))

    async def _read(self) -> None:
        try:
            while not self._gone:
                self._take(await asyncio.get_running_loop().sock_recv(self._connection, 65_536))
        except OSError:
            self._reset_seen = self._gone = True
            self._changes.notify()

    def _take(self, data: bytes) -> None:
        if not data:
            self._gone = True
        self._note(Event("received", data) if data else Event("eof"))

    def _note(self, event: Event) -> None:
        self._session.log.append(event)
        self._changes.notify()
        self._watchers.notify()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; raise _ClientGone when the client went before."""
        await self._changes.wait_until(lambda: condition() or self._gone, None)
        if not condition():
            raise _ClientGone

    async def _until_event(self, event: asyncio.Event) -> None:
        waiter = asyncio.create_task(event.wait())
        waiter.add_done_callback(lambda _: self._changes.notify())
        try:
            await self._until(event.is_set)
        finally:
            waiter.cancel()

    def _how_client_ended(self) -> End:
        # A reset that came after the client's FIN shows as a pending error only.
        pending = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return End.CLIENT_RESET if self._reset_seen or pending in (errno.EPIPE, errno.ECONNRESET) else End.CLIENT_CLOSED
