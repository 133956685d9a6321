"""A stand-in for the service, for replies that the real one will not give: raw HTTP, as the test says.

    async with FakeService() as fake:
        fake.reply = http_reply({"action": "no action", "symbols": {}})
        ...
        assert fake.asked[0].json["sender"] == "x@sender.test"

It serves one event loop.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

from tests.lab.sockets import free_port
from tests.lab.waiting import Changes

_HOST = "127.0.0.1"
_LONGEST_LINE = 1 << 20


class Asked(NamedTuple):
    """A request that arrived; the names of its headers are in lower case."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


def http_reply(
    body: object, *, status: int = 200, content_type: str = "application/json", keep_alive: bool = False
) -> bytes:
    """The bytes of a whole reply; a body that is not bytes or text yet becomes JSON."""
    encoded = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    head = [
        f"HTTP/1.1 {status} Status",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(encoded)}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + encoded


def chunked_reply(*chunks: bytes) -> bytes:
    """The bytes of a whole reply in chunks."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def verdict(symbols: object = None, action: object = "no action", **more: object) -> dict[str, object]:
    """The part of the service's reply that its readers look at."""
    return {"action": action, "symbols": {} if symbols is None else symbols, "messages": {}} | more


class FakeService:
    """Listens on 127.0.0.1 while entered, keeps every request, and answers each with `reply` (None: never).

    Replies in `at_first` are given before that, each once.

    After a reply it closes the connection, unless the reply says `keep-alive` and `hang_up` is not set.
    """

    def __init__(self, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self.reply: bytes | None = http_reply(verdict())
        self.at_first: list[bytes] = []
        self.hang_up = False
        self.asked: list[Asked] = []
        self.connections = 0
        self._changes = Changes()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://{_HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, _HOST, self.port, limit=_LONGEST_LINE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_asked(self, times: int = 1, within: float = 20.0) -> None:
        """Return once so many requests arrived; raises StillWaiting."""
        await self._changes.wait_until(lambda: len(self.asked) >= times, within, lambda: f"{times} requests")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                self.asked.append(await _read_request(reader))
                self._changes.notify()
                reply = self.at_first.pop(0) if self.at_first else self.reply
                if reply is None:
                    await reader.read()  # until the client gives up
                    return
                writer.write(reply)
                await writer.drain()
                if self.hang_up or b"Connection: keep-alive" not in reply:
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the client went, or the server ends
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.splitlines()
    headers = _headers(fields)
    return Asked(line, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def _headers(fields: Sequence[str]) -> dict[str, str]:
    split = (field.partition(":") for field in fields if field)
    return {name.lower(): value.strip() for name, _, value in split}
