"""What tells that there is too much to do, and what is said then.

Checks that are answered from memory never wait for anything, so a thousand of them are never under way at once: too
many of them show as an event loop that is late. A refusal has to cost a fraction of a check, or refusing would be what
the service is busy with: its octets are ready, and nobody's body is read for it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import orjson
from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from mxcheck_service.web import schema
from mxcheck_service.web.request_log import REQUEST_ID, taken_over

_log = logging.getLogger(__name__)

_BEAT: Final = 0.02
"""Seconds between two looks at how late the loop is."""
_LATE: Final = 0.05
"""Seconds; a loop that is no later than that is not late. Whoever gives a check a millisecond is to have the answer of
that millisecond, not a refusal."""
_BUSY: Final = 0.7
"""Share of the time that the loop works."""
_TELL: Final = 10.0
"""Seconds between two lines of the log about refusals."""
_DETAIL: Final = "too much is under way; what is asked now would come too late"


class Lag:
    """How late the event loop is: an upper bound of how long a request has waited until it is begun."""

    def __init__(self) -> None:
        self._due = float("inf")
        self._used = self._before = self._worked_before = 0.0
        self.busy = False
        """Whether the loop has hardly been idle of late."""

    def at(self, now: float) -> float:
        """Seconds that a request that is begun now (time.monotonic) may have waited; 0 unless the loop is late.

        It came while the former turn of the loop lasted, or in this one, which is not over.
        """
        late = self._before + (now - self._due if now > self._due else 0.0)
        return late if late > _LATE else 0.0

    def worked(self, now: float) -> float:
        """How many seconds of that the loop has worked. In the others it stood still, or others had the processor: what
        came meanwhile is soon done."""
        return self._worked_before + max(0.0, min(now - self._due, time.thread_time() - self._used))

    async def watch(self, tell: Callable[[float, float], None]) -> None:
        """Keep looking, for ever, and tell each time how late it was by its own doing, since others use the processor,
        too; and which share of the time it has had no rest."""
        while True:
            self._due, self._used = time.monotonic() + _BEAT, time.thread_time()
            await asyncio.sleep(_BEAT)
            late, used = time.monotonic() - self._due, time.thread_time() - self._used
            # What has come while the loop stood still is read in the next turns: it is forgotten by and by.
            before = max(late, self._before / 2)
            self._before = before if before > _BEAT else 0.0
            self._worked_before = max(min(late, used), self._worked_before / 2)
            # Late without having worked: others have the processor, and there is no more of it either.
            share = 1.0 if late > _BEAT / 4 else used / (_BEAT + late)
            self.busy = share > _BUSY
            tell(min(late, used), share)


class Refusal(web.Response):
    """503 with Retry-After, for requests on a connection that is kept. There is one, given again and again."""

    def __init__(self, keepalive_seconds: int) -> None:
        super().__init__(status=503)
        body = orjson.dumps(schema.problem(503, _DETAIL))
        lines = (
            "HTTP/1.1 503 Service Unavailable",
            "Content-Type: application/problem+json",
            f"Content-Length: {len(body)}",
            "Retry-After: 1",
            "Connection: keep-alive",
            f"Keep-Alive: timeout={keepalive_seconds}",
        )
        self._head = "\r\n".join(lines).encode()
        self._rest = b"\r\n\r\n" + body
        self._octets = self._head + self._rest
        self._untold = 0
        self._tell_at = 0.0

    @property
    def keep_alive(self) -> bool:
        return True

    def octets(self, request_id: str | None) -> bytes:
        """Return all of it, as it is sent to a request that had this id."""
        if request_id is None:
            return self._octets
        return self._head + f"\r\n{REQUEST_ID}: {taken_over(request_id)}".encode() + self._rest

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        await request.writer.write(self.octets(request.headers.get(REQUEST_ID)))
        # Who sends requests and takes no replies is not read any further.
        await request.writer.drain()
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Everything is written already."""

    def for_request(self, request: web.Request) -> web.Response:
        """Return itself, or for a caller that needs something else an answer that says the same."""
        if request.keep_alive and request.method != hdrs.METH_HEAD:
            return self
        content = orjson.dumps(schema.problem(503, _DETAIL))
        headers = {hdrs.RETRY_AFTER: "1"}
        return web.Response(status=503, body=content, content_type="application/problem+json", headers=headers)

    def is_to_be_told(self, now: float) -> bool:
        """Count a refusal, and say whether the log is to tell of them: a line for each would cost more than they do."""
        self._untold += 1
        return now >= self._tell_at

    def tell(self, now: float, lookups: int, late: float) -> None:
        """Have the log tell of the refusals since the last time."""
        _log.warning(
            "overloaded: %d checks refused with 503; lookups under way: %d, the loop is late by: %.3f s",
            self._untold,
            lookups,
            late,
        )
        self._untold, self._tell_at = 0, now + _TELL


class Outbox:
    """Sends refusals together, later in the turn of the loop in which they are due.

    One by one each would wake its caller, where that is on this host, who is asleep again before the next one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: list[tuple[asyncio.WriteTransport, bytes]] = []

    def send(self, transport: asyncio.WriteTransport, reply: bytes) -> None:
        if not self._due:
            self._loop.call_soon(self._send_all)
        self._due.append((transport, reply))

    def _send_all(self) -> None:
        for transport, reply in self._due:
            transport.write(reply)
        self._due.clear()
