"""What holds for every request: load shedding, authentication, errors as problem documents, kept-alive connections.

Wrapped around each handler where the routes are made. aiohttp's middlewares and signals do the same for a third of what
a warm check costs.
"""

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Final

import orjson
from aiohttp import hdrs, web

from mxcheck_service.checker import Checker
from mxcheck_service.metrics import Metrics
from mxcheck_service.ports import CacheBackend
from mxcheck_service.web import schema
from mxcheck_service.web.errors import ApiError
from mxcheck_service.web.schema import FieldProblem

_log = logging.getLogger(__name__)

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
    cache: CacheBackend

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.phase = Phase.STARTING
        self.active = 0

    def begin(self, checker: Checker, cache: CacheBackend) -> None:
        """Serve from now on."""
        self.checker = checker
        self.cache = cache
        self.phase = Phase.READY

    async def idle(self) -> None:
        """Wait until no check is under way."""
        while self.active:  # noqa: ASYNC110 - an event would cost every check two calls
            await asyncio.sleep(_LOOK)


STATE = web.AppKey("state", State)
Handler = Callable[[web.Request, State], Awaitable[web.Response]]
Served = Callable[[web.Request], Awaitable[web.Response]]


class Gate:
    """Wraps handlers. `max_concurrent_requests` bounds the checks under way, `auth_token` is what they ask for."""

    def __init__(
        self, state: State, *, max_concurrent_requests: int, auth_token: str | None, keepalive_seconds: int
    ) -> None:
        self._state = state
        self._most_active = max_concurrent_requests
        self._expected = None if auth_token is None else f"Bearer {auth_token}".encode()
        # rspamd keeps a connection only when told so.
        self._keep_alive = {hdrs.CONNECTION: "keep-alive", "Keep-Alive": f"timeout={keepalive_seconds}"}

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
        state = self._state

        async def serve(request: web.Request) -> web.Response:
            started = time.monotonic()
            response = self._refusal(request)
            if response is None:
                state.active += 1
                try:
                    response = await handler(request, state)
                except Exception as error:
                    response = _failure(request, error)
                finally:
                    state.active -= 1
            return self._finished(endpoint, request, response, started)

        return serve

    def _finished(self, endpoint: str, request: web.Request, response: web.Response, started: float) -> web.Response:
        state = self._state
        if state.phase is Phase.READY and request.keep_alive:
            response.headers.update(self._keep_alive)
        # By the route, never by the path that was asked for.
        state.metrics.request(endpoint, response.status, time.monotonic() - started)
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self._expected is not None:
            given = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, self._expected):
                return problem(401, "a bearer token is needed", headers={hdrs.WWW_AUTHENTICATE: "Bearer"})
        if self._state.phase is not Phase.READY:
            refusal = problem(503, f"the service is {self._state.phase.value}", headers={hdrs.RETRY_AFTER: "1"})
            refusal.force_close()
            return refusal
        if self._state.active >= self._most_active:
            return problem(503, f"{self._state.active} requests are under way", headers={hdrs.RETRY_AFTER: "1"})
        return None


def _failure(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, ApiError):
        return problem(error.status, error.detail, error.errors)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return problem(error.status, error.text or "the body is too large")
    if isinstance(error, web.RequestPayloadError):
        return problem(400, "the body is not encoded as its header fields say")
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
