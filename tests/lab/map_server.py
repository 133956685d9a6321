"""A web server for one map, which behaves as it is told.

async with MapServer(b"a.example\\n") as server:
    ...  # server.url
    server.content = b"b.example\\n"
    assert server.answers == [200, 304]
"""

import asyncio
import hashlib
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy


class MapServer:
    """Serves `content` with an ETag and, where asked for it, answers 304. Everything may be changed at any time.

    `status` other than 200 is answered as it is, with `headers`; `encoding` is what the content is said to be encoded
    as; `hold`: an event that the answer waits for; `cut`: the connection is closed in the middle of the content.
    """

    def __init__(self, content: bytes = b"", *, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.content = content
        self._tls = tls
        self._address = address
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self.encoding: str | None = None
        self.hold: asyncio.Event | None = None
        self.cut = False
        self.modified: str | None = None
        """Served as Last-Modified, instead of an ETag."""
        self.requests: list[CIMultiDictProxy[str]] = []
        """The headers of every request so far, wherever it went."""
        self.asked = 0
        """Requests so far."""
        self.answers: list[int] = []
        """The status of every answer so far."""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/map", self._serve)
        app.router.add_get("/elsewhere", self._serve_plainly)
        self._server = TestServer(app, host=self._address)
        await self._server.start_server(ssl=self._tls)
        self.url = str(self._server.make_url("/map"))
        self.elsewhere = str(self._server.make_url("/elsewhere"))
        """Where the content is, whatever `status` says."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.close()

    async def _serve_plainly(self, request: web.Request) -> web.Response:
        self.requests.append(request.headers)
        return web.Response(body=self.content)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.requests.append(request.headers)
        if self.hold is not None:
            await self.hold.wait()
        headers = dict(self.headers)
        if self.modified is None:
            headers["ETag"] = f'"{hashlib.sha256(self.content).hexdigest()}"'
            known = request.headers.get("If-None-Match") == headers["ETag"]
        else:
            headers["Last-Modified"] = self.modified
            known = request.headers.get("If-Modified-Since") == self.modified
        if self.encoding is not None:
            headers["Content-Encoding"] = self.encoding
        status = 304 if known and self.status == 200 else self.status
        self.answers.append(status)
        if status != 200:
            return web.Response(status=status, headers=headers)
        if self.cut:
            response = web.StreamResponse(headers=headers | {"Content-Length": str(len(self.content))})
            await response.prepare(request)
            await response.write(self.content[: len(self.content) // 2])
            assert request.transport
            request.transport.abort()
            return response
        return web.Response(body=self.content, headers=headers)
