"""What holds for every request: load shedding, authentication, errors as problem documents, kept-alive connections.

Wrapped around each handler where the routes are made. aiohttp's middlewares and signals could do the same, but every
warm check would pass through more calls of theirs than of its own.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Final

import orjson
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http import RawRequestMessage
from pydantic import SecretStr

from mxcheck_service.capacity import Overloaded, Places
from mxcheck_service.checker import Adapters, Checker, Report
from mxcheck_service.egress import Egress
from mxcheck_service.lookback import Lookback
from mxcheck_service.metrics import Metrics
from mxcheck_service.ports import CacheBackend
from mxcheck_service.reload import Reloader
from mxcheck_service.series import OTHER
from mxcheck_service.web import schema
from mxcheck_service.web.arrivals import Arrivals
from mxcheck_service.web.callers import digests, is_given, is_of_another_site
from mxcheck_service.web.errors import ApiError
from mxcheck_service.web.overload import Lag, Refusal
from mxcheck_service.web.request_log import REQUEST_ID, RequestLog, taken_over
from mxcheck_service.web.schema import FieldProblem

_log = logging.getLogger(__name__)

CHECK: Final = "/v1/check"
"""The path of nearly all that is asked."""
_WORTH_WAITING: Final = 0.5
"""Part of the deadline; a request that may have waited longer than that, for others to be served, is refused."""
_MOST_UNREAD: Final = 31
"""Finding out whether a check can be answered from memory costs more than refusing it. So after one that cannot, others
are refused unread as long as the loop is busy: one, and twice as many each time, until one can."""
_ON_THEIR_WAY: Final = 0.1
"""Seconds after which a check that was let in has begun, or never will."""
_FOREIGN: Final = (
    "a page of another site may not ask; open the console at an address or as localhost, or set server.auth_token"
)
_LOOK: Final = 0.01
"""Seconds between two looks at whether the last check is over, while draining."""


class Phase(Enum):
    """Where the process is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class State:
    """What handlers serve from, and the one mutable thing of the web layer: a reload puts another checker in place."""

    checker: Checker
    places: Places
    cache: CacheBackend
    reloader: Reloader
    egress: Egress | None

    def __init__(self, metrics: Metrics, arrivals: Arrivals, lookback: Lookback | None = None) -> None:
        self.metrics = metrics
        self.arrivals = arrivals
        self.lookback = lookback
        self.request_log = RequestLog()
        self.lag = Lag()
        self.phase = Phase.STARTING
        self.active = 0

    def begin(self, checker: Checker, world: Adapters, reloader: Reloader) -> None:
        """Serve from now on."""
        self.checker = checker
        self.places = world.places
        self.cache = world.cache
        self.reloader = reloader
        self.egress = world.egress
        self.phase = Phase.READY

    def checked(self, request: web.Request, client_ip: str | None, report: Report, seconds: float) -> None:
        """Let the log, and whoever looks back, know of a check that was answered with this report."""
        self.request_log.checked(request, client_ip, report, seconds)
        if self.lookback:
            self.lookback.saw(report)

    async def idle(self) -> None:
        """Wait until no check is under way."""
        while self.active:  # noqa: ASYNC110 - an event would cost every check two calls
            await asyncio.sleep(_LOOK)


_READY: Final = Phase.READY  # a global is found ten times as fast as a member of an enumeration
STATE = web.AppKey("state", State)
Handler = Callable[[web.Request, State], Awaitable[web.Response]]
Served = Callable[[web.Request], Awaitable[web.Response]]
Refuse = Callable[[web.Request, float], web.Response | None]


class Gate:
    """Wraps handlers. Checks under way are bounded by `max_concurrent_requests`: so many that may wait for lookups (see
    `capacity.Places`), and as many again that need none; those whose body is still coming do not count. `auth_token` is
    what they ask for, `admin_token` what the operator's endpoints do, or `auth_token` when there is no other. Either
    may be several, a line each."""

    def __init__(
        self,
        state: State,
        *,
        max_concurrent_requests: int,
        auth_token: SecretStr | None,
        admin_token: SecretStr | None,
        keepalive_seconds: int,
    ) -> None:
        self._state = state
        self._most_active = 2 * max_concurrent_requests
        self._expected = digests(auth_token)
        self._expected_of_admin = digests(auth_token if admin_token is None else admin_token)
        # rspamd keeps a connection only when told so.
        self._keep_alive = {hdrs.CONNECTION: "keep-alive", "Keep-Alive": f"timeout={keepalive_seconds}"}
        self._overloaded = Refusal(keepalive_seconds)
        self._unread = self._unread_in_a_row = 0
        self._to_read: RawRequestMessage | None = None
        self._let_in = 0
        self._let_in_until = 0.0

    def open(self, endpoint: str, handler: Handler) -> Served:
        """Wrap a handler that only tells how the service is: nobody is turned away."""
        state = self._state

        async def serve(request: web.Request) -> web.Response:
            started = time.monotonic()
            try:
                response = await handler(request, state)
            except Exception as error:
                response = _failure(request, error)
            return self._finished(endpoint, request, response, started)

        return serve

    def guarded(self, endpoint: str, handler: Handler) -> Served:
        """Wrap a handler that does the service's work: guarded, counted and shed."""
        return self._behind(self._refusal, endpoint, handler)

    def admin(self, endpoint: str, handler: Handler) -> Served:
        """Wrap a handler that is the operator's: guarded and counted, and served however busy the service is."""
        return self._behind(partial(self._refusal_of_person, self._expected_of_admin), endpoint, handler)

    def told(self, endpoint: str, handler: Handler) -> Served:
        """Wrap a handler that tells a person about the service: as `admin`, for who has the ordinary token."""
        return self._behind(partial(self._refusal_of_person, self._expected), endpoint, handler)

    async def expect(self, request: web.Request) -> web.StreamResponse | None:
        """Do what a header Expect asks for: have a body sent, or refuse whatever else it is."""
        if request.headers[hdrs.EXPECT].lower() != "100-continue":
            self._state.metrics.request(OTHER, 417, 0.0)
            refusal = problem(417, "Expect may be 100-continue")
            refusal.force_close()
            return refusal
        if request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # or aiohttp would take the reply for sent already
        return None

    @property
    def refuses_unread(self) -> bool:
        """Whether the next request may well be one that is refused unread."""
        return self._unread_in_a_row > 0 and self._state.lag.busy

    def refused_unread(self, message: RawRequestMessage) -> bytes | None:
        """Count a request as refused unread and return the reply; None: it is not, or asks for more than just that.

        It is told what it would be told behind its route, before there is a request, a task and a turn of the loop for
        it, which cost twice as much as everything else. Its body has come whole.
        """
        if (
            message.method != hdrs.METH_POST
            or message.path != CHECK
            or message.version is not HttpVersion11
            or message.should_close
            or message.upgrade
            or hdrs.EXPECT in message.headers
            or (self._expected is not None and not is_given(message.headers, self._expected))
        ):
            return None
        now = time.monotonic()
        if now > self._let_in_until:
            self._let_in, self._let_in_until = 0, now + _ON_THEIR_WAY
        if self._state.phase is not _READY or not self._is_too_much(message, now, self._let_in):
            # Many come in one turn, and what is free is not taken before the next one.
            self._let_in += 1
            return None
        self._count_refusal(CHECK, now)
        return self._overloaded.octets(message.headers.get(REQUEST_ID))

    def _behind(self, refusal: Refuse, endpoint: str, handler: Handler) -> Served:
        state = self._state

        async def serve(request: web.Request) -> web.Response:
            started = time.monotonic()
            response = refusal(request, started)
            if response is None:
                state.active += 1
                from_memory = self._unread_in_a_row and state.places.full
                try:
                    response = await handler(request, state)
                    if from_memory:
                        self._unread_in_a_row = 0
                except Overloaded:
                    response = self._overloaded
                    self._unread = self._unread_in_a_row = min(2 * self._unread_in_a_row + 1, _MOST_UNREAD)
                except Exception as error:
                    response = _failure(request, error)
                finally:
                    state.active -= 1
            if response is self._overloaded:
                return self._shed(endpoint, request, started)
            if response.status >= 400:
                state.request_log.refused(request, endpoint, response, time.monotonic() - started)
            if (given := request.headers.get(REQUEST_ID)) is not None:
                response.headers[REQUEST_ID] = taken_over(given)
            return self._finished(endpoint, request, response, started)

        return serve

    def _finished(self, endpoint: str, request: web.Request, response: web.Response, started: float) -> web.Response:
        state = self._state
        if state.phase is _READY and request.keep_alive and response.keep_alive is not False:
            response.headers.update(self._keep_alive)
        # By the route, never by the path that was asked for.
        state.metrics.request(endpoint, response.status, time.monotonic() - started)
        return response

    def _shed(self, endpoint: str, request: web.Request, started: float) -> web.Response:
        self._count_refusal(endpoint, started)
        return self._overloaded.for_request(request)

    def _count_refusal(self, endpoint: str, started: float) -> None:
        state, now = self._state, time.monotonic()
        state.metrics.request(endpoint, self._overloaded.status, now - started)
        if self._overloaded.is_to_be_told(now):
            self._overloaded.tell(now, len(state.places), state.lag.at(now))

    def _refusal(self, request: web.Request, started: float) -> web.Response | None:
        if self._expected is not None and not is_given(request.headers, self._expected):
            return _unauthorized()
        if self._state.phase is not _READY:
            return self._unready()
        self._let_in = max(0, self._let_in - 1)
        return self._overloaded if self._is_too_much(request._message, started) else None

    def _is_too_much(self, message: RawRequestMessage, started: float, let_in: int = 0) -> bool:
        """Whether a request that is begun now, or after so many that were let in, is to be refused unread; one that is
        counts as such.

        It may be asked twice about one that is not. The others are refused meanwhile: many come at once, and none would
        be if they waited for what becomes of that one.
        """
        state = self._state
        late, most = state.lag.at(started), state.checker.deadline * _WORTH_WAITING
        if late > most and state.lag.worked(started) > most:
            return True
        busy = self._unread_in_a_row and (late or state.lag.busy) and state.places.full_after(let_in)
        if busy and message is not self._to_read:
            if self._unread:
                self._unread -= 1
                return True
            self._to_read, self._unread = message, self._unread_in_a_row
        # Who only waits for a body takes nobody's place.
        return state.active >= self._most_active and state.active - len(state.arrivals) >= self._most_active

    def _refusal_of_person(
        self, expected: tuple[bytes, ...] | None, request: web.Request, started: float
    ) -> web.Response | None:
        if expected is None:
            if is_of_another_site(request):
                return problem(403, _FOREIGN)
        elif not is_given(request.headers, expected):
            return _unauthorized()
        return None if self._state.phase is _READY else self._unready()

    def _unready(self) -> web.Response:
        refusal = problem(503, f"the service is {self._state.phase.value}", headers={hdrs.RETRY_AFTER: "1"})
        refusal.force_close()
        return refusal


GATE = web.AppKey("gate", Gate)


def _unauthorized() -> web.Response:
    return problem(401, "a bearer token is needed", headers={hdrs.WWW_AUTHENTICATE: "Bearer"})


def _failure(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, ApiError):
        refusal = problem(error.status, error.detail, error.errors, error.headers)
        if error.status == 408:
            refusal.force_close()
        return refusal
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return problem(error.status, error.text or "the body is too large")
    if isinstance(error, web.RequestPayloadError):
        # Nothing of use can follow on this connection; without an end aiohttp would read on, and crash.
        request.content.feed_eof()
        broken = problem(400, "the body cannot be read: its chunks are broken")
        broken.force_close()
        return broken
    _log.error("%s %s crashed", request.method, request.path, exc_info=error)
    return problem(500, "a defect of the service; its log has the details")


def problem(
    status: int, detail: str, errors: Sequence[FieldProblem] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a problem document (RFC 9457)."""
    return web.Response(
        status=status,
        body=orjson.dumps(schema.problem(status, detail, errors)),
        content_type="application/problem+json",
        headers=headers,
    )
