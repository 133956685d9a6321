"""Which path leads where."""

from aiohttp import web

from mxcheck_service.web import handlers, rspamd


def routes() -> list[web.AbstractRouteDef]:
    return [
        web.post("/v1/check", handlers.post_check),
        web.get("/v1/check", handlers.get_check),
        web.get("/healthz", handlers.healthz),
        web.get("/readyz", handlers.readyz),
        web.post("/checkv2", rspamd.check),
        web.get("/ping", rspamd.ping),
    ]
