"""What is counted on the way of a check, as those see it who count: series by the values of their labels.

Whoever counts asks once for the series (`tick`, `timer`) and then calls what it got, which is all that an event costs.
By default nothing is counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from mxcheck_service.core.complaints import Complaint, complaint
from mxcheck_service.core.model import Family, MxHost, Verdict
from mxcheck_service.ports import (
    Clock,
    DnsAnswer,
    DnsFailure,
    Found,
    LocalFault,
    NotFound,
    Probed,
    Prober,
    Resolver,
    Settling,
)

Tick = Callable[[], None]
"""Counts one."""
Timer = Callable[[float], None]
"""Counts a duration in seconds."""


class Origin(StrEnum):
    """Where a domain's verdict came from: a lookup whose end was known beforehand, entries of the cache alone, DNS or a
    probe (also somebody else's that was waited for); or there was none by the deadline."""

    REMEMBERED = "remembered"
    CACHE = "cache"
    FRESH = "fresh"
    PARTIAL = "partial"


class Read(StrEnum):
    """How reading a cache entry ended. NEAR is the process itself; ERROR: Redis did not answer."""

    NEAR = "near"
    REDIS = "redis"
    MISS = "miss"
    ERROR = "error"


class DnsResult(StrEnum):
    """How a DNS question ended; OTHER is any other failure."""

    FOUND = "found"
    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    SERVFAIL = "servfail"
    TIMEOUT = "timeout"
    OTHER = "other"


class Lock(StrEnum):
    """How a probe lock was found. VERDICT: somebody published one between the look and the claim."""

    WON = "won"
    HELD = "held"
    FAILED = "failed"
    VERDICT = "verdict"


class Wait(StrEnum):
    """How waiting for work under way elsewhere ended. SHARED: it is this process's own, and its end is everybody's."""

    SHARED = "shared"
    ANSWERED = "answered"
    TAKEN_OVER = "taken_over"
    TIMEOUT = "timeout"
    FAILED = "failed"


class Ended(StrEnum):
    """How a lookup ended that nobody waited for any more."""

    FINISHED = "finished"
    CANCELLED = "cancelled"


LAYERS: Final = ("d", "m", "i")
DNS_TYPES: Final = ("MX", "A", "AAAA")
FAMILIES: Final = ("v4", "v6")


class Counter(Protocol):
    def tick(self, *values: object) -> Tick:
        """Return what counts one in the series with these label values, in the order of the labels."""
        ...


class Histogram(Protocol):
    def timer(self, *values: object) -> Timer:
        """Return what counts a duration in the series with these label values, in the order of the labels."""
        ...


class _Nothing:
    """Counts nothing."""

    def tick(self, *values: object) -> Tick:
        return uncounted

    def timer(self, *values: object) -> Timer:
        return _no_timer


def uncounted() -> None:
    """Count nothing."""


def _no_timer(seconds: float) -> None:
    pass


_NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class Counts:
    """The counters of a process, each with the values of its labels."""

    verdicts: Counter = _NOTHING
    """`Source`, `Verdict`, `Origin`."""
    domain_duration: Histogram = _NOTHING
    """`Origin`; of every lookup that was made."""
    outlived: Counter = _NOTHING
    """`Ended`: lookups that the deadline left behind."""
    crashes: Counter = _NOTHING
    """Lookups that a defect ended."""
    cache_reads: Counter = _NOTHING
    """`LAYERS`, `Read`."""
    dns: Counter = _NOTHING
    """`DNS_TYPES`, `DnsResult`."""
    probes: Counter = _NOTHING
    """`FAMILIES`, `Verdict`."""
    probe_duration: Histogram = _NOTHING
    """`FAMILIES`."""
    locks: Counter = _NOTHING
    """`Lock`."""
    waits: Counter = _NOTHING
    """`LAYERS`, `Wait`."""
    limited: Counter = _NOTHING
    """`Limit`: probes that were not made."""
    complaints: Counter = _NOTHING
    """`Complaint`."""
    late_greetings: Counter = _NOTHING
    """`Verdict`."""
    openings: Counter = _NOTHING
    """`FAMILIES`: the circuit breaker opened."""
    withheld: Counter = _NOTHING
    """`FAMILIES`: connections that it did not let be tried."""


UNCOUNTED: Final = Counts()


class Reads:
    """Counts how reads of cache entries end, by the layer in their key (`<prefix>:<layer>:<name>`).

    What is in no layer is not counted: it is no part of a lookup.
    """

    def __init__(self, counts: Counts = UNCOUNTED, prefix: str = "") -> None:
        self._layer = slice(len(prefix) + 1, len(prefix) + 2)
        self._near, self._redis, self._miss, self._error = (
            {layer: counts.cache_reads.tick(layer, result) for layer in LAYERS}
            for result in (Read.NEAR, Read.REDIS, Read.MISS, Read.ERROR)
        )

    def near(self, key: str, value: str | None) -> None:
        """Count what the process answered by itself; None: it knows that there is nothing."""
        (self._miss if value is None else self._near).get(key[self._layer], uncounted)()

    def redis(self, key: str, value: str | None) -> None:
        """Count what Redis answered."""
        (self._miss if value is None else self._redis).get(key[self._layer], uncounted)()

    def failed(self, key: str) -> None:
        """Count what Redis did not answer."""
        self._error.get(key[self._layer], uncounted)()


class CountedResolver:
    """A `Resolver` that counts what another one answers. `failures` is how many came since the last answer."""

    def __init__(self, resolver: Resolver, counts: Counts) -> None:
        self._resolver = resolver
        self._ticks = {
            question: {str(result): counts.dns.tick(question, result) for result in DnsResult} for question in DNS_TYPES
        }
        self.failures = 0

    async def mx(self, name: str) -> DnsAnswer[MxHost]:
        answer = await self._resolver.mx(name)
        self._count("MX", answer)
        return answer

    async def addresses(self, name: str, family: Family) -> DnsAnswer[str]:
        answer = await self._resolver.addresses(name, family)
        self._count("A" if family is Family.V4 else "AAAA", answer)
        return answer

    def _count(self, question: str, answer: DnsAnswer[MxHost] | DnsAnswer[str]) -> None:
        ticks = self._ticks[question]
        match answer:
            case Found():
                self.failures = 0
                ticks["found"]()
            case NotFound(nxdomain):
                self.failures = 0
                ticks["nxdomain" if nxdomain else "nodata"]()
            case DnsFailure(reason):
                self.failures += 1
                ticks.get(reason.lower(), ticks["other"])()


class CountedProber:
    """A `Prober` that counts what another one finds out, and how long that takes.

    A provisional verdict counts as it is given, and its end apart. What a peer has against us is counted in any case.
    """

    def __init__(self, prober: Prober, clock: Clock, counts: Counts) -> None:
        self._prober = prober
        self._clock = clock
        self._ticks = {
            family: {verdict: counts.probes.tick(family, verdict) for verdict in Verdict} for family in FAMILIES
        }
        self._timers = {family: counts.probe_duration.timer(family) for family in FAMILIES}
        self._complaints = {complaint: counts.complaints.tick(complaint) for complaint in Complaint}
        self._late = {verdict: counts.late_greetings.tick(verdict) for verdict in Verdict}

    async def probe(self, ip: str) -> Probed | LocalFault:
        begin = self._clock.monotonic()
        probed = await self._prober.probe(ip)
        family = "v6" if ":" in ip else "v4"
        self._timers[family](self._clock.monotonic() - begin)
        self._ticks[family][probed.outcome.verdict if isinstance(probed, Probed) else Verdict.UNAVAILABLE]()
        if isinstance(probed, Probed):
            self._count_complaint(probed)
            if probed.settling:
                return replace(probed, settling=_CountedSettling(probed.settling, self._count_late))
        return probed

    def _count_late(self, probed: Probed) -> None:
        self._late[probed.outcome.verdict]()
        self._count_complaint(probed)

    def _count_complaint(self, probed: Probed) -> None:
        found = complaint(b"\n".join(probed.greeting)) if probed.outcome.verdict is Verdict.ERROR else None
        if found:
            self._complaints[found]()


class _CountedSettling:
    """A `Settling` whose end is counted."""

    def __init__(self, settling: Settling, count: Callable[[Probed], None]) -> None:
        self._settling = settling
        self._count = count

    async def settled(self) -> Probed:
        probed = await self._settling.settled()
        self._count(probed)
        return probed

    def abandon(self) -> None:
        self._settling.abandon()
