"""One request: gate -> candidate domains -> lookups side by side under one deadline -> policy -> symbols."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mxcheck_service.background import Background
from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.core import policy, symbols
from mxcheck_service.core.addresses import IpClasses, LocalClients
from mxcheck_service.core.candidates import Envelope, candidates
from mxcheck_service.core.maplist import Maps
from mxcheck_service.core.model import Action, Candidate, DomainResult, Lookup, Outcome, SymbolHit, Verdict
from mxcheck_service.core.policy import Client, SkipReason
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.names import Names
from mxcheck_service.pipeline import Pipeline
from mxcheck_service.ports import CacheBackend, Clock, Dialer, Resolver
from mxcheck_service.prober import SmtpProber
from mxcheck_service.probing import Probing
from mxcheck_service.trace import Trace

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """What is asked: a message's envelope and headers, who handed it in, and how many seconds the answer may take."""

    envelope: Envelope
    client_ip: str | None = None
    authenticated: bool = False
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class DomainReport:
    """A domain's result with the seconds it took and the steps that led to it."""

    result: DomainResult
    seconds: float
    trace: Trace


@dataclass(frozen=True, slots=True)
class Report:
    """The answer. `smtp_message` comes with `Action.REJECT` only; `partial`: the deadline came first for a domain."""

    skip_reason: SkipReason | None
    action: Action
    smtp_message: str | None
    symbols: Mapping[str, SymbolHit]
    domains: Sequence[DomainReport]
    seconds: float

    @property
    def score(self) -> float:
        return sum(hit.score for hit in self.symbols.values())

    @property
    def partial(self) -> bool:
        return any(report.result.partial for report in self.domains)


@dataclass(frozen=True, slots=True)
class Adapters:
    """The world outside, as the checker is given it."""

    cache: CacheBackend
    resolver: Resolver
    dialer: Dialer
    clock: Clock
    background: Background


class Checker:
    """Answers messages under one snapshot of settings and maps. A reload builds another one on the same adapters."""

    def __init__(
        self,
        settings: MxCheckSettings,
        improvements: Improvements,
        maps: Maps,
        adapters: Adapters,
        *,
        deadline: float,
        max_addresses: int,
    ) -> None:
        self._settings = settings
        self._improvements = improvements
        self._deadline = deadline
        self._max_addresses = max_addresses
        self._clock = adapters.clock
        self._background = adapters.background
        self._local_clients = LocalClients(settings)
        cache = CacheLayers(adapters.cache, settings, improvements)
        prober = SmtpProber(settings, adapters.dialer, adapters.background)
        self._pipeline = Pipeline(
            maps,
            IpClasses(settings, improvements),
            Names(settings, cache, adapters.resolver),
            Probing(settings, improvements, cache, prober, adapters.clock),
            probe_attempts=improvements.probe_attempts,
        )

    async def check(self, message: Message) -> Report:
        """Check a message; raises core.candidates.TooManyAddresses."""
        start = self._clock.monotonic()
        local = message.client_ip is not None and message.client_ip in self._local_clients
        client = Client(message.authenticated, local)
        reason = policy.skip_reason(self._settings, client)
        if reason:
            return Report(reason, Action.NO_ACTION, None, {}, (), self._clock.monotonic() - start)

        found = candidates(message.envelope, self._settings, self._improvements, max_addresses=self._max_addresses)
        deadline = self._deadline if message.deadline is None else min(message.deadline, self._deadline)
        reports = await self._look_up_all(found, deadline)
        results = [report.result for report in reports]
        action = policy.action(self._settings, client, results)
        return Report(
            None,
            action,
            self._settings.reject_null_mx_message if action is Action.REJECT else None,
            symbols.merge(hit for result in results for hit in symbols.hits(self._settings, client, result)),
            reports,
            self._clock.monotonic() - start,
        )

    async def _look_up_all(self, found: Sequence[Candidate], deadline: float) -> list[DomainReport]:
        """Look all domains up side by side. One that is not done by the deadline goes on in the background.

        One that the end of the service has cancelled is not done either.
        """
        if not found:
            return []
        traces = [Trace(self._clock) for _ in found]
        tasks = [
            self._background.spawn(self._look_up(candidate.domain, trace))
            for candidate, trace in zip(found, traces, strict=True)
        ]
        await asyncio.wait(tasks, timeout=deadline)
        reports = []
        for candidate, trace, task in zip(found, traces, tasks, strict=True):
            if task.done() and not task.cancelled():
                lookup, seconds = task.result()
                reports.append(DomainReport(DomainResult(candidate, lookup), seconds, trace))
            else:
                trace.add("deadline", seconds=deadline)
                inflight = Lookup(Outcome(Verdict.INFLIGHT), candidate.domain)
                reports.append(DomainReport(DomainResult(candidate, inflight, partial=True), trace.elapsed(), trace))
        return reports

    async def _look_up(self, domain: str, trace: Trace) -> tuple[Lookup, float]:
        try:
            lookup = await self._pipeline.lookup(domain, trace)
        except Exception:
            # A defect here must not become the sender's fault, nor its siblings'.
            _log.exception("lookup of %s crashed", domain)
            trace.add("crash")
            lookup = Lookup(Outcome(Verdict.UNAVAILABLE), domain)
        return lookup, trace.elapsed()
