"""One request: gate -> candidate domains -> lookups side by side under one deadline -> policy -> symbols."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache as cache_results
from functools import lru_cache
from typing import Any, Final, NamedTuple

from mxcheck_service.attempts import Attempts
from mxcheck_service.background import Background
from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.capacity import FEW, Overloaded, Places, Taken
from mxcheck_service.core import policy, symbols
from mxcheck_service.core.addresses import IpClasses, LocalClients
from mxcheck_service.core.candidates import Envelope, candidates
from mxcheck_service.core.maplist import Maps
from mxcheck_service.core.model import Action, Candidate, DomainResult, Lookup, Outcome, SymbolHit, Verdict
from mxcheck_service.core.policy import Client, SkipReason
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.counts import UNCOUNTED, CountedProber, Counts, Ended, Origin, Tick, uncounted
from mxcheck_service.egress import Egress
from mxcheck_service.names import Names
from mxcheck_service.pipeline import Pipeline
from mxcheck_service.politeness import NoLimit, Turns
from mxcheck_service.ports import CacheBackend, Clock, Dialer, Resolver
from mxcheck_service.prober import SmtpProber
from mxcheck_service.probing import Probing
from mxcheck_service.reach import PublicOnly
from mxcheck_service.remembered import RememberedLookups
from mxcheck_service.renewal import Renewal
from mxcheck_service.seats import Seats
from mxcheck_service.silence import Silence
from mxcheck_service.trace import Step, Trace

_log = logging.getLogger(__name__)

_HELD: Final = 1.0
"""Seconds until a request with many domains is refused: reading it is what costs, and who is told at once asks again at
once."""
_KEPT_REPORTS: Final = 4096
"""So many reports on ordinary messages with remembered domains are kept; the one longest unused goes first."""


class Message(NamedTuple):
    """What is asked: a message's envelope and headers, who handed it in, how many seconds the answer may take, and
    whether each step is to be told."""

    envelope: Envelope
    client_ip: str | None = None
    authenticated: bool = False
    deadline: float | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DomainReport:
    """A domain's result and what it brings about: the action it asks for, the symbols it inserts. With the seconds its
    lookup took (none when it was remembered) and, when asked for, the steps of it; `counted` is called at every use.

    One on a remembered domain is the same object until the lookup is made anew.
    """

    result: DomainResult
    action: Action
    hits: tuple[SymbolHit, ...]
    seconds: float = 0.0
    steps: Sequence[Step] = ()
    counted: Tick = uncounted


@dataclass(frozen=True, slots=True)
class Report:
    """The answer. `smtp_message` comes with `Action.REJECT` only; `partial`: the deadline came first for a domain.

    One on remembered domains is given again and again. What its readers make of it may be kept in `memo`.
    """

    skip_reason: SkipReason | None
    action: Action
    smtp_message: str | None
    symbols: Mapping[str, SymbolHit]
    domains: Sequence[DomainReport]
    partial: bool
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def score(self) -> float:
        return sum((hit.score for hit in self.symbols.values()), 0.0)


@dataclass(frozen=True, slots=True)
class Adapters:
    """The world outside, as the checker is given it."""

    cache: CacheBackend
    resolver: Resolver
    dialer: Dialer
    clock: Clock
    background: Background
    counts: Counts = UNCOUNTED
    turns: Turns = field(default_factory=NoLimit)
    places: Places = field(default_factory=Places)
    silence: Silence = field(default_factory=Silence)
    egress: Egress | None = None
    """None: nobody watches whether the way out is open."""
    seats: Seats | None = None
    """None: each checker has its own."""


class Checker:
    """Answers messages under one snapshot of settings and maps. A reload builds another one on the same adapters.

    `deadline`: most seconds for a check; `remember`: most lookups that are remembered; `share_questions`: seconds a DNS
    question of another worker is waited for, 0 without other workers. `cache` is what lookups read and write.
    """

    def __init__(
        self,
        settings: MxCheckSettings,
        improvements: Improvements,
        maps: Maps,
        adapters: Adapters,
        *,
        deadline: float,
        max_addresses: int,
        remember: int,
        share_questions: float = 0.0,
    ) -> None:
        self._settings = settings
        self._improvements = improvements
        self.deadline = deadline
        self._max_addresses = max_addresses
        self._clock = adapters.clock
        self._background = adapters.background
        self._places = adapters.places
        self._local_clients = LocalClients(settings)
        self.cache = cache = CacheLayers(adapters.cache, settings, improvements)
        counts = adapters.counts
        self._counted = cache_results(counts.verdicts.tick)
        self._looked_up = {origin: counts.domain_duration.timer(origin) for origin in (Origin.CACHE, Origin.FRESH)}
        self._outlived = {ended: counts.outlived.tick(ended) for ended in Ended}
        self._crashed = counts.crashes.tick()
        dialer = adapters.dialer
        if adapters.egress is not None:
            dialer = adapters.egress.guard(dialer, settings, improvements, cache)
        door = PublicOnly(dialer, IpClasses(settings, improvements))
        smtp = SmtpProber(settings, improvements, door, adapters.background, adapters.seats)
        prober = CountedProber(smtp, adapters.clock, counts)
        names = Names(
            settings,
            improvements,
            cache,
            adapters.resolver,
            adapters.clock,
            counts,
            shared=share_questions,
            silence=adapters.silence,
        )
        probing = Probing(
            settings, improvements, cache, prober, adapters.clock, counts, adapters.turns, adapters.background
        )
        attempts = Attempts(settings, improvements, maps, names, probing, adapters.background)
        self._pipeline = Pipeline(maps, names, attempts)
        soon = policy.renewal_window(settings) if improvements.refresh_ahead else 0.0
        renewal = Renewal(cache, names, probing, adapters.clock, adapters.background, soon=soon)
        self._remembered = RememberedLookups[DomainReport](
            adapters.cache, remember, adapters.clock, soon=soon, ending=renewal.ending
        )
        self._concluded = lru_cache(_KEPT_REPORTS)(self._conclude)

    async def check(self, message: Message, late: float = 0.0) -> Report:
        """Check a message that was asked about `late` seconds ago; raises core.candidates.TooManyAddresses, and
        capacity.Overloaded when its time is over or nothing more can be looked up."""
        local = message.client_ip is not None and message.client_ip in self._local_clients
        client = Client(message.authenticated, local)
        reason = policy.skip_reason(self._settings, client)
        if reason:
            return Report(reason, Action.NO_ACTION, None, {}, (), False)

        deadline = self.deadline if message.deadline is None else min(message.deadline, self.deadline)
        if late > deadline:
            raise Overloaded
        found = candidates(message.envelope, self._settings, self._improvements, max_addresses=self._max_addresses)
        domains = [] if message.explain else self._recall(found, client)
        remembered = len(domains) == len(found)
        if not remembered:
            known = {report.result.candidate: report for report in domains}
            unknown = [candidate for candidate in found if candidate not in known]
            known |= await self._look_up_all(unknown, client, deadline - late, explain=message.explain)
            domains = [known[candidate] for candidate in found]
        for domain in domains:
            domain.counted()
        conclude = self._concluded if remembered and len(domains) <= FEW else self._conclude
        return conclude(tuple(domains))

    async def retire(self) -> None:
        """Let go of what is remembered, once another checker is in place. Messages under way are still answered."""
        self._concluded.cache_clear()
        await self._remembered.forget()

    def _conclude(self, domains: tuple[DomainReport, ...]) -> Report:
        """Return what the domains come to together."""
        actions: list[Action] = []
        hits: list[SymbolHit] = []
        partial = False
        for domain in domains:
            actions.append(domain.action)
            hits += domain.hits
            partial = partial or domain.result.partial
        action = policy.worst(actions)
        smtp_message = self._settings.reject_null_mx_message if action is Action.REJECT else None
        return Report(None, action, smtp_message, symbols.merge(hits), domains, partial)

    def _recall(self, found: Sequence[Candidate], client: Client) -> list[DomainReport]:
        """Return the reports on those domains whose lookup is remembered."""
        reports = []
        for candidate in found:
            remembered = self._remembered.get(candidate.domain)
            if remembered is not None:
                report = remembered.uses.get((candidate.source, client))
                if report is None:
                    report = self._report(DomainResult(candidate, remembered.lookup), client, Origin.REMEMBERED)
                    remembered.uses[candidate.source, client] = report
                reports.append(report)
        return reports

    def _report(
        self, result: DomainResult, client: Client, origin: Origin, seconds: float = 0.0, steps: Sequence[Step] = ()
    ) -> DomainReport:
        verdict = result.lookup.outcome.verdict
        action = policy.action(self._settings, client, verdict)
        hits = tuple(symbols.hits(self._settings, client, result))
        # The series is found here, once: a remembered report is used again and again.
        counted = self._counted(result.candidate.source, verdict, origin)
        return DomainReport(result, action, hits, seconds, steps, counted)

    async def _look_up_all(
        self, found: Sequence[Candidate], client: Client, deadline: float, *, explain: bool
    ) -> dict[Candidate, DomainReport]:
        """Look all domains up side by side. One that is not done by the deadline goes on in the background.

        One that the end of the service has cancelled is not done either. Raises capacity.Overloaded.
        """
        taken = await self._taken(len(found), deadline)
        traces = [Trace(self._clock, explain=explain) for _ in found]
        tasks = [
            self._background.spawn(self._look_up_in_turn(candidate.domain, trace, taken))
            for candidate, trace in zip(found, traces, strict=True)
        ]
        for task in tasks:
            task.add_done_callback(taken.over)
        await asyncio.wait(tasks, timeout=deadline)
        reports: dict[Candidate, DomainReport] = {}
        for candidate, trace, task in zip(found, traces, tasks, strict=True):
            if reports and len(reports) % FEW == 0:
                # Reports on a hundred domains would keep everybody waiting.
                await asyncio.sleep(0)
            if task.done() and not task.cancelled():
                lookup, seconds = task.result()
                result, origin = DomainResult(candidate, lookup), _origin(trace)
            else:
                trace.did("deadline", seconds=deadline)
                inflight = Lookup(Outcome(Verdict.INFLIGHT), candidate.domain)
                result, seconds = DomainResult(candidate, inflight, partial=True), trace.elapsed()
                origin = Origin.PARTIAL
                task.add_done_callback(self._left_behind)
            reports[candidate] = self._report(result, client, origin, seconds, trace.steps)
        return reports

    async def _taken(self, count: int, deadline: float) -> Taken:
        try:
            return self._places.take(count, no_more=self._background.full)
        except Overloaded:
            if count > FEW:
                await self._clock.sleep(min(_HELD, deadline))
            raise

    async def _look_up_in_turn(self, domain: str, trace: Trace, taken: Taken) -> tuple[Lookup, float]:
        async with taken.place():
            return await self._look_up(domain, trace)

    async def _look_up(self, domain: str, trace: Trace) -> tuple[Lookup, float]:
        try:
            lookup = await self._pipeline.lookup(domain, trace)
        except Exception:
            # A defect here must not become the sender's fault, nor its siblings'.
            _log.exception("lookup of %s crashed", domain)
            trace.did("crash")
            self._crashed()
            lookup = Lookup(Outcome(Verdict.UNAVAILABLE), domain)
        self._remembered.put(domain, lookup, trace)
        seconds = trace.elapsed()
        self._looked_up[_origin(trace)](seconds)
        return lookup, seconds

    def _left_behind(self, lookup: asyncio.Task[tuple[Lookup, float]]) -> None:
        """Count the end of a lookup that its request did not wait for."""
        self._outlived[Ended.CANCELLED if lookup.cancelled() else Ended.FINISHED]()


def _origin(trace: Trace) -> Origin:
    return Origin.CACHE if trace.repeatable else Origin.FRESH
