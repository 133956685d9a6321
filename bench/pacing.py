"""A caller that does not wait: each request is sent when its time has come, whatever became of those before it.

What waits for a free connection waits since its time had come, so a server that is slow does not get less to do.
"""

import asyncio
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

_LENGTH: Final = re.compile(rb"^content-length: *(\d+)\r$", re.IGNORECASE | re.MULTILINE)
_TICK: Final = 0.001
"""Seconds between two looks at what is due."""
_PARTIAL: Final = b'"partial":true'
RAMP: Final = 1.0
"""Seconds until it is counted: a queue has to fill first."""


class Answer(NamedTuple):
    """An answer: when it came and how long after its request was due (seconds), and what it was."""

    at: float
    seconds: float
    status: int
    partial: bool


@dataclass
class Offered:
    """What became of a load. `begin` and `end` are what is counted of it (seconds, the loop's time)."""

    begin: float
    end: float
    sent: int = 0
    answers: list[Answer] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def counted(self) -> list[Answer]:
        """The answers that came in the time that is counted."""
        return [answer for answer in self.answers if self.begin <= answer.at < self.end]

    def good(self, deadline: float) -> list[float]:
        """The seconds of the answers that tell a verdict, in time."""
        return [one.seconds for one in self.counted() if one.status == 200 and not one.partial and _in(one, deadline)]

    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.counted())


def _in(answer: Answer, deadline: float) -> bool:
    return answer.seconds <= deadline


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request under way."""

    def __init__(self, caller: "Caller") -> None:
        self._caller = caller
        self._received = b""
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if end and length and len(body) >= int(length[1]):
            self._received = b""
            self._caller.answered(self, int(head[9:12]), _PARTIAL in body)


class Caller:
    """Sends bodies over so many connections, opened beforehand."""

    def __init__(self, url: str, connections: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        lines = ("POST /v1/check HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json")
        self._head = ("\r\n".join((*lines, "Content-Length: %d", "", ""))).encode()
        self._connections = connections
        self._free: list[_Connection] = []
        self._waiting: deque[tuple[float, bytes]] = deque()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        while len(self._free) < self._connections:
            _, connection = await loop.create_connection(lambda: _Connection(self), self._host, self._port)
            self._free.append(connection)

    async def offer(self, bodies: Iterator[bytes], *, rate: float, seconds: float) -> Offered:
        """Offer so many requests a second for so long; a ramp before that is not counted."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        self._offered = offered = Offered(start + RAMP, start + RAMP + seconds)
        while (now := loop.time()) < offered.end:
            for number in range(offered.sent, int((now - start) * rate)):
                self._send(start + number / rate, next(bodies))
                offered.sent += 1
            await asyncio.sleep(_TICK)
        self._waiting.clear()
        return offered

    def close(self) -> None:
        for connection in self._free:
            connection.transport.close()

    def answered(self, connection: _Connection, status: int, partial: bool) -> None:
        now = asyncio.get_running_loop().time()
        self._offered.answers.append(Answer(now, now - connection.due, status, partial))
        if self._waiting:
            self._write(connection, *self._waiting.popleft())
        else:
            self._free.append(connection)

    def _send(self, due: float, body: bytes) -> None:
        if self._free:
            self._write(self._free.pop(), due, body)
        else:
            self._waiting.append((due, body))

    def _write(self, connection: _Connection, due: float, body: bytes) -> None:
        connection.due = due
        connection.transport.write(self._head % len(body) + body)


async def offer(url: str, bodies: Iterator[bytes], *, rate: float, seconds: float, connections: int) -> Offered:
    """Offer a load by a caller of its own."""
    caller = Caller(url, connections)
    await caller.open()
    try:
        return await caller.offer(bodies, rate=rate, seconds=seconds)
    finally:
        caller.close()


async def saturate(url: str, bodies: Iterator[bytes], *, connections: int, seconds: float) -> Offered:
    """Have so many requests under way all the time, for so long; a ramp before that is not counted."""
    loop = asyncio.get_running_loop()
    caller = _Closed(url, connections, bodies)
    await caller.open()
    offered = caller.begin(loop.time() + RAMP, seconds)
    try:
        await asyncio.sleep(RAMP + seconds)
        return offered
    finally:
        caller.close()


class _Closed(Caller):
    """Sends the next request when one was answered."""

    def __init__(self, url: str, connections: int, bodies: Iterator[bytes]) -> None:
        super().__init__(url, connections)
        self._bodies = bodies
        self._all: Sequence[_Connection] = ()

    def begin(self, begin: float, seconds: float) -> Offered:
        self._offered = Offered(begin, begin + seconds)
        self._all = tuple(self._free)
        self._free.clear()
        for connection in self._all:
            self._next(connection)
        return self._offered

    def answered(self, connection: _Connection, status: int, partial: bool) -> None:
        now = asyncio.get_running_loop().time()
        self._offered.answers.append(Answer(now, now - connection.due, status, partial))
        self._next(connection)

    def close(self) -> None:
        for connection in self._all:
            connection.transport.close()

    def _next(self, connection: _Connection) -> None:
        self._offered.sent += 1
        self._write(connection, asyncio.get_running_loop().time(), next(self._bodies))
