"""The way out to mail hosts, watched: when it is closed, nobody is blamed for not answering.

A dialer around another one, since a connection tells of the way out as soon as it stands, long before the greeting has
been read. What it withholds or does not believe, the prober makes a `LocalFault` of, which the pipeline turns into
MX_PROBE_UNAVAILABLE. The decisions are `core.breaker`'s; here are its witnesses, the log, and what is taken back.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

from mxcheck_service.background import Background, SingleFlight
from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.core.addresses import IpClasses, enabled_families
from mxcheck_service.core.breaker import Admission, Attempt, Belief, Breaker, Evidence
from mxcheck_service.core.endpoint import endpoint
from mxcheck_service.core.limits import network_of
from mxcheck_service.core.model import Family, Verdict
from mxcheck_service.core.networks import family_of, parse_ip
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.counts import UNCOUNTED, Counts
from mxcheck_service.ports import Clock, ConnectError, Connection, ConnectProblem, Dialer, Found, Resolver

_log = logging.getLogger(__name__)

LABELS: Final = {Family.V4: "v4", Family.V6: "v6"}
"""The families as metrics call them."""
_NAMES: Final = {Family.V4: "IPv4", Family.V6: "IPv6"}
_LOOK: Final = 1.0
"""Seconds between two looks whether there is somebody to ask."""
_PROOF: Final = 2
"""So many witnesses have to be silent: a single one may be down by itself. Of the operator's own one is enough."""
_EVIDENCE: Final = {
    ConnectProblem.REFUSED: Evidence.REFUSED,
    ConnectProblem.TIMEOUT: Evidence.SILENT,
    ConnectProblem.UNREACHABLE: Evidence.SILENT,
    ConnectProblem.LOCAL: Evidence.FAULT,
    ConnectProblem.WITHHELD: Evidence.FAULT,
}
_BEST_FIRST: Final = tuple(Evidence)


@dataclass(frozen=True, slots=True)
class _Orders:
    """What the settings in force say."""

    checks: tuple[tuple[str, int | None], ...]
    port: int
    timeout: float
    families: Family
    classes: IpClasses
    cache: CacheLayers


class Egress:
    """What a process knows of its way out, each address family apart. It outlasts the settings: `guard` takes new ones.

    `dialer` is for the witnesses' connections.
    """

    def __init__(
        self, dialer: Dialer, resolver: Resolver, clock: Clock, background: Background, counts: Counts = UNCOUNTED
    ) -> None:
        self._dialer = dialer
        self._resolver = resolver
        self._clock = clock
        self._background = background
        self._orders: _Orders | None = None
        self._breakers = {family: Breaker() for family in LABELS}
        self._told: dict[Family, Evidence | None] = dict.fromkeys(LABELS)
        self._flights = SingleFlight[Evidence | None]()
        self._opened = {family: counts.openings.tick(label) for family, label in LABELS.items()}
        self._withheld = {family: counts.withheld.tick(label) for family, label in LABELS.items()}

    def guard(
        self, dialer: Dialer, settings: MxCheckSettings, improvements: Improvements, cache: CacheLayers
    ) -> Dialer:
        """Return the dialer to probe with under these settings from now on; verdicts are taken back from `cache`."""
        if not improvements.circuit_breaker:
            self._orders = None
            return dialer
        checks = tuple(map(endpoint, improvements.egress_check))
        families = enabled_families(settings)
        classes = IpClasses(settings, improvements)
        self._orders = _Orders(checks, settings.port, settings.connect_timeout, families, classes, cache)
        return _GuardedDialer(self, self._orders, dialer)

    def up(self, family: Family) -> bool | None:
        """Tell whether addresses of a family are probed; None: the settings have none probed, or nothing watched."""
        if self._orders is None or family not in self._orders.families:
            return None
        return self._breakers[family].cause is None

    @property
    def watched(self) -> bool:
        """Whether the settings have the way out watched."""
        return self._orders is not None

    def faults(self) -> list[str]:
        """Return a sentence for each family that is probed and not up."""
        return [self._sentence(family) for family in LABELS if self.up(family) is False]

    async def watch(self) -> NoReturn:
        """Ask the settings' egress checks at the start, and whoever can be asked while nothing is probed, for ever.

        So the end of DNS-only mode need not wait for a message.
        """
        starting = True
        while True:
            for family in LABELS:
                orders, up = self._orders, self.up(family)
                if orders and (up is False or (up and starting and orders.checks)):
                    try:
                        await self._look(family, orders)
                    except Exception:
                        _log.exception("the egress check crashed; it is made again")
            starting = False
            await self._clock.sleep(_LOOK)

    async def connect(self, dialer: Dialer, orders: _Orders, ip: str, port: int, timeout: float) -> Connection:
        """Connect as `Dialer.connect` does, unless the way out is closed; raises ConnectError."""
        family = Family.V6 if ":" in ip else Family.V4
        breaker = self._breakers[family]
        began = self._clock.monotonic()
        admission = breaker.admit(began)
        if admission is Admission.WITHHELD:
            self._withheld[family]()
            raise ConnectError(ConnectProblem.WITHHELD, self._sentence(family))
        trial = admission is Admission.TRIAL
        try:
            connection = await dialer.connect(ip, port, timeout)
        except ConnectError as error:
            if error.problem is ConnectProblem.EXHAUSTED:
                if trial:
                    breaker.abandoned(self._clock.monotonic())
                raise
            attempt = Attempt(ip, network_of(ip), began, _EVIDENCE[error.problem], trial)
            if await self._believes(family, orders, attempt):
                raise
            detail = f"{self._sentence(family)}; of this one: {error}"
            raise ConnectError(ConnectProblem.WITHHELD, detail) from error
        except BaseException:
            if trial:
                breaker.abandoned(self._clock.monotonic())
            raise
        breaker.ended(Attempt(ip, network_of(ip), began, Evidence.CONNECTED, trial), self._clock.monotonic())
        self._notice(family, orders)
        return connection

    async def _believes(self, family: Family, orders: _Orders, attempt: Attempt) -> bool:
        """Tell whether a failure is the target's own."""
        breaker = self._breakers[family]
        belief = breaker.ended(attempt, self._clock.monotonic(), strict=bool(orders.checks))
        if belief is Belief.ASK:
            asked = self._clock.monotonic()
            word = await self._word(family, orders)
            belief = breaker.heard(word, asked, self._clock.monotonic(), attempt.evidence)
        self._notice(family, orders)
        return belief is Belief.TRUE

    async def _look(self, family: Family, orders: _Orders) -> None:
        asked = self._clock.monotonic()
        word = await self._word(family, orders)
        if word is not None:
            self._breakers[family].heard(word, asked, self._clock.monotonic(), Evidence.SILENT)
            self._notice(family, orders)

    async def _word(self, family: Family, orders: _Orders) -> Evidence | None:
        """Return what witnesses say, asked once for all who want to know; None: none can be asked now."""
        name = LABELS[family]
        if name in self._flights or self._breakers[family].asks(self._clock.monotonic()):
            return await self._flights.run(name, lambda: self._ask(family, orders))
        return None

    async def _ask(self, family: Family, orders: _Orders) -> Evidence | None:
        """Connect to all witnesses at once, until one accepts; return the best that came of it."""
        checks = await self._checks(family, orders)
        witnesses = self._breakers[family].witnesses(self._clock.monotonic())
        # They were public when they were probed, perhaps under other settings.
        targets = checks or [(ip, orders.port) for ip in witnesses if orders.classes.is_public(ip)]
        knocks = [asyncio.create_task(self._knock(ip, port, orders.timeout)) for ip, port in targets]
        found: list[Evidence] = []
        try:
            for knock in asyncio.as_completed(knocks):
                evidence = await knock
                if evidence is not None:
                    found.append(evidence)
                if evidence is Evidence.CONNECTED:
                    break
        finally:
            for task in knocks:
                task.cancel()
            await asyncio.gather(*knocks, return_exceptions=True)
        best = min(found, key=_BEST_FIRST.index, default=None)
        if best in (Evidence.CONNECTED, Evidence.REFUSED) or len(found) >= (1 if checks else _PROOF):
            return best
        return None

    async def _checks(self, family: Family, orders: _Orders) -> list[tuple[str, int]]:
        """Return an address, with its port, of each mail host that the settings name and that has one.

        An address in the settings is the operator's word; behind a name whoever answers for it may put any, so only a
        public one will do.
        """
        found = await asyncio.gather(*(self._address(host, family, orders.classes) for host, _ in orders.checks))
        return [(ip, port or orders.port) for ip, (_, port) in zip(found, orders.checks, strict=True) if ip is not None]

    async def _address(self, host: str, family: Family, classes: IpClasses) -> str | None:
        if parse_ip(host) is not None:
            return host if family_of(host) is family else None
        match await self._resolver.addresses(host, family):
            case Found(records):
                return next(filter(classes.is_public, records), None)
            case _:
                return None

    async def _knock(self, ip: str, port: int, timeout: float) -> Evidence | None:
        """Return how connecting ended; None: it could not be tried, for want of a socket."""
        try:
            connection = await self._dialer.connect(ip, port, timeout)
        except ConnectError as error:
            return _EVIDENCE.get(error.problem)
        connection.close()
        return Evidence.CONNECTED

    def _notice(self, family: Family, orders: _Orders) -> None:
        """Tell of a change, and take back what was learned just before it."""
        breaker = self._breakers[family]
        if breaker.cause is self._told[family]:
            return
        self._told[family] = breaker.cause
        if breaker.cause is None:
            _log.warning(f"the way out over {_NAMES[family]} is open again: mail hosts are probed")
            return
        self._opened[family]()
        verdict = Verdict.REFUSED if breaker.cause is Evidence.REFUSED else Verdict.TIMEOUT_CONNECT
        ips = breaker.taken_back(self._clock.monotonic())
        # A text of its own for each family: the log holds back repeats of a kind.
        _log.error(f"{self._sentence(family)}; nothing is probed but for trials, and mxcheck doctor tells more")
        self._background.spawn(self._take_back(orders.cache, ips, verdict))

    async def _take_back(self, cache: CacheLayers, ips: Iterable[str], verdict: Verdict) -> None:
        count = await cache.take_back(list(ips), verdict)
        if count:
            _log.warning("%d verdicts %s of the last minutes are not believed any more: deleted", count, verdict)

    def _sentence(self, family: Family) -> str:
        what = "everybody refuses" if self._breakers[family].cause is Evidence.REFUSED else "nobody answers"
        return f"DNS-only mode: over {_NAMES[family]} {what}, so our own network seems to be at fault"


class _GuardedDialer:
    def __init__(self, egress: Egress, orders: _Orders, dialer: Dialer) -> None:
        self._egress = egress
        self._orders = orders
        self._dialer = dialer

    async def connect(self, ip: str, port: int, timeout: float) -> Connection:
        return await self._egress.connect(self._dialer, self._orders, ip, port, timeout)
