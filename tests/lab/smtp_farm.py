"""Hostile SMTP peers by the thousand, in a process of their own: one listener answers for all of 127.0.0.0/8.

    with SmtpFarm() as farm:
        probe(farm.address("silent", 7), farm.port)
        assert farm.seen()["silent"].most_taken == 0

What a peer does is told by its address. `python -m tests.lab.smtp_farm PORT PORT-OF-THE-RECORD WHOSE` is the process,
for the peers WHOSE names in PROCESSES.
"""

import asyncio
import contextlib
import ctypes
import json
import resource
import socket
import struct
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.lab.process import Child
from tests.lab.sockets import RESET_ON_CLOSE, accepts_connections, free_port

_GREETING: Final = b"220 mx.hostile.test ESMTP\r\n"
_DROP: Final = 16_384
_HUNDRED_MEGABYTES: Final = 100_000_000
_PATIENCE: Final = 300.0
"""Seconds after which a connection that nobody ends is dropped: long after any prober's patience in a test."""
_FIRST_NETWORK: Final = 100
_TAKEN: Final = struct.Struct("=120xQ")
"""`tcpi_bytes_acked` of Linux's struct tcp_info: octets that the other side's kernel has taken."""


@dataclass(frozen=True)
class Flood:
    """Send a piece again and again, as fast as it is taken, `most` octets of it at most."""

    piece: bytes
    most: float = float("inf")


@dataclass(frozen=True)
class Drip:
    """Send a text again and again, one octet each so many seconds."""

    text: bytes
    seconds: float


@dataclass(frozen=True)
class Reset:
    """Send a TCP reset."""


@dataclass(frozen=True)
class Say:
    """Send this."""

    text: bytes


@dataclass(frozen=True)
class Kind:
    """What a peer says at once, does then, and does when it is told QUIT. It closes nothing by itself, unless `polite`;
    one that is `deaf` has the smallest receive window there is and never reads."""

    opening: bytes = b""
    then: Flood | Drip | Reset | None = None
    on_quit: Flood | Reset | Say | None = None
    polite: bool = False
    deaf: bool = False


KINDS: Final = {
    "good": Kind(_GREETING, on_quit=Say(b"221 bye\r\n"), polite=True),
    "silent": Kind(),
    "octet a second": Kind(then=Drip(b"220-mx.hostile.test is slow\r\n", 1.0)),
    "octet a centisecond": Kind(then=Drip(b"220-mx.hostile.test is slow\r\n", 0.01)),
    "endless lines": Kind(then=Flood(b"220-mx.hostile.test has much to say\r\n")),
    "endless empty lines": Kind(then=Flood(b"\n")),
    "line of 100 MB": Kind(b"220 ", Flood(b"x", _HUNDRED_MEGABYTES)),
    "NULs": Kind(then=Flood(b"\0")),
    "no end of the line": Kind(b"220 mx.hostile.test"),
    "reset at once": Kind(then=Reset()),
    "reset in the greeting": Kind(b"220-mx.hostile.test\r\n22", Reset()),
    "reset after the greeting": Kind(_GREETING, Reset()),
    "reset after QUIT": Kind(_GREETING, on_quit=Reset()),
    "lines after QUIT": Kind(_GREETING, on_quit=Flood(b"221-bye\r\n")),
    "one line after QUIT": Kind(_GREETING, on_quit=Flood(b"221-bye ")),
    "no answer to QUIT": Kind(_GREETING),
    "never closing": Kind(_GREETING, on_quit=Say(b"221 bye\r\n")),
    "deaf": Kind(_GREETING, deaf=True),
}
HOSTILE: Final = tuple(name for name, kind in KINDS.items() if not kind.polite)
_NAMES: Final = tuple(KINDS)
PROCESSES: Final = {"all": _NAMES, "good": ("good",), "hostile": HOSTILE}
_ATTACH_REUSEPORT_CBPF: Final = 51
"""SO_ATTACH_REUSEPORT_CBPF of Linux (socket(7)), which Python does not name."""


@dataclass
class Seen:
    """What peers of a kind have seen: `most_taken` octets of a connection, and all that was ever said to one."""

    connections: int = 0
    open: int = 0
    most_taken: int = 0
    heard: list[str] = field(default_factory=list)


class SmtpFarm:
    """The farm as a context manager, on a free port of every address.

    Good peers can have a process of their own, so that they do not wait for what hostile ones do: a farm whose peers
    are `good`, and after it one whose peers are `hostile`, on the former's `port`.
    """

    def __init__(self, whose: str = "all", port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self._whose = whose
        self._record = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-farm-")
        argv = [sys.executable, "-m", "tests.lab.smtp_farm", str(self.port), str(self._record), whose]
        self._child = Child("smtp-farm", argv, Path(self._folder.name) / "log")

    def __enter__(self) -> Self:
        self._child.start(lambda: accepts_connections("127.0.0.1", self._record))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._folder.cleanup()

    @staticmethod
    def address(kind: str, number: int = 0) -> str:
        """An address of that kind: numbers one after the other are in networks (/24) of their own, up to 256."""
        return f"127.{_FIRST_NETWORK + _NAMES.index(kind)}.{number % 256}.{1 + number // 256}"

    def seen(self) -> dict[str, Seen]:
        """What has happened until now, by kind."""
        with socket.create_connection(("127.0.0.1", self._record), timeout=10) as connection:
            told = json.loads(b"".join(iter(lambda: connection.recv(65_536), b"")))
        return {name: Seen(**told[name]) for name in PROCESSES[self._whose]}


class _Conversation(asyncio.Protocol):
    """One connection of one peer."""

    def __init__(self, farm: "_Farm") -> None:
        self._farm = farm
        self._sent = 0
        self._flood: Flood | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._quit = False
        self._is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._socket: Any = transport.get_extra_info("socket")
        second = int(self._socket.getsockname()[0].split(".")[1]) - _FIRST_NETWORK
        name = _NAMES[second] if 0 <= second < len(_NAMES) else "good"
        self._kind = KINDS[name]
        self._seen = self._farm.seen[name]
        self._seen.connections += 1
        self._seen.open += 1
        self._farm.open.add(self)
        self._end = asyncio.get_running_loop().call_later(_PATIENCE, transport.abort)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._kind.deaf:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            transport.pause_reading()
        if self._kind.opening:
            transport.write(self._kind.opening)
        self._do(self._kind.then)

    def data_received(self, data: bytes) -> None:
        text = data.decode("latin-1")
        if text not in self._seen.heard and len(self._seen.heard) < 10:
            self._seen.heard.append(text)
        if b"QUIT" in data and not self._quit:
            self._quit = True
            self._do(self._kind.on_quit)
            if self._kind.polite:
                self._transport.close()

    def eof_received(self) -> bool:
        return not self._kind.polite

    def pause_writing(self) -> None:
        self._is_open = False

    def resume_writing(self) -> None:
        self._is_open = True
        self._pour()

    def connection_lost(self, error: Exception | None) -> None:
        self._end.cancel()
        self._is_open = False
        if self._timer:
            self._timer.cancel()
        self.look()
        self._seen.open -= 1
        self._farm.open.discard(self)

    def look(self) -> None:
        """Note how much the other side has taken."""
        with contextlib.suppress(OSError):
            (taken,) = _TAKEN.unpack(self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TAKEN.size))
            self._seen.most_taken = max(self._seen.most_taken, taken)

    def _do(self, step: Flood | Drip | Reset | Say | None) -> None:
        match step:
            case Flood():
                self._flood = step
                self._pour()
            case Drip(text, seconds):
                self._drip(text, 0, seconds)
            case Reset():
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                self._transport.abort()
            case Say(text):
                self._transport.write(text)

    def _pour(self) -> None:
        while self._flood and self._is_open and self._sent < self._flood.most and not self._transport.is_closing():
            data = self._flood.piece * (_DROP // len(self._flood.piece))
            self._sent += len(data)
            self._transport.write(data)

    def _drip(self, text: bytes, place: int, seconds: float) -> None:
        if self._is_open and not self._transport.is_closing():
            self._transport.write(text[place : place + 1])
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._drip, text, (place + 1) % len(text), seconds)


class _Farm:
    def __init__(self) -> None:
        self.seen = {name: Seen() for name in KINDS}
        self.open: set[_Conversation] = set()

    async def serve(self, port: int, record: int, whose: str) -> None:
        loop = asyncio.get_running_loop()
        peers = await loop.create_server(
            lambda: _Conversation(self), sock=_listener(port, first=whose == "good"), backlog=65_535
        )
        async with peers, await asyncio.start_server(self._tell, "127.0.0.1", record):
            await peers.serve_forever()

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for conversation in self.open:
            conversation.look()
        writer.write(json.dumps({name: asdict(seen) for name, seen in self.seen.items()}).encode())
        writer.close()


def _listener(port: int, *, first: bool) -> socket.socket:
    """Return a socket bound to the port, which several may be. The `first` of them says who gets which connection: it
    has those to good peers itself, the second the others.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("0.0.0.0", port))
    if first:
        # Classic BPF (linux/filter.h): compare the second octet of the destination in the IP header, and tell 0 or 1.
        octet = 0xFFF0_0000 + 17  # SKF_NET_OFF
        steps = [
            (0x30, 0, 0, octet),
            (0x15, 0, 1, _FIRST_NETWORK + _NAMES.index("good")),
            (0x06, 0, 0, 0),
            (0x06, 0, 0, 1),
        ]
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
        program = struct.pack("@HP", len(steps), ctypes.addressof(code))
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, program)
    return listener


def _many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (1 << 17, hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
            return


if __name__ == "__main__":
    _many_files()
    asyncio.run(_Farm().serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
