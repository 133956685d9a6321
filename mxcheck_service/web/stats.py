"""GET /v1/stats: how the service has fared in the last hour and how it stands, as the console shows it."""

import itertools
import time
from collections.abc import Iterable, Sequence

import orjson
from aiohttp import web

from mxcheck_service import __version__, config
from mxcheck_service.core.model import Verdict
from mxcheck_service.counts import DNS_TYPES, FAMILIES, LAYERS, DnsResult, Read
from mxcheck_service.history import CHECKS, SHED, STEP, Sample
from mxcheck_service.metrics import Metrics
from mxcheck_service.recent import Recent
from mxcheck_service.series import Gauge
from mxcheck_service.web.admin import maps
from mxcheck_service.web.gate import State
from mxcheck_service.web.health import components
from mxcheck_service.web.query import parameters, refuse_others, take_switch
from mxcheck_service.web.stats_schema import Complaint, History, Hour, InFlight, Reads, Stats


async def serve(request: web.Request, state: State) -> web.Response:
    """Tell what is known of all workers together; with `settings`, also the settings and maps in use."""
    query = parameters(request)
    with_settings = take_switch(query, "settings")
    refuse_others(query)
    assert state.lookback  # there is a route to here only when there is a console
    state.metrics.fold()
    now, history = time.monotonic(), state.lookback.history
    samples = [*history.samples(now), history.present(now)]
    document: Stats = {
        "version": __version__,
        "time": round(time.time(), 3),
        "workers": int(_total(state.metrics, state.metrics.workers)),
        "deadline_s": state.checker.deadline,
        "history": _history(samples, time.time() - now),
        "hour": _hour(samples[-1].since(samples[0]), samples[-1].at - samples[0].at),
        "in_flight": _in_flight(state.metrics),
        "components": await components(state),
        "recent": _recent(state.lookback.recent),
    }
    if with_settings:
        settings = state.reloader.settings
        document["settings"] = config.effective(settings)
        document["changed"] = config.changed(settings)
        document["maps"] = maps(state.reloader.maps())
    return web.Response(body=orjson.dumps(document), content_type="application/json")


def _history(samples: Sequence[Sample], epoch: float) -> History:
    """Return what came in each step; `epoch`: what makes seconds since 1970 of the samples' times."""
    steps = [later.since(earlier) for earlier, later in itertools.pairwise(samples)]

    def percentiles(share: float) -> list[float | None]:
        return [_ms(step.percentile(share)) for step in steps]

    return {
        "step_s": STEP,
        "times": [round(step.at + epoch, 3) for step in steps],
        "checks": [step(CHECKS) for step in steps],
        "shed": [step(SHED) for step in steps],
        "verdicts": {
            verdict.value: counts
            for verdict in Verdict
            if any(counts := [step(("verdicts", verdict)) for step in steps])
        },
        "p50_ms": percentiles(0.5),
        "p99_ms": percentiles(0.99),
    }


def _hour(counted: Sample, seconds: float) -> Hour:
    return {
        "seconds": round(seconds, 1),
        "checks": counted(CHECKS),
        "shed": counted(SHED),
        "verdicts": _counts(counted, Verdict, "verdicts"),
        "latency_ms": {
            "p50": _ms(counted.percentile(0.5)),
            "p90": _ms(counted.percentile(0.9)),
            "p99": _ms(counted.percentile(0.99)),
        },
        "cache": {layer: _reads(counted, layer) for layer in LAYERS},
        "dns": {question: _counts(counted, DnsResult, "dns", question) for question in DNS_TYPES},
        "probes": {family: _counts(counted, Verdict, "probes", family) for family in FAMILIES},
    }


def _counts(counted: Sample, values: Iterable[str], *what: str) -> dict[str, int]:
    """Return how often each of these values of the last label was counted, but for those that never were."""
    return {str(value): count for value in values if (count := counted((*what, value)))}


def _reads(counted: Sample, layer: str) -> Reads:
    near, redis, miss, error = (
        counted(("cache", layer, read)) for read in (Read.NEAR, Read.REDIS, Read.MISS, Read.ERROR)
    )
    reads = near + redis + miss + error
    return {
        "near": near,
        "redis": redis,
        "miss": miss,
        "error": error,
        "hit_ratio": round((near + redis) / reads, 4) if reads else None,
    }


def _in_flight(metrics: Metrics) -> InFlight:
    return {
        "checks": int(_total(metrics, metrics.requests_in_flight)) - 1,  # this request is none
        "tasks": int(_total(metrics, metrics.background_tasks)),
        "probes": int(_total(metrics, metrics.open_probes)),
        "lingering": int(_total(metrics, metrics.lingering_probes)),
        "connections": int(_total(metrics, metrics.connections)),
    }


def _recent(recent: Recent | None) -> list[Complaint] | None:
    if recent is None:
        return None
    return [
        {
            "time": round(complaint.time, 3),
            "domain": complaint.domain,
            "source": complaint.source,
            "verdict": complaint.verdict,
            "host": complaint.host,
            "count": complaint.times,
        }
        for complaint in recent.latest()
    ]


def _total(metrics: Metrics, gauge: Gauge) -> float:
    (number,) = metrics.total(gauge)
    return number


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
