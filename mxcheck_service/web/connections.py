"""Connections: how slow a caller may be, how many there may be, and what is said to who does not speak HTTP.

aiohttp bounds a line, the fields of a head, and the requests that wait on a connection. What it lets go on for ever is
bounded here: by a timer for each connection, and for each head that comes in pieces. A request that comes whole
costs two looks at what aiohttp has of it.
"""

import asyncio
import logging
import resource
import socket
from collections.abc import Awaitable, Mapping
from typing import Any, Final, cast

import orjson
from aiohttp import web
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, InvalidHeader, InvalidURLError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from mxcheck_service.metrics import Metrics
from mxcheck_service.series import OTHER
from mxcheck_service.settings import ServerSettings
from mxcheck_service.web import schema
from mxcheck_service.web.gate import GATE, STATE, Gate, problem
from mxcheck_service.web.overload import Outbox

_log = logging.getLogger(__name__)

# For web.Application(handler_args=…). A body in a Content-Encoding is refused, so nothing is to be decompressed. The
# bodies of requests that wait on one connection are held in memory: by aiohttp's default 32 of half a megabyte.
HANDLER: Final[Mapping[str, Any]] = {"auto_decompress": False, "read_bufsize": 32768, "lingering_time": 1.0}

_LONGEST_HEAD: Final = 65536
"""Octets of a head that comes in pieces; aiohttp alone would take a megabyte."""
_DESCRIPTORS_SHARE: Final = 2
"""Of so many file descriptors, one may be a caller's connection: the others are for what a check itself opens."""
_LOOK_AGAIN: Final = 0.05
"""Seconds between two looks for connections that can be spared."""
_LEAST_SHARE: Final = 64
"""Of so many connections at least one is closed at a time."""
_DETAILS: Final[Mapping[type[Exception], tuple[int, str]]] = {
    LineTooLong: (431, "the request line or a header field is longer than 8190 octets"),
    InvalidHeader: (400, "a header field is not what HTTP allows"),
    InvalidURLError: (400, "the request target is not what HTTP allows"),
}


class Connection(RequestHandler):
    """A caller's connection."""

    __slots__ = ("_head_number", "_head_octets", "_head_timer", "_its")

    def __init__(self, its: "Connections", **options: Any) -> None:
        super().__init__(its, **options)
        self._its = its
        self._head_number = self._head_octets = 0
        self._head_timer: asyncio.TimerHandle | None = None
        # Reading pauses while a request waits behind another: what comes in one read is all that waits in memory.
        self._max_msg_queue_size, self._msg_queue_resume_size = 2, 1

    @property
    def served(self) -> bool:
        """Whether a request has come over it."""
        return self._request_count > 0

    @property
    def idle_since(self) -> float:
        """When it was last answered, or else was made; comparable with others."""
        return self._next_keepalive_close_time

    @property
    def waits(self) -> bool:
        """Whether it waits for a head, or is about to: of many that are accepted at once, none does so far."""
        if self._waiter is None:
            return not self.served and not self._messages
        return not self._waiter.done()

    @property
    def spare(self) -> bool:
        """Whether nobody's request ends with it: it waits for a head, or for the caller to take the reply."""
        return self.waits or (self._current_request is None and self.writing_paused)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        if not self._its.take(self):
            self._force_close = True  # nothing of it is read
            transport.write(self._its.reply(503, "there are too many connections", "Retry-After: 1\r\n"))
            transport.close()
            return
        super().connection_made(transport)
        taken = transport.get_extra_info("socket")
        if taken is not None and taken.family in (socket.AF_INET, socket.AF_INET6):
            # The kernel resets a connection whose peer takes nothing of what is sent; a reply that nobody reads would
            # otherwise be kept for good, whether the connection has been closed meanwhile or not.
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * self._its.seconds))
        self._head_timer = self._loop.call_later(self._its.seconds, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._its.leave(self)
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None and self._its.gate.refuses_unread and not (self._request_in_progress or self._messages):
            # The reply before it has just been sent, and the task that serves is to wait for it later in this turn.
            self._loop.call_soon(self._received, data)
        else:
            self._received(data)

    def _received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done() or not self._its.gate.refuses_unread:
            RequestHandler.data_received(self, data)
        elif self._is_refused_unread(data, waiter):
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._head_goes_on(len(data))
        elif waiter is None or len(self._messages) > 1:
            self._is_the_body_broken()

    def drop(self) -> None:
        """Close it at once, whatever is still to be sent."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Return the reply to what is not HTTP, or met a defect before it came to a handler; the connection ends."""
        if request.writer.output_size > 0:
            raise ConnectionError("part of the reply has been sent, and there cannot be another")
        if isinstance(exc, HttpProcessingError):
            # What aiohttp says of it begins with words of its own; the request is quoted on further lines.
            words = exc.message.partition("\n")[0].removesuffix(":")
            status, detail = _DETAILS.get(type(exc), (400, words))
            _log.warning("a request of %s is not HTTP: %s", request.remote, detail)
        else:
            status, detail = 500, "a defect of the service; its log has the details"
            _log.error("a request crashed before it was routed", exc_info=exc)
        self._its.metrics.request(OTHER, status, 0.0)
        response = problem(status, detail)
        response.force_close()
        return response

    def _is_refused_unread(self, data: bytes, waiter: asyncio.Future[None]) -> bool:
        """Take what has come while a head was waited for; return whether it was a request and has been refused unread.

        aiohttp has taken it apart as ever; who waits for it is just not woken before it has been looked at.
        """
        self._waiter = None
        try:
            RequestHandler.data_received(self, data)
        finally:
            self._waiter = waiter
        if not self._messages:
            return False
        message, body = self._messages[0]
        alone = len(self._messages) == 1 and not self.writing_paused
        if alone and isinstance(message, RawRequestMessage) and body.is_eof():
            refusal = self._its.gate.refused_unread(message)
            if refusal is not None:
                self._answered(refusal)
                return True
        waiter.set_result(None)
        return False

    def _answered(self, reply: bytes) -> None:
        """Reply to the one request that has come, and wait for the next one: as `RequestHandler.start` does."""
        assert self._parser is not None
        assert self.transport is not None
        self._messages.clear()
        self._parser.message_consumed()
        self._its.requests_count += 1
        self._its.outbox.send(self.transport, reply)
        self._next_keepalive_close_time = end = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(end, self._process_keepalive)

    def _head_goes_on(self, octets: int) -> None:
        """Note that so many octets have come and still make no head."""
        if not octets:
            return
        if self._head_timer is None or self._head_number != self._request_count:
            self._head_number, self._head_octets = self._request_count, 0
            if self._head_timer is not None:
                self._head_timer.cancel()
            self._head_timer = self._loop.call_later(self._its.seconds, self._head_is_late)
        if not self._head_octets and self._keepalive_handle is not None:
            # It is idle no more.
            self._keepalive_handle.cancel()
            self._keepalive_handle = None
        self._head_octets += octets
        if self._head_octets > _LONGEST_HEAD:
            self._refuse(431, f"the head is longer than {_LONGEST_HEAD} octets")

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.waits or self._head_number != self._request_count:
            return
        if self._head_octets:
            self._refuse(408, f"the head has not come within {self._its.seconds:g} s")
        else:
            self.force_close()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer before there is a request. Only while a head is waited for: then no other reply is on its way."""
        self._its.metrics.request(OTHER, status, 0.0)
        assert self.transport is not None
        self.transport.write(self._its.reply(status, detail))
        self.force_close()

    def _is_the_body_broken(self) -> None:
        """Tell the handler that waits for a body when the parser has met the end of HTTP in it: aiohttp does not."""
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            bodies = [body for _, body in self._messages]
            if self._current_request is not None:
                bodies.append(self._current_request.content)
            for body in bodies:
                if not body.is_eof():
                    body.set_exception(web.RequestPayloadError("not HTTP"))
                    body.feed_eof()


class Connections(web.Server):
    """Makes connections, and knows those that are open. At most `most` are.

    For one more, some others are closed: the older half of those that have not brought a request yet; and when these
    are few, those that have been idle for longest. So a crowd that only connects is in its own way, and not in that of
    callers who come back. Who finds every connection at work is refused.
    """

    def __init__(self, made: web.Server, gate: Gate, metrics: Metrics, *, seconds: float, most: int) -> None:
        super().__init__(
            self._answer, request_factory=made.request_factory, handler_cancellation=made.handler_cancellation,
            loop=made._loop, **made._kwargs,
        )  # fmt: skip
        self.gate = gate
        self.metrics = metrics
        self.seconds = seconds
        self.displaced = 0
        self.outbox = Outbox(made._loop)
        self._handle = made.request_handler
        self._most = most
        self._open: set[Connection] = set()
        self._full_until = float("-inf")

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)

    def __len__(self) -> int:
        return len(self._open)

    def take(self, connection: Connection) -> bool:
        """Note that a connection is open; return whether there was room for it."""
        if len(self._open) >= self._most and not self._make_room():
            self.metrics.request(OTHER, 503, 0.0)
            return False
        self._open.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """Note that a connection has ended."""
        self._open.discard(connection)

    def reply(self, status: int, detail: str, fields: str = "") -> bytes:
        """Return a problem document as it is sent where there is no request to answer."""
        body = orjson.dumps(document := schema.problem(status, detail))
        head = (
            f"HTTP/1.1 {status} {document['title']}\r\nContent-Type: application/problem+json\r\n{fields}"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body

    def _make_room(self) -> bool:
        # A look goes through all connections, so what it finds is to last for a while, or the next one is not soon.
        if self._loop.time() < self._full_until:
            return False
        least = 1 + self._most // _LEAST_SHARE
        spare = sorted((each for each in self._open if each.spare), key=lambda each: each.idle_since)
        new = [each for each in spare if not each.served]
        found = new[: len(new) // 2]
        if len(found) < least:
            found += [each for each in spare if each.served][: least - len(found)]
        found = found or new
        if len(found) < least:
            self._full_until = self._loop.time() + _LOOK_AGAIN
        for each in found:
            self._open.discard(each)
            each.drop()
        self.displaced += len(found)
        if found:
            _log.warning("too many connections: of %d the %d least useful were closed", self._most, len(found))
        return bool(found)

    def _answer(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        message = request._message
        if message.version is HttpVersion11 and message.path[0] == "/":
            return self._handle(request)
        return self._answer_odd(request)

    async def _answer_odd(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer what another version than HTTP/1.1, or a target without a path such as `*`, is asked of."""
        if request.version not in (HttpVersion10, HttpVersion11):
            refusal = problem(505, "HTTP/1.1 and HTTP/1.0 are spoken here")
        else:
            try:
                return await self._handle(request)
            except web.HTTPException as error:
                refusal = problem(error.status, f"{request.method}: there is no such path")
        self.metrics.request(OTHER, refusal.status, 0.0)
        refusal.force_close()
        return refusal


class Runner(web.AppRunner):
    """Serves an application over such connections."""

    def __init__(self, app: web.Application, settings: ServerSettings, **options: Any) -> None:
        super().__init__(app, access_log=None, keepalive_timeout=settings.keepalive_seconds, **options)
        self._settings = settings

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        metrics, settings = self._app[STATE].metrics, self._settings
        most = most_connections(settings.max_connections)
        connections = Connections(made, self._app[GATE], metrics, seconds=settings.request_seconds, most=most)
        metrics.connections.read_from(lambda: len(connections))
        metrics.connections_displaced.read_from(lambda: connections.displaced)
        return connections


def most_connections(wanted: int) -> int:
    """Return how many connections may be open: no more than the file descriptors allow."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if descriptors == resource.RLIM_INFINITY else min(wanted, max(1, descriptors // _DESCRIPTORS_SHARE))
