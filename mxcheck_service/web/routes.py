"""Which path leads where."""

from typing import Final, cast

from aiohttp import hdrs, web

from mxcheck_service.metrics import Metrics
from mxcheck_service.web import handlers, rspamd
from mxcheck_service.web.gate import Gate, Handler, counted, problem

ENDPOINTS: Final = ("/v1/check", "/healthz", "/readyz", "/metrics", "/checkv2", "/ping")
"""The paths that requests are counted by."""


def routes(gate: Gate, metrics: Metrics) -> list[web.RouteDef]:
    """Return every route; the last one takes what no other does."""
    known = [
        web.post("/v1/check", gate.guarded(handlers.post_check)),
        web.get("/v1/check", gate.guarded(handlers.get_check)),
        web.get("/healthz", gate.open(handlers.healthz)),
        web.get("/readyz", gate.open(handlers.readyz)),
        web.get("/metrics", gate.open(handlers.metrics)),
        web.post("/checkv2", gate.guarded(rspamd.check)),
        web.get("/ping", gate.open(rspamd.ping)),
    ]
    every = [*known, web.route("*", "/{path:.*}", gate.open(_unrouted(known)))]
    return [
        web.RouteDef(route.method, route.path, counted(route.path, cast(Handler, route.handler), metrics), route.kwargs)
        for route in every
    ]


def _unrouted(known: list[web.RouteDef]) -> Handler:
    allowed: dict[str, list[str]] = {}
    for route in known:
        allowed.setdefault(route.path, []).append(route.method)

    async def unrouted(request: web.Request) -> web.Response:
        methods = allowed.get(request.path)
        if methods is None:
            return problem(404, f"{request.method} {request.path}: there is no such path")
        return problem(
            405, f"{request.method} {request.path}: the method is not allowed", headers={hdrs.ALLOW: ",".join(methods)}
        )

    return unrouted
