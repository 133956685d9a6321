"""Which path leads where."""

from aiohttp import hdrs, web

from mxcheck_service.web import handlers, rspamd
from mxcheck_service.web.gate import Gate, Handler, State, problem


def routes(gate: Gate) -> list[web.RouteDef]:
    """Return every route; the last one takes what no other does."""
    known = [
        web.post("/v1/check", gate.guarded(handlers.post_check)),
        web.get("/v1/check", gate.guarded(handlers.get_check)),
        web.get("/healthz", gate.open(handlers.healthz)),
        web.get("/readyz", gate.open(handlers.readyz)),
        web.post("/checkv2", gate.guarded(rspamd.check)),
        web.get("/ping", gate.open(rspamd.ping)),
    ]
    return [*known, web.route("*", "/{path:.*}", gate.open(_unrouted(known)))]


def _unrouted(known: list[web.RouteDef]) -> Handler:
    allowed: dict[str, list[str]] = {}
    for route in known:
        allowed.setdefault(route.path, []).append(route.method)

    async def unrouted(request: web.Request, state: State) -> web.Response:
        methods = allowed.get(request.path)
        if methods is None:
            return problem(404, f"{request.method} {request.path}: there is no such path")
        return problem(
            405, f"{request.method} {request.path}: the method is not allowed", headers={hdrs.ALLOW: ",".join(methods)}
        )

    return unrouted
