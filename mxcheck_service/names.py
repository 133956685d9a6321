"""Names to entries, cache first, then DNS: a domain to MX hosts or addresses (`d:`), a host to addresses (`m:`)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from mxcheck_service.background import SingleFlight
from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.core import mx
from mxcheck_service.core.addresses import enabled_families, interleave, most_targets, of_families
from mxcheck_service.core.codec import AddressList, DomainEntry, HostEntry, MxList
from mxcheck_service.core.model import Family, MxHost, Verdict
from mxcheck_service.core.networks import family_of
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.counts import UNCOUNTED, Counts, Wait
from mxcheck_service.ports import Clock, DnsAnswer, DnsFailure, Found, NotFound, Resolver
from mxcheck_service.silence import Key, Silence
from mxcheck_service.trace import Trace
from mxcheck_service.waiting import Looks

T = TypeVar("T")

_NODATA = NotFound(nxdomain=False)


class Names:
    """Looks names up. Each name is asked for once at a time in the process, however many requests want it.

    With `shared`, one process of several asks, and the others wait up to so many seconds for what it stores. `silence`
    outlives these settings.
    """

    def __init__(
        self,
        settings: MxCheckSettings,
        improvements: Improvements,
        cache: CacheLayers,
        resolver: Resolver,
        clock: Clock,
        counts: Counts = UNCOUNTED,
        *,
        shared: float = 0.0,
        silence: Silence | None = None,
    ) -> None:
        self._settings = settings
        self._improvements = improvements
        self._most_targets = most_targets(settings, improvements)
        # Whoever else writes to the cache may have listed any number; the reference takes them as they stand.
        self._most_cached = None if improvements.max_targets is None else self._most_targets
        self._cache = cache
        self._resolver = resolver
        self._clock = clock
        self._shared = shared if settings.expire_dns else 0.0
        self._silence = Silence() if silence is None else silence
        self._families = enabled_families(settings)
        self._domain_flights = SingleFlight[tuple[DomainEntry, bool]]()
        self._host_flights = SingleFlight[HostEntry]()
        self._waits = {layer: {result: counts.waits.tick(layer, result) for result in Wait} for layer in ("d", "m")}

    async def domain(self, domain: str, trace: Trace) -> tuple[DomainEntry, bool]:
        """Return the entry of a domain, and whether it was cached. An address list is implicit MX, and not empty."""
        if domain in self._domain_flights:
            trace.did("shared", key=domain)
            self._waits["d"][Wait.SHARED]()
        return await self._domain_flights.run(domain, lambda: self._domain(domain, trace))

    async def cached_hosts(self, names: Sequence[str], trace: Trace) -> dict[str, HostEntry]:
        """Return what the cache tells of these hosts. An address list is not empty; absent hosts must be resolved."""
        entries = zip(names, await self._cache.hosts(names, trace), strict=True)
        return {name: usable for name, entry in entries if (usable := self._usable(entry)) is not None}

    async def host(self, name: str, trace: Trace) -> HostEntry:
        """Return the addresses of a host the cache did not know; an address list is not empty."""
        if name in self._host_flights:
            trace.did("shared", key=name)
            self._waits["m"][Wait.SHARED]()
        return await self._host_flights.run(name, lambda: self._host(name, trace))

    async def renew_domain(self, domain: str, trace: Trace) -> None:
        """Ask anew for a domain that is cached. A failure leaves the entry as it is."""
        entry, _ = await self._ask_domain(domain, trace)
        if entry is not Verdict.DNS_FAIL:
            await self._cache.store_domain(domain, entry)

    async def renew_host(self, name: str, trace: Trace) -> None:
        """Ask anew for a host that is cached. A failure leaves the entry as it is."""
        entry, _ = await self._ask_addresses(name, trace)
        if entry is not Verdict.DNS_FAIL:
            await self._cache.store_host(name, entry)

    async def _domain(self, domain: str, trace: Trace) -> tuple[DomainEntry, bool]:
        entry = await self._cache.domain(domain, trace)
        if entry is None and not await self._is_ours("d", domain):
            entry = await self._from_another("d", domain, lambda: self._cache.domain(domain, trace))
        match entry:
            case None:
                return await self._resolve_domain(domain, trace), False
            case AddressList():
                # A list that lacks an enabled family says nothing about the MX records, which were asked for already.
                usable = self._usable(entry)
                return (await self._implicit_mx(domain, trace), False) if usable is None else (usable, True)
            case MxList(hosts):
                return MxList(hosts[: self._most_cached]), True
            case _:
                return entry, True

    async def _resolve_domain(self, domain: str, trace: Trace) -> DomainEntry:
        asked = self._clock.monotonic()
        entry, unasked = await self._ask_domain(domain, trace)
        if self._is_kept(Key("d", domain), entry, asked, unasked=unasked):
            await self._cache.store_domain(domain, entry)
        return entry if isinstance(entry, MxList) else self._fresh(entry)

    async def _implicit_mx(self, domain: str, trace: Trace) -> HostEntry:
        asked = self._clock.monotonic()
        entry, unasked = await self._ask_addresses(domain, trace)
        if self._is_kept(Key("d", domain), entry, asked, unasked=unasked):
            await self._cache.store_domain(domain, entry)
        return self._fresh(entry)

    def _is_kept(self, key: Key, entry: DomainEntry, asked: float, *, unasked: bool) -> bool:
        """Tell whether what came of a question is stored: a failure that is our own is over when the fault is."""
        if self._improvements.blame_local_errors or entry is not Verdict.DNS_FAIL:
            return True
        return not unasked and self._silence.failed(key, asked)

    async def _heard(self, *answers: DnsAnswer[MxHost] | DnsAnswer[str]) -> None:
        """Forget what failed while nothing was answered, if anything is answered now."""
        if not all(isinstance(answer, DnsFailure) for answer in answers):
            failed = self._silence.answered(self._clock.monotonic())
            if failed:
                await self._cache.forget_failures(failed)

    async def _ask_domain(self, domain: str, trace: Trace) -> tuple[DomainEntry, bool]:
        """Return an entry, and whether it is a failure for want of a socket to ask by."""
        since = trace.elapsed()
        answer = await self._resolver.mx(domain)
        trace.did("dns", since=since, type="MX", question=domain, answer=_shown(answer))
        await self._heard(answer)
        match answer:
            case Found(records):
                underscores = self._improvements.underscore_hosts
                return mx.usable(records, self._most_targets, underscores=underscores), False
            case NotFound():
                return await self._ask_addresses(domain, trace)
            case DnsFailure(_, unasked):
                return Verdict.DNS_FAIL, unasked

    async def _host(self, name: str, trace: Trace) -> HostEntry:
        # Whoever filled the entry between the caller's read and this flight has saved us the question.
        found = await self._cached_host(name, trace)
        if found is None and not await self._is_ours("m", name):
            found = await self._from_another("m", name, lambda: self._cached_host(name, trace))
        if found is not None:
            return found
        asked = self._clock.monotonic()
        entry, unasked = await self._ask_addresses(name, trace)
        if self._is_kept(Key("m", name), entry, asked, unasked=unasked):
            await self._cache.store_host(name, entry)
        return self._fresh(entry)

    async def _cached_host(self, name: str, trace: Trace) -> HostEntry | None:
        (cached,) = await self._cache.hosts([name], trace)
        return self._usable(cached)

    async def _is_ours(self, layer: str, name: str) -> bool:
        """Tell whether this process is to ask about a name that is not cached."""
        return not self._shared or await self._cache.claim_task(layer, name, self._shared)

    async def _from_another(self, layer: str, name: str, look: Callable[[], Awaitable[T | None]]) -> T | None:
        """Wait for what another worker stores about a name; None when nothing comes in time."""
        end = self._clock.monotonic() + self._shared
        with self._cache.watch(layer, name) as told:
            looks = Looks(told, self._clock)
            while self._clock.monotonic() < end:
                await looks.next()
                found = await look()
                if found is not None:
                    self._waits[layer][Wait.ANSWERED]()
                    return found
        self._waits[layer][Wait.TAKEN_OVER]()
        return None

    def _usable(self, entry: HostEntry | None) -> HostEntry | None:
        """Return what a cached entry says under the enabled families, None when it must be asked for anew."""
        if isinstance(entry, AddressList) and self._families not in entry.families:
            return None
        return None if entry is None else self._looked_at(entry)

    def _fresh(self, entry: HostEntry) -> HostEntry:
        """Return what was just found; addresses of the family that was asked for are used however they are written."""
        asked_more = isinstance(entry, AddressList) and entry.families != self._families
        return self._looked_at(entry) if asked_more else entry

    def _looked_at(self, entry: HostEntry) -> HostEntry:
        """Return what an entry that covers every enabled family says under them.

        One that holds no address of them is definite: there is none.
        """
        if not isinstance(entry, AddressList):
            return entry
        if ips := of_families(entry.ips, self._families):
            return AddressList(entry.families, ips[: self._most_cached])
        elsewhere = self._improvements.other_families and of_families(entry.ips, Family.BOTH)
        return Verdict.UNAVAILABLE if elsewhere else Verdict.NONE

    async def _ask_addresses(self, name: str, trace: Trace) -> tuple[HostEntry, bool]:
        """Ask for every enabled family at once; for the other one, too, if the name exists and has none of them.

        Returns the same as `_ask_domain`.
        """
        if self._improvements.numeric_hosts and family_of(name) is Family.V4:
            return AddressList(Family.BOTH, (name,)), False
        families = self._families
        answers = await self._ask_families(name, families, trace)
        if self._improvements.other_families and all(answer == _NODATA for answer in answers.values()):
            families = Family.BOTH
            other = Family.BOTH ^ self._families
            asked = await self._ask_families(name, other, trace)
            # An IPv4-mapped address in an AAAA record is of neither family: who has no IPv6 does not ask for it.
            answers |= {family: answer for family, answer in asked.items() if _is_of(answer, other)}
        found = {family: answer.records for family, answer in answers.items() if isinstance(answer, Found)}
        if not found:
            failed = [isinstance(answer, DnsFailure) for answer in answers.values()]
            if all(failed) or self._doubts(failed):
                return Verdict.DNS_FAIL, any(
                    isinstance(answer, DnsFailure) and answer.unasked for answer in answers.values()
                )
            return Verdict.NONE, False
        ips = interleave(
            found.get(Family.V4, ()),
            found.get(Family.V6, ()),
            prefer_ipv6=self._settings.prefer_ipv6,
            cap=self._most_targets,
        )
        return AddressList(families, ips), False

    def _doubts(self, failed: Sequence[bool]) -> bool:
        """Tell whether the answer that is missing may be the one that counts."""
        return self._improvements.benefit_of_doubt and any(failed)

    async def _ask_families(self, name: str, families: Family, trace: Trace) -> dict[Family, DnsAnswer[str]]:
        asked = [family for family in (Family.V4, Family.V6) if family in families]
        questions = [self._ask_family(name, family, trace) for family in asked]
        answers = await asyncio.gather(*questions) if len(questions) > 1 else [await question for question in questions]
        await self._heard(*answers)
        return dict(zip(asked, answers, strict=True))

    async def _ask_family(self, name: str, family: Family, trace: Trace) -> DnsAnswer[str]:
        since = trace.elapsed()
        answer = await self._resolver.addresses(name, family)
        record_type = "A" if family is Family.V4 else "AAAA"
        trace.did("dns", since=since, type=record_type, question=name, answer=_shown(answer))
        return answer


def _is_of(answer: DnsAnswer[str], family: Family) -> bool:
    return not isinstance(answer, Found) or bool(of_families(answer.records, family))


def _shown(answer: DnsAnswer[MxHost] | DnsAnswer[str]) -> str | list[str]:
    match answer:
        case Found(records):
            return [
                record if isinstance(record, str) else f"{record.preference} {record.exchange}." for record in records
            ]
        case NotFound(nxdomain):
            return "NXDOMAIN" if nxdomain else "NODATA"
        case DnsFailure(reason):
            return reason


def host_names(mx_list: MxList) -> list[str]:
    """Return the distinct exchanges of a list, best first."""
    return list(dict.fromkeys(host.exchange for host in mx_list.hosts))
