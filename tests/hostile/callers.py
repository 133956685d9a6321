"""Callers who write every octet themselves, and may stop anywhere; and one who means well."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from tests.lab.service import Service

PATIENCE: Final = 10.0
"""Seconds after which a connection counts as hanging."""
HEAD: Final = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_READ: Final = 65536


def post(body: bytes, *fields: bytes, path: bytes = b"/v1/check") -> bytes:
    """A request as it should be, with this body and further header fields."""
    head = [b"POST %b HTTP/1.1" % path, b"Host: x", b"Content-Type: application/json"]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), *fields, b"", body])


class Reply(NamedTuple):
    """A reply; the names of header fields are in small letters."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document; fails when it is none."""
        assert self.fields.get("content-type") == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        assert document["detail"]
        return document


class Caller:
    """A connection of which every octet counts."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, url: str) -> Self:
        """Connect."""
        place = urlsplit(url)
        return cls(*await asyncio.open_connection(place.hostname, place.port))

    async def send(self, octets: bytes) -> None:
        """Write; a connection that is gone is no fault here."""
        try:
            self.writer.write(octets)
            await self.writer.drain()
        except ConnectionError:
            pass

    async def reply(self, within: float = PATIENCE) -> Reply:
        """Read one reply; raises EOFError or ConnectionError when the connection ends first, TimeoutError."""
        async with asyncio.timeout(within):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head[:-4].split("\r\n")
            fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await self._reader.readexactly(int(fields.get("content-length", 0)))
        return Reply(int(status.split(" ")[1]), fields, body)

    async def rest(self, within: float = PATIENCE) -> bytes:
        """Read until the connection has ended, by whatever means; raises TimeoutError when it does not."""
        found = b""
        async with asyncio.timeout(within):
            try:
                while octets := await self._reader.read(_READ):
                    found += octets
            except ConnectionError:
                pass
        return found

    def leave(self) -> None:
        """Close, whatever is on its way."""
        self.writer.transport.abort()


@asynccontextmanager
async def crowd(url: str, count: int, start: bytes = b"") -> AsyncIterator[Sequence[Caller]]:
    """Yield so many connections, each of which has begun with these octets; they end with the block."""
    callers: list[Caller] = []

    async def connect() -> Caller:
        caller = await Caller.to(url)
        await caller.send(start)
        return caller

    try:
        while len(callers) < count:
            callers += await asyncio.gather(*(connect() for _ in range(min(100, count - len(callers)))))
        yield callers
    finally:
        for caller in callers:
            caller.leave()


@asynccontextmanager
async def dribbling(callers: Iterable[Caller], octets: bytes, pause: float) -> AsyncIterator[None]:
    """Have each caller send these octets again and again, so many seconds apart, for as long as the block lasts."""

    async def dribble(caller: Caller) -> None:
        while not caller.writer.is_closing():
            await caller.send(octets)
            await asyncio.sleep(pause)

    tasks = [asyncio.create_task(dribble(caller)) for caller in callers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Honest:
    """A caller who asks again and again, over a kept connection and over one that is new each time."""

    def __init__(self, service: Service) -> None:
        self._url = service.url
        self.replies: list[tuple[float, int]] = []
        """Seconds and status of each request; 0 where no reply came."""
        self.again = 0
        """Connections that were closed before their request was read, and made again."""

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Self]:
        """Ask for as long as the block lasts, and at least once each way."""
        kept = await Caller.to(self._url)
        await self._ask(kept)
        stop = asyncio.Event()
        asking = asyncio.create_task(self._until(stop, kept))
        try:
            yield self
        finally:
            stop.set()
            await asking
            kept.leave()

    async def _until(self, stop: asyncio.Event, kept: Caller) -> None:
        while True:
            await self._ask(kept)
            await self._ask_anew()
            if stop.is_set():
                return
            await asyncio.sleep(0.02)

    async def _ask_anew(self) -> None:
        """Over a new connection. One that is closed before its request was read is made again, as every client does."""
        async with asyncio.timeout(PATIENCE):
            while True:
                new = await Caller.to(self._url)
                await self._ask(new)
                new.leave()
                if self.replies[-1][1]:
                    return
                self.again += 1
                self.replies.pop()

    async def _ask(self, caller: Caller) -> None:
        loop = asyncio.get_running_loop()
        started, status = loop.time(), 0
        try:
            await caller.send(post(b'{"sender": null}'))
            status = (await caller.reply()).status
        except (ConnectionError, EOFError, TimeoutError):
            pass
        self.replies.append((loop.time() - started, status))

    def assert_served(self, within: float = 2.0, *, crowded: bool = False) -> None:
        """Every request was answered, and none was slow; where it is crowded, some at another attempt."""
        assert crowded or not self.again
        assert len(self.replies) >= 3
        assert {status for _, status in self.replies} == {200}, self.replies
        assert max(seconds for seconds, _ in self.replies) < within, self.replies
