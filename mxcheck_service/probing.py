"""Addresses to verdicts (`i:`): cached ones first, else a probe under its lock."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mxcheck_service.background import Background, SingleFlight
from mxcheck_service.cache.layers import CacheLayers, Claim
from mxcheck_service.core.codec import AddressEntry, Slot
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.core.policy import lock_ttl
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.counts import UNCOUNTED, Counts, Lock, Wait
from mxcheck_service.limits import Limits
from mxcheck_service.politeness import NoLimit, Turns
from mxcheck_service.ports import Clock, LocalFault, Probed, Prober, Settling
from mxcheck_service.trace import Fact, Trace
from mxcheck_service.waiting import Looks

_log = logging.getLogger(__name__)

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
        background: Background | None = None,
    ) -> None:
        self._improvements = improvements
        self._lock_ttl = lock_ttl(settings)
        self._cache = cache
        self._prober = prober
        self._clock = clock
        self._turns = NoLimit() if turns is None else turns
        self._limits = Limits(improvements, cache, clock, counts)
        self._background = Background() if background is None else background
        self._settling: set[str] = set()
        self._flights = SingleFlight[Attempt]()
        self._locks = {claim: counts.locks.tick(result) for claim, result in _LOCKS.items()}
        self._waits = {claim: counts.waits.tick("i", result) for claim, result in _WAITS.items()}
        self._shared = counts.waits.tick("i", Wait.SHARED)

    async def known(self, ips: Sequence[str], trace: Trace) -> list[AddressEntry | None]:
        """Return what the cache holds of each address."""
        return await self._cache.addresses(ips, trace)

    async def renew(self, ip: str, trace: Trace, *, within: float) -> None:
        """Probe an address anew whose verdict ends within so many seconds.

        One that is known to speak SMTP keeps that verdict when it does not this time: it may be back before the end,
        and the probe after the end will tell.
        """
        (known,) = await self._cache.addresses([ip], trace)
        if not isinstance(known, Outcome):
            return
        if ip in self._settling:
            # What is known is provisional, and its end is waited for.
            return
        async with self._turns.turn(ip):
            if not await self._cache.claim_task("i", ip, within):
                return
            if await self._limits.refusal(ip, None, trace, give_way=True):
                return
            probed = await self._prober.probe(ip)
        if isinstance(probed, Probed):
            await self._publish(ip, probed, trusted=known.verdict in _SPEAKS_SMTP)

    async def attempt(self, ip: str, entry: AddressEntry | None, trace: Trace, host: str) -> Attempt:
        """Get a verdict for an address of a host, of which the cache held this, which is none."""
        if self._improvements.wait_for_inflight:
            if ip in self._flights:
                trace.did("shared", key=ip)
                self._shared()
            return await self._flights.run(ip, lambda: self._settle_in_turn(ip, entry, trace, host))
        return await self._settle_in_turn(ip, entry, trace, host)

    async def _settle_in_turn(self, ip: str, entry: AddressEntry | None, trace: Trace, host: str) -> Attempt:
        while True:
            async with self._turns.turn(ip):
                attempt = await self._settle(ip, entry, trace, host)
            if not (self._turns.patient and attempt.outcome.verdict is Verdict.RATELIMITED):
                return attempt
            await self._clock.sleep(self._limits.next_window())
            entry = None  # as far as is known; the claim finds what there is by then

    async def _settle(self, ip: str, entry: AddressEntry | None, trace: Trace, host: str) -> Attempt:
        """Get an address its verdict: claim and probe, or take what another worker publishes."""
        since = trace.elapsed()
        match entry:
            case Slot.LOCKED:
                claim: Claim | Outcome = Claim.HELD
            case Slot.GARBAGE:
                claim = await self._cache.force_claim(ip)
            case _:
                claim = await self._cache.claim(ip)
        trace.did("lock", since=since, ip=ip, claim=_shown_claim(claim))
        self._locks[claim if isinstance(claim, Claim) else None]()
        if claim is Claim.HELD and self._improvements.wait_for_inflight:
            since = trace.elapsed()
            claim = await self._wait(ip, trace)
            trace.did("lock", since=since, ip=ip, claim=_shown_claim(claim), waited=True)
            self._waits[claim if isinstance(claim, Claim) else None]()
        match claim:
            case Claim.WON:
                return Attempt(await self._probe(ip, trace, host))
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

    async def _probe(self, ip: str, trace: Trace, host: str) -> Outcome:
        """Probe an address whose lock is ours, if its limits allow it, and publish the verdict over the lock."""
        claimed = self._clock.monotonic()
        # Not beside the claim, which would save a round trip: claims that are lost would count, too, and a crowd that
        # waits for one probe would use its address up.
        counted_at = self._clock.time()
        refused = await self._limits.refusal(ip, host, trace, give_way=self._turns.patient)
        if refused:
            await self._give_up(ip, claimed)
            return Outcome(refused)
        since = trace.elapsed()
        match await self._prober.probe(ip):
            case Probed(outcome, greeting, connect_seconds, settling) as probed:
                lines = [line.decode("latin-1") for line in greeting]
                connect_ms = None if connect_seconds is None else round(connect_seconds * 1000, 3)
                provisional: dict[str, Fact] = {"provisional": True} if settling else {}
                trace.did(
                    "probe",
                    since=since,
                    ip=ip,
                    connect_ms=connect_ms,
                    verdict=str(outcome),
                    greeting=lines,
                    **provisional,
                )
            case LocalFault(reason, withheld) if self._improvements.blame_local_errors and not withheld:
                probed = Probed(Outcome(Verdict.TIMEOUT_CONNECT))
                trace.did("probe", since=since, ip=ip, verdict=str(probed.outcome), local_fault=reason)
            case LocalFault(reason, withheld):
                trace.did("probe", since=since, ip=ip, verdict=Verdict.UNAVAILABLE.value, local_fault=reason)
                if withheld:
                    await self._limits.not_made(ip, host, counted_at)
                await self._give_up(ip, claimed)
                return Outcome(Verdict.UNAVAILABLE)
        await self._publish(ip, probed)
        return probed.outcome

    async def _publish(self, ip: str, probed: Probed, *, trusted: bool = False) -> None:
        """Write what a probe told; what is provisional is settled in the background and written over.

        `trusted`: the address has a verdict that it speaks SMTP, which only another such verdict may replace.
        """
        if probed.settling:
            if not trusted:
                await self._cache.store_provisional(ip, probed.outcome)
            self._linger(ip, probed.settling, trusted=trusted)
        elif not trusted or probed.outcome.verdict in _SPEAKS_SMTP:
            await self._cache.store_verdict(ip, probed.outcome)

    def _linger(self, ip: str, settling: Settling, *, trusted: bool) -> None:
        task = self._background.linger(self._settle_late(ip, settling, trusted=trusted))
        if task is None:
            settling.abandon()
            return
        self._settling.add(ip)

        def over(_: object) -> None:
            self._settling.discard(ip)
            # A task that was cancelled before its first step has closed nothing.
            settling.abandon()

        task.add_done_callback(over)

    async def _settle_late(self, ip: str, settling: Settling, *, trusted: bool) -> None:
        try:
            await self._publish(ip, await settling.settled(), trusted=trusted)
        except Exception:
            # Nobody waits for this task, who would tell of it.
            _log.exception("greeting of %s: waiting for it crashed", ip)

    async def _give_up(self, ip: str, claimed: float) -> None:
        """Release a lock that goes without a verdict, while it is ours still."""
        if self._clock.monotonic() - claimed < self._lock_ttl:
            await self._cache.release(ip)


def _shown_claim(claim: Claim | Outcome) -> str:
    return claim.value if isinstance(claim, Claim) else str(claim)
