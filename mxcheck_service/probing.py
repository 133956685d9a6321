"""Addresses to verdicts (`i:`): cached ones first, else a probe under its lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mxcheck_service.background import SingleFlight
from mxcheck_service.cache.layers import CacheLayers, Claim
from mxcheck_service.core.codec import AddressEntry, Slot
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.core.policy import lock_ttl
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.counts import UNCOUNTED, Counts, Lock, Wait
from mxcheck_service.politeness import NoLimit, Turns
from mxcheck_service.ports import Clock, LocalFault, Probed, Prober
from mxcheck_service.trace import Trace
from mxcheck_service.waiting import Looks

WORTH_ANOTHER_TRY: Final = frozenset(
    {Verdict.REFUSED, Verdict.TIMEOUT_CONNECT, Verdict.TIMEOUT_READ, Verdict.UNAVAILABLE}
)
"""Failures to connect and timeouts. Whatever spoke, even 5xx or no SMTP at all, has settled the question."""
_SPEAKS_SMTP: Final = frozenset({Verdict.GOOD, Verdict.ERROR})
_LOCKS: Final = {Claim.WON: Lock.WON, Claim.HELD: Lock.HELD, Claim.FAILED: Lock.FAILED, None: Lock.VERDICT}
_WAITS: Final = {
    Claim.WON: Wait.TAKEN_OVER,
    Claim.HELD: Wait.TIMEOUT,
    Claim.FAILED: Wait.FAILED,
    None: Wait.ANSWERED,
}
"""How a claim is counted, and one after waiting for another's lock; None: it ended with a verdict."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one address came to; `cached`: out of the cache, no probe was made for it."""

    outcome: Outcome
    cached: bool = False

    @property
    def conclusive(self) -> bool:
        return self.outcome.verdict not in WORTH_ANOTHER_TRY


class Probing:
    """Judges addresses. Each address has one probe at a time, here through the flight, elsewhere through the lock."""

    def __init__(
        self,
        settings: MxCheckSettings,
        improvements: Improvements,
        cache: CacheLayers,
        prober: Prober,
        clock: Clock,
        counts: Counts = UNCOUNTED,
        turns: Turns | None = None,
    ) -> None:
        self._improvements = improvements
        self._lock_ttl = lock_ttl(settings)
        self._cache = cache
        self._prober = prober
        self._clock = clock
        self._turns = NoLimit() if turns is None else turns
        self._flights = SingleFlight[Attempt]()
        self._locks = {claim: counts.locks.tick(result) for claim, result in _LOCKS.items()}
        self._waits = {claim: counts.waits.tick("i", result) for claim, result in _WAITS.items()}
        self._shared = counts.waits.tick("i", Wait.SHARED)

    async def attempts(self, ips: Sequence[str], budget: int, trace: Trace) -> list[Attempt]:
        """Try addresses of one host until one is conclusive or `budget` of them were tried; return all attempts made.

        `ips` is not empty. Addresses the cache knows something about come first (reference: step3), so that a known
        verdict of any of them is used before a connection is made.
        """
        entries = dict(zip(ips, await self._cache.addresses(ips, trace), strict=True))
        known = [ip for ip in entries if entries[ip] is not None]
        if budget > 1:
            # A settled verdict first: it spares waiting for a lock and trying again what has failed.
            known.sort(key=lambda ip: not _is_settled(entries[ip]))
        order = [*known, *(ip for ip in entries if entries[ip] is None)]
        made: list[Attempt] = []
        for ip in order[:budget]:
            made.append(await self._attempt(ip, entries[ip], trace))
            if made[-1].conclusive:
                break
        return made

    async def renew(self, ip: str, trace: Trace, *, within: float) -> None:
        """Probe an address anew whose verdict ends within so many seconds.

        One that is known to speak SMTP keeps that verdict when it does not this time: it may be back before the end,
        and the probe after the end will tell.
        """
        (known,) = await self._cache.addresses([ip], trace)
        if not isinstance(known, Outcome):
            return
        async with self._turns.turn(ip):
            if not await self._cache.claim_task("i", ip, within):
                return
            probed = await self._prober.probe(ip)
        if not isinstance(probed, Probed):
            return
        if known.verdict not in _SPEAKS_SMTP or probed.outcome.verdict in _SPEAKS_SMTP:
            await self._cache.store_verdict(ip, probed.outcome)

    async def _attempt(self, ip: str, entry: AddressEntry | None, trace: Trace) -> Attempt:
        if isinstance(entry, Outcome):
            return Attempt(entry, cached=True)
        if self._improvements.wait_for_inflight:
            if ip in self._flights:
                trace.did("shared", key=ip)
                self._shared()
            return await self._flights.run(ip, lambda: self._settle_in_turn(ip, entry, trace))
        return await self._settle_in_turn(ip, entry, trace)

    async def _settle_in_turn(self, ip: str, entry: AddressEntry | None, trace: Trace) -> Attempt:
        async with self._turns.turn(ip):
            return await self._settle(ip, entry, trace)

    async def _settle(self, ip: str, entry: AddressEntry | None, trace: Trace) -> Attempt:
        """Get an address its verdict: claim and probe, or take what another worker publishes."""
        match entry:
            case Slot.LOCKED:
                claim: Claim | Outcome = Claim.HELD
            case Slot.GARBAGE:
                claim = await self._cache.force_claim(ip)
            case _:
                claim = await self._cache.claim(ip)
        trace.did("lock", ip=ip, claim=_shown_claim(claim))
        self._locks[claim if isinstance(claim, Claim) else None]()
        if claim is Claim.HELD and self._improvements.wait_for_inflight:
            claim = await self._wait(ip, trace)
            trace.did("lock", ip=ip, claim=_shown_claim(claim), waited=True)
            self._waits[claim if isinstance(claim, Claim) else None]()
        match claim:
            case Claim.WON:
                return Attempt(await self._probe(ip, trace))
            case Claim.HELD:
                return Attempt(Outcome(Verdict.INFLIGHT))
            case Claim.FAILED:
                return Attempt(Outcome(Verdict.REDIS_ERROR))
            case outcome:
                return Attempt(outcome, cached=True)

    async def _wait(self, ip: str, trace: Trace) -> Claim | Outcome:
        """Wait for the holder of the lock to publish; take the lock over when it goes without a verdict.

        HELD after twice the lock's lifetime: holders keep dying, or somebody else keeps winning.
        """
        end = self._clock.monotonic() + 2 * self._lock_ttl
        with self._cache.watch("i", ip) as told:
            looks = Looks(told, self._clock)
            while self._clock.monotonic() < end:
                await looks.next()
                (entry,) = await self._cache.addresses([ip], trace)
                if entry is not Slot.LOCKED:
                    claim = entry if isinstance(entry, Outcome) else await self._cache.claim(ip)
                    if claim is not Claim.HELD:
                        return claim
        return Claim.HELD

    async def _probe(self, ip: str, trace: Trace) -> Outcome:
        """Probe an address whose lock is ours, and publish the verdict over the lock."""
        claimed = self._clock.monotonic()
        match await self._prober.probe(ip):
            case Probed(outcome, greeting, connect_seconds):
                lines = [line.decode("latin-1") for line in greeting]
                connect_ms = None if connect_seconds is None else round(connect_seconds * 1000, 3)
                trace.did("probe", ip=ip, connect_ms=connect_ms, verdict=str(outcome), greeting=lines)
            case LocalFault(reason, withheld) if self._improvements.blame_local_errors and not withheld:
                outcome = Outcome(Verdict.TIMEOUT_CONNECT)
                trace.did("probe", ip=ip, verdict=str(outcome), local_fault=reason)
            case LocalFault(reason):
                trace.did("probe", ip=ip, verdict=Verdict.UNAVAILABLE.value, local_fault=reason)
                if self._clock.monotonic() - claimed < self._lock_ttl:
                    await self._cache.release(ip)
                return Outcome(Verdict.UNAVAILABLE)
        await self._cache.store_verdict(ip, outcome)
        return outcome


def _is_settled(entry: AddressEntry | None) -> bool:
    return isinstance(entry, Outcome) and Attempt(entry).conclusive


def _shown_claim(claim: Claim | Outcome) -> str:
    return claim.value if isinstance(claim, Claim) else str(claim)
