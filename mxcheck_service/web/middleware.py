"""What holds for every request: errors as problem documents, load shedding, authentication, kept-alive connections."""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from mxcheck_service.web import schema
from mxcheck_service.web.errors import ApiError
from mxcheck_service.web.schema import FieldProblem

_log = logging.getLogger(__name__)

_CHECKED = ("/v1/", "/checkv2")
"""Paths that do the service's work: guarded, counted and shed. The others only tell how it is."""


class Phase(Enum):
    """Where the process is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class State:
    """The one mutable thing of the web layer: the phase, and how many checks are under way."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a request for as long as it is being served."""
        self.active += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.active -= 1
            if not self.active:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until no request is under way."""
        await self._idle.wait()


STATE = web.AppKey("state", State)


def middlewares(*, max_concurrent_requests: int, auth_token: str | None) -> Sequence[Middleware]:
    """Return the middlewares, outermost first."""
    expected = None if auth_token is None else f"Bearer {auth_token}".encode()

    @web.middleware
    async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return _problem(error.status, error.detail, error.errors)
        except web.HTTPRequestEntityTooLarge as error:
            return _problem(error.status, error.text or "the body is too large")
        except web.HTTPException as error:
            detail = f"{request.method} {request.path}: {error.reason}"
            allowed = error.headers.get(hdrs.ALLOW)
            return _problem(error.status, detail, headers={hdrs.ALLOW: allowed} if allowed else None)
        except Exception:
            _log.exception("%s %s crashed", request.method, request.path)
            return _problem(500, "a defect of the service; its log has the details")

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(_CHECKED):
            return await handler(request)
        if expected is not None:
            given = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, expected):
                return _problem(401, "a bearer token is needed", headers={hdrs.WWW_AUTHENTICATE: "Bearer"})
        state = request.app[STATE]
        if state.phase is not Phase.READY:
            refusal = _problem(503, f"the service is {state.phase.value}", headers={hdrs.RETRY_AFTER: "1"})
            refusal.force_close()
            return refusal
        if state.active >= max_concurrent_requests:
            return _problem(503, f"{state.active} requests are under way", headers={hdrs.RETRY_AFTER: "1"})
        with state.under_way():
            return await handler(request)

    return (errors, guard)


def keep_alive_headers(seconds: int) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return a signal handler that tells the client its connection is kept; rspamd keeps one only when told so."""

    async def on_response_prepare(request: web.Request, response: web.StreamResponse) -> None:
        if request.keep_alive and request.app[STATE].phase is Phase.READY:
            response.headers[hdrs.CONNECTION] = "keep-alive"
            response.headers["Keep-Alive"] = f"timeout={seconds}"

    return on_response_prepare


def _problem(
    status: int, detail: str, errors: Sequence[FieldProblem] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(schema.problem(status, detail, errors)),
        content_type="application/problem+json",
        headers=headers,
    )
