"""Which path leads where."""

from typing import Final

from aiohttp import hdrs, web

from mxcheck_service.web import handlers, rspamd
from mxcheck_service.web.gate import Gate, Handler, State, problem

_ROUTES: Final = (
    (web.post, "/v1/check", Gate.guarded, handlers.post_check),
    (web.get, "/v1/check", Gate.guarded, handlers.get_check),
    (web.get, "/healthz", Gate.open, handlers.healthz),
    (web.get, "/readyz", Gate.open, handlers.readyz),
    (web.get, "/metrics", Gate.open, handlers.metrics),
    (web.post, "/checkv2", Gate.guarded, rspamd.check),
    (web.get, "/ping", Gate.open, rspamd.ping),
)
_UNROUTED: Final = r"/{path:(?s:.*)}"

ENDPOINTS: Final = tuple(dict.fromkeys(path for _, path, _, _ in _ROUTES))
"""The paths that requests are counted by."""


def routes(gate: Gate) -> list[web.RouteDef]:
    """Return every route; the last one takes what no other does."""
    known = [add(path, wrap(gate, path, handler)) for add, path, wrap, handler in _ROUTES]
    return [*known, web.route("*", _UNROUTED, gate.open(_UNROUTED, _unrouted(known)))]


def _unrouted(known: list[web.RouteDef]) -> Handler:
    allowed: dict[str, list[str]] = {}
    for route in known:
        # aiohttp answers HEAD wherever it answers GET.
        allowed.setdefault(route.path, []).extend(["GET", "HEAD"] if route.method == "GET" else [route.method])

    async def unrouted(request: web.Request, state: State) -> web.Response:
        methods = allowed.get(request.rel_url.path_safe)
        if methods is None:
            return problem(404, f"{request.method} {request.path}: there is no such path")
        return problem(
            405, f"{request.method} {request.path}: the method is not allowed", headers={hdrs.ALLOW: ",".join(methods)}
        )

    return unrouted
