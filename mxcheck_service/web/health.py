"""GET /healthz and /readyz, and the state of what the service uses."""

from typing import Final

from aiohttp import hdrs, web

from mxcheck_service.egress import Egress
from mxcheck_service.metrics import Metrics
from mxcheck_service.ports import CacheBackend, CacheError
from mxcheck_service.silence import DOUBT
from mxcheck_service.web import schema
from mxcheck_service.web.gate import Phase, State

_OK: Final[schema.Component] = {"status": "ok"}


async def healthz(request: web.Request, state: State) -> web.Response:
    """Alive: depends on nothing outside the process."""
    return web.json_response(_OK)


async def readyz(request: web.Request, state: State) -> web.Response:
    """Ready to check; 503 while starting and draining. A lost cache or way out degrades it, it does not unready it."""
    phase = state.phase
    ready = phase is Phase.READY
    return web.json_response(
        {"status": phase.value, "components": await components(state)},
        status=200 if ready else 503,
        headers={} if ready else {hdrs.RETRY_AFTER: "1"},
    )


async def components(state: State) -> schema.Components:
    """Return the state of what the service uses; of the way out only when it is watched."""
    found: schema.Components = {"cache": await _cache(state.cache), "resolver": _resolver(state.metrics)}
    if state.egress and state.egress.watched:
        found["egress"] = _egress(state.egress)
    return found


async def _cache(cache: CacheBackend) -> schema.Component:
    try:
        await cache.ping()
    except CacheError as error:
        return {"status": "down", "detail": str(error)}
    return _OK


def _resolver(metrics: Metrics) -> schema.Component:
    """Tell that DNS is down when so many questions have failed in a row that it is hardly the names' fault."""
    metrics.fold()
    (failures,) = metrics.total(metrics.dns_failures_in_a_row)
    if failures < DOUBT:
        return _OK
    return {"status": "down", "detail": f"the last {failures:.0f} questions were not answered"}


def _egress(egress: Egress) -> schema.Component:
    faults = egress.faults()
    return {"status": "down", "detail": "; ".join(faults)} if faults else _OK
