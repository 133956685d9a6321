"""The vocabulary: every other module speaks in these types."""

from dataclasses import dataclass
from enum import Flag, StrEnum
from typing import NamedTuple


class Source(StrEnum):
    """Where a domain was found, best first: the order is the priority (reference: SOURCE_PRIORITY)."""

    FROM = "from"
    REPLY_TO = "reply_to"
    MIME_FROM = "mime_from"


class Family(Flag):
    """Address families; a set of them tells which were asked for."""

    NONE = 0
    V4 = 1
    V6 = 2
    BOTH = 3


class IpClass(StrEnum):
    PUBLIC = "public"
    LOCAL = "local"
    BOGON = "bogon"


class Verdict(StrEnum):
    """What a lookup can end with. The values are the reference's outcome codes, and the only place they are written.

    The first group is what a probe can tell and the `i:` layer holds; ERROR is followed by the reply code there.
    """

    GOOD = "gd"
    REFUSED = "rf"
    TIMEOUT_CONNECT = "tc"
    TIMEOUT_READ = "tr"
    INVALID = "inv"
    ERROR = "err"

    NONE = "no"
    BROKEN = "bkn"
    NULL = "null"
    DNS_FAIL = "df"

    WHITE = "white"
    SKIP = "skip"
    BAD_MX = "bad_mx"
    BAD_IP = "bad_ip"
    IP_CLASS_SKIPPED = "ip_class_skipped"
    INFLIGHT = "inflight"
    REDIS_ERROR = "redis_error"
    UNAVAILABLE = "unavailable"
    RATELIMITED = "ratelimited"


class Action(StrEnum):
    NO_ACTION = "no action"
    GREYLIST = "greylist"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict; `smtp_code` is the three digits of a 4xx/5xx greeting and set for `Verdict.ERROR` only."""

    verdict: Verdict
    smtp_code: str | None = None

    def __str__(self) -> str:
        return f"{self.verdict}:{self.smtp_code}" if self.smtp_code else str(self.verdict)


@dataclass(frozen=True, slots=True)
class MxHost:
    """One MX record. `exchange` has no trailing dot; the empty string is the root."""

    preference: int
    exchange: str


class Candidate(NamedTuple):
    """A domain to look up: lower-case, A-labels only, and the best source it was found in."""

    domain: str
    source: Source


@dataclass(frozen=True, slots=True)
class ClassEvidence:
    """The addresses of one target that were set aside by class, and whether any public one was left."""

    local: tuple[str, ...] = ()
    bogon: tuple[str, ...] = ()
    has_public: bool = True


@dataclass(frozen=True, slots=True)
class Lookup:
    """What became of one domain: the decision and the evidence for it, whoever asked.

    `host`: name that symbols report (an MX host, or the domain itself); `implicit_mx`: found over A/AAAA for want of
    an MX (RFC 5321 section 5.1); `key` and `multiplier`: the map hit behind white, skip and the two bad verdicts;
    `cached`: the verdict came out of the cache.
    """

    outcome: Outcome
    host: str
    implicit_mx: bool = False
    key: str | None = None
    multiplier: float = 1.0
    classes: ClassEvidence = ClassEvidence()
    cached: bool = False


class DomainResult(NamedTuple):
    """A candidate with its lookup; `partial`: the deadline came before the verdict."""

    candidate: Candidate
    lookup: Lookup
    partial: bool = False


class SymbolHit(NamedTuple):
    """A symbol to insert. `weight` is rspamd's dynamic multiplier, `metric_score` the symbol's own weight."""

    name: str
    metric_score: float
    options: tuple[str, ...]
    description: str
    weight: float = 1.0

    @property
    def score(self) -> float:
        return self.metric_score * self.weight
