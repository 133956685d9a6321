"""What GET /v1/stats answers."""

from typing import Any, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from mxcheck_service.cache.layers import Layer
from mxcheck_service.core.model import Source
from mxcheck_service.web.schema import DOCUMENTED, Components, ReloadedMap


@with_config(DOCUMENTED)
class History(TypedDict):
    """The last hour, step by step: one number for each step, the oldest first."""

    step_s: float
    """Seconds that a step takes, but for the latest, which is not over, and where the service stood still."""
    times: list[float]
    """When each step ended, seconds since 1970."""
    checks: list[int]
    """Checks that were answered."""
    shed: list[int]
    """Checks that were answered 503."""
    verdicts: dict[str, list[int]]
    """Verdicts on domains, by verdict; those that did not occur are left out."""
    p50_ms: list[float | None]
    """Time within which half of the checks were answered, refusals too; null: there were none. Estimated from buckets,
    as all percentiles here."""
    p99_ms: list[float | None]
    """The same for all but a hundredth."""


@with_config(DOCUMENTED)
class Latency(TypedDict):
    """Percentiles; null: there were no checks."""

    p50: float | None
    p90: float | None
    p99: float | None


@with_config(DOCUMENTED)
class Reads(TypedDict):
    """How reads of a cache layer ended."""

    near: int
    """Found in the process."""
    redis: int
    """Found in Redis."""
    miss: int
    error: int
    """Redis did not answer."""
    hit_ratio: float | None
    """Share of the reads that found something; null: there were none."""


@with_config(DOCUMENTED)
class Hour(TypedDict):
    """The last hour as a whole, or the time since the start."""

    seconds: float
    """The time that it covers."""
    checks: int
    shed: int
    verdicts: dict[str, int]
    latency_ms: Latency
    cache: dict[Layer, Reads]
    dns: dict[str, dict[str, int]]
    """DNS questions by type, and by what they came to."""
    probes: dict[str, dict[str, int]]
    """Probes by address family (v4, v6), and by verdict."""


@with_config(DOCUMENTED)
class InFlight(TypedDict):
    """What is under way."""

    checks: int
    """Checks that wait for their answer."""
    tasks: int
    """Lookups and what belongs to them, waited for or not."""
    probes: int
    """Connections to mail hosts that are open or being made."""
    lingering: int
    """Those of them whose greeting is waited for after the verdict."""
    connections: int
    """Callers' connections."""


@with_config(DOCUMENTED)
class Complaint(TypedDict):
    """A domain whose verdict was not good."""

    time: float
    """When it was given last, seconds since 1970."""
    domain: str
    source: Source
    verdict: str
    host: str
    count: int
    """How often it was given since the domain came onto the list."""


@with_config(DOCUMENTED)
class Stats(TypedDict):
    """How the service has fared and how it stands, all workers together."""

    version: str
    time: float
    """Seconds since 1970."""
    workers: int
    deadline_s: float
    history: History
    hour: Hour
    in_flight: InFlight
    components: Components
    recent: list[Complaint] | None
    """The latest verdicts but for good ones, the latest first; null: `server.recent_verdicts` is 0."""
    settings: NotRequired[dict[str, Any]]
    """With `settings`: those in use, by section and name, secrets masked."""
    changed: NotRequired[list[str]]
    """With `settings`: the dotted names of those that are not the preset's."""
    maps: NotRequired[dict[str, ReloadedMap]]
    """With `settings`: the maps in use, by setting."""
