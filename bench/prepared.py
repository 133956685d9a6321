"""No server at all: a protocol that sends a reply it has ready. `python -m bench.prepared PORT REPLY_FILE`.

What is left of a request when nothing is taken apart, looked up or put together.
"""

import asyncio
import re
import sys
from pathlib import Path
from typing import cast

import uvloop

_LENGTH = re.compile(rb"^content-length: *(\d+)\r$", re.IGNORECASE | re.MULTILINE)


class Prepared(asyncio.Protocol):
    """One connection; requests with a Content-Length, one after the other."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if end and len(body) >= int(length[1] if length else 0):
            self._received = b""
            self._transport.write(self._reply)


async def serve(port: int, body: bytes) -> None:
    head = (
        "HTTP/1.1 200 OK",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: keep-alive",
        "Keep-Alive: timeout=75",
    )
    reply = "\r\n".join((*head, "", "")).encode() + body
    await asyncio.get_running_loop().create_server(lambda: Prepared(reply), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
