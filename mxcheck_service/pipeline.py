"""One domain (reference: lookup): step 1 the domain (`d:`), step 2 MX hosts (`m:`), step 3 addresses (`i:`)."""

from collections.abc import Sequence
from dataclasses import replace

from mxcheck_service.core.addresses import IpClasses
from mxcheck_service.core.codec import AddressList, MxList
from mxcheck_service.core.maplist import GlobMap, MapHit, Maps, RadixMap
from mxcheck_service.core.model import Lookup, Outcome, Verdict
from mxcheck_service.names import Names, host_names
from mxcheck_service.probing import WORTH_ANOTHER_TRY, Probing
from mxcheck_service.trace import Trace

_NOTHING_TO_PROBE = (Verdict.IP_CLASS_SKIPPED, Verdict.SKIP)


class Pipeline:
    """Looks a domain up, whoever asks. Every way out is a `Lookup`; no error of an adapter gets through."""

    def __init__(self, maps: Maps, classes: IpClasses, names: Names, probing: Probing, *, probe_attempts: int) -> None:
        self._maps = maps
        self._classes = classes
        self._names = names
        self._probing = probing
        self._probe_attempts = probe_attempts

    async def lookup(self, domain: str, trace: Trace) -> Lookup:
        lookup = await self._lookup(domain, trace)
        trace.saw("verdict", verdict=str(lookup.outcome), host=lookup.host, cached=lookup.cached)
        return lookup

    async def _lookup(self, domain: str, trace: Trace) -> Lookup:
        if _find("exclude_domains", self._maps.exclude_domains, [domain], trace):
            return Lookup(Outcome(Verdict.WHITE), domain, key=domain)
        entry, cached = await self._names.domain(domain, trace)
        match entry:
            case MxList():
                return await self._mx_hosts(domain, host_names(entry), trace)
            case AddressList(_, ips):
                (first, *more) = await self._target(domain, ips, self._probe_attempts, trace)
                return replace(_best(first, more), implicit_mx=True)
            case verdict:
                return Lookup(Outcome(verdict), domain, cached=cached)

    async def _mx_hosts(self, domain: str, hosts: Sequence[str], trace: Trace) -> Lookup:
        bad = _find("bad_mxs", self._maps.bad_mxs, hosts, trace)
        if bad:
            host, hit = bad
            return Lookup(Outcome(Verdict.BAD_MX), domain, key=host, multiplier=hit.multiplier)
        trusted = _find("exclude_mxs", self._maps.exclude_mxs, hosts, trace)
        if trusted:
            return Lookup(Outcome(Verdict.WHITE), domain, key=trusted[0])

        known = await self._names.cached_hosts(hosts, trace)
        ready = [host for host in hosts if isinstance(known.get(host), AddressList)]
        tried: list[Lookup] = []
        broken: set[Verdict] = set()
        # A host whose addresses are cached goes before better ones that would have to be resolved.
        for host in dict.fromkeys((*ready[:1], *hosts)):
            entry = known.get(host) or await self._names.host(host, trace)
            if not isinstance(entry, AddressList):
                broken.add(entry)
                continue
            lookups = await self._target(host, entry.ips, self._probe_attempts - len(tried), trace)
            last = lookups[-1]
            if last.outcome.verdict not in WORTH_ANOTHER_TRY:
                if not tried:
                    return last
                if last.outcome.verdict not in _NOTHING_TO_PROBE:
                    return replace(last, classes=tried[0].classes)
            else:
                tried += lookups
            if len(tried) >= self._probe_attempts:
                break
        if tried:
            return _believed(tried)
        return Lookup(Outcome(Verdict.DNS_FAIL if Verdict.DNS_FAIL in broken else Verdict.BROKEN), domain)

    async def _target(self, host: str, ips: Sequence[str], budget: int, trace: Trace) -> list[Lookup]:
        """Judge one host by its addresses; return what each address tried came to, a conclusive one last."""
        public, classes = self._classes.partition(ips)
        trace.saw("ip_class", public=list(public), local=list(classes.local), bogon=list(classes.bogon))
        if not public:
            return [Lookup(Outcome(Verdict.IP_CLASS_SKIPPED), host, classes=classes)]
        bad = _find("bad_ips", self._maps.bad_ips, public, trace)
        if bad:
            ip, hit = bad
            return [Lookup(Outcome(Verdict.BAD_IP), host, key=ip, multiplier=hit.multiplier, classes=classes)]
        kept, keys = self._without_excluded(public, trace)
        if not kept:
            return [Lookup(Outcome(Verdict.SKIP), host, key=",".join(keys), classes=classes)]
        attempts = await self._probing.attempts(kept, budget, trace, host)
        return [Lookup(attempt.outcome, host, classes=classes, cached=attempt.cached) for attempt in attempts]

    def _without_excluded(self, ips: Sequence[str], trace: Trace) -> tuple[list[str], list[str]]:
        """Return (addresses that may be probed, map values of those that may not)."""
        kept: list[str] = []
        keys: list[str] = []
        for ip in ips:
            hit = _find("exclude_ips", self._maps.exclude_ips, [ip], trace)
            if hit:
                keys.append(hit[1].value)
            else:
                kept.append(ip)
        return kept, keys


def _best(first: Lookup, more: Sequence[Lookup]) -> Lookup:
    """Return the conclusive attempt, which is the last one made if any; otherwise the first one is what is believed."""
    last = more[-1] if more else first
    return _believed([first, *more]) if last.outcome.verdict in WORTH_ANOTHER_TRY else last


def _believed(tried: Sequence[Lookup]) -> Lookup:
    """Return what inconclusive attempts come to: the first one's failure, unless one was not made for its limit. That
    address may be the good one, so nobody is blamed."""
    unmade = next((lookup for lookup in tried if lookup.outcome.verdict is Verdict.RATELIMITED), tried[0])
    return replace(unmade, classes=tried[0].classes)


def _find(
    setting: str, table: GlobMap | RadixMap | None, keys: Sequence[str], trace: Trace
) -> tuple[str, MapHit] | None:
    """Return the first key the map knows, with its entry."""
    if table is not None:
        for key in keys:
            hit = table.get(key)
            if hit:
                trace.saw("map", setting=setting, key=key, value=hit.value, entry=hit.origin)
                return key, hit
    return None
