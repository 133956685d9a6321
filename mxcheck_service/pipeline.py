"""One domain (reference: lookup): step 1 the domain (`d:`), step 2 MX hosts (`m:`), step 3 addresses (`i:`)."""

from collections.abc import Sequence
from dataclasses import replace

from mxcheck_service.attempts import Attempts
from mxcheck_service.core.codec import AddressList, MxList
from mxcheck_service.core.maplist import Maps
from mxcheck_service.core.model import Lookup, Outcome, Verdict
from mxcheck_service.maphits import find
from mxcheck_service.names import Names, host_names
from mxcheck_service.trace import Trace


class Pipeline:
    """Looks a domain up, whoever asks. Every way out is a `Lookup`; no error of an adapter gets through."""

    def __init__(self, maps: Maps, names: Names, attempts: Attempts) -> None:
        self._maps = maps
        self._names = names
        self._attempts = attempts

    async def lookup(self, domain: str, trace: Trace) -> Lookup:
        lookup = await self._lookup(domain, trace)
        trace.saw("verdict", verdict=str(lookup.outcome), host=lookup.host, cached=lookup.cached)
        return lookup

    async def _lookup(self, domain: str, trace: Trace) -> Lookup:
        if find("exclude_domains", self._maps.exclude_domains, [domain], trace):
            return Lookup(Outcome(Verdict.WHITE), domain, key=domain)
        entry, cached = await self._names.domain(domain, trace)
        match entry:
            case MxList():
                return await self._mx_hosts(domain, host_names(entry), trace)
            case AddressList():
                return replace(await self._attempts.judge(domain, [domain], {domain: entry}, trace), implicit_mx=True)
            case verdict:
                return Lookup(Outcome(verdict), domain, cached=cached)

    async def _mx_hosts(self, domain: str, hosts: Sequence[str], trace: Trace) -> Lookup:
        bad = find("bad_mxs", self._maps.bad_mxs, hosts, trace)
        if bad:
            host, hit = bad
            return Lookup(Outcome(Verdict.BAD_MX), domain, key=host, multiplier=hit.multiplier)
        trusted = find("exclude_mxs", self._maps.exclude_mxs, hosts, trace)
        if trusted:
            return Lookup(Outcome(Verdict.WHITE), domain, key=trusted[0])

        known = await self._names.cached_hosts(hosts, trace)
        ready = [host for host in hosts if isinstance(known.get(host), AddressList)]
        # A host whose addresses are cached goes before better ones that would have to be resolved.
        order = list(dict.fromkeys((*ready[:1], *hosts)))
        return await self._attempts.judge(domain, order, known, trace)
