"""Which path leads where."""

from typing import Final

from aiohttp import hdrs, web

from mxcheck_service.cache.surgery import LAYERS
from mxcheck_service.web import admin, cache, console, handlers, health, openapi, rspamd, stats
from mxcheck_service.web.gate import CHECK, Gate, Handler, State, problem

_ROUTES: Final = (
    (web.post, CHECK, Gate.guarded, handlers.post_check),
    (web.get, CHECK, Gate.guarded, handlers.get_check),
    *((web.get, f"/v1/cache/{layer}/{{key}}", Gate.admin, cache.show(layer)) for layer in LAYERS),
    *((web.delete, f"/v1/cache/{layer}/{{key}}", Gate.admin, cache.purge(layer)) for layer in LAYERS),
    (web.get, "/v1/stats", Gate.told, stats.serve),
    (web.get, "/", Gate.open, console.page),
    (web.get, "/console/{name}", Gate.open, console.asset),
    (web.get, "/healthz", Gate.open, health.healthz),
    (web.get, "/readyz", Gate.open, health.readyz),
    (web.get, "/metrics", Gate.open, handlers.metrics),
    (web.get, "/openapi.json", Gate.open, openapi.serve),
    (web.post, "/checkv2", Gate.guarded, rspamd.check),
    (web.get, "/ping", Gate.open, rspamd.ping),
    (web.post, "/-/reload", Gate.admin, admin.reload),
)
_OF_CONSOLE: Final = frozenset({"/", "/console/{name}", "/v1/stats"})
_UNROUTED: Final = r"/{path:(?s:.*)}"

ENDPOINTS: Final = tuple(dict.fromkeys(path for _, path, _, _ in _ROUTES))
"""The paths that requests are counted by."""
CHECKS: Final = (CHECK, "/checkv2")
"""Those whose requests are checks."""


def routes(gate: Gate, *, console: bool) -> list[web.RouteDef]:
    """Return every route, those of the console if there is to be one; each path ends with one for the methods it does
    not have, and the last takes what no other does."""
    found: list[web.RouteDef] = []
    for path in ENDPOINTS:
        if path in _OF_CONSOLE and not console:
            continue
        own = [
            add(path, wrap(gate, path, handler), expect_handler=gate.expect)
            for add, at, wrap, handler in _ROUTES
            if at == path
        ]
        other = gate.open(_UNROUTED, _not_allowed([route.method for route in own]))
        found += [*own, web.route("*", path, other, expect_handler=gate.expect)]
    return [*found, web.route("*", _UNROUTED, gate.open(_UNROUTED, _not_found), expect_handler=gate.expect)]


def _not_allowed(methods: list[str]) -> Handler:
    # aiohttp answers HEAD wherever there is a GET.
    allowed = [*methods, *([hdrs.METH_HEAD] if hdrs.METH_GET in methods else [])]

    async def serve(request: web.Request, state: State) -> web.Response:
        return problem(
            405, f"{request.method} {request.path}: the method is not allowed", headers={hdrs.ALLOW: ",".join(allowed)}
        )

    return serve


async def _not_found(request: web.Request, state: State) -> web.Response:
    return problem(404, f"{request.method} {request.path}: there is no such path")
