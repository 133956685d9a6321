"""What the doctor finds out. Times are seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mxcheck_service.ports import ConnectProblem, DnsAnswer

KNOWN = "example.com"
"""A name that every resolver with a way to the rest of the world knows (RFC 2606)."""
UNKNOWN_TOP = "invalid"
"""A top-level domain below which there is nothing (RFC 6761)."""


@dataclass(frozen=True, slots=True)
class Nameserver:
    """What one server answered for the A records of a name that exists and of one that does not."""

    address: str
    known: DnsAnswer[str]
    seconds: float
    """How long that answer took."""
    unknown_name: str
    unknown: DnsAnswer[str]
    over_tcp: DnsAnswer[str]
    """The name that exists, asked over TCP."""


class Lost(StrEnum):
    """Why a Redis cannot be asked."""

    UNREACHABLE = "unreachable"
    SILENT = "silent"
    SIGN_ON = "sign-on"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A primary. None: it does not tell."""

    name: str
    lost: Lost | None = None
    detail: str = ""
    """What was said when it was lost."""
    version: str | None = None
    round_trip: float = 0.0
    """The median of several."""
    keys: int | None = None
    """All keys of the database, also those of others."""
    max_memory: int | None = None
    """Bytes; 0: no bound."""
    eviction: str | None = None
    ahead: float | None = None
    """Its clock less ours."""
    tracking: str = ""
    """Why it does not tell of changes; empty: it does."""


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """The cache; with `memory://` there is nothing to find out."""

    servers: tuple[RedisServer, ...] = ()
    lost: Lost | None = None
    """Why nobody tells which servers there are."""
    detail: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Commands that the service needs and may not use, with the reply to each."""


@dataclass(frozen=True, slots=True)
class Target:
    """A mail host that was connected to."""

    name: str
    port: int
    address: str | None = None
    """None: the name has none, for this reason: `detail`."""
    problem: ConnectProblem | None = None
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """A short sleep, by three accounts, and the date."""

    slept: float
    monotonic: float
    wall: float
    now: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What the system gives to one process; a limit of None: no limit."""

    files_soft: int | None
    files_hard: int | None
    files_open: int
    cpus: int


class Listening(StrEnum):
    """What became of taking the service's port."""

    FREE = "free"
    OURS = "ours"
    TAKEN = "taken"
    GUARDED = "guarded"
    """Taken by somebody who lets us in as little as the service would."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PortFacts:
    listening: Listening
    detail: str = ""
    """The version that serves it, or what the system said."""
    dns_only: tuple[str, ...] = ()
    """The address families (`v4`, `v6`) over which it, or some of its workers, probes nobody for the time being."""


@dataclass(frozen=True, slots=True)
class Facts:
    nameservers: tuple[Nameserver, ...]
    cache: CacheFacts
    targets: tuple[Target, ...]
    clock: ClockFacts
    process: ProcessFacts
    port: PortFacts
    warnings: tuple[str, ...] = ()
    """About the settings and the entries of maps."""
    maps: str = ""
    """Why the maps cannot be loaded."""
    tls: str = ""
    """Why the certificate cannot be."""
