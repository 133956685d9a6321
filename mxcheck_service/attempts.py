"""The hosts of one domain to a verdict: tried until one takes mail or none is left (reference: step2, step3)."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mxcheck_service.background import Background
from mxcheck_service.core.addresses import IpClasses, most_targets
from mxcheck_service.core.codec import AddressEntry, AddressList, HostEntry, Slot
from mxcheck_service.core.maplist import Maps
from mxcheck_service.core.model import ClassEvidence, Lookup, Outcome, Verdict
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.maphits import find, without_excluded
from mxcheck_service.names import Names
from mxcheck_service.probing import Attempt, Probing
from mxcheck_service.trace import Trace

_TAKES_MAIL: Final = frozenset({Verdict.GOOD, Verdict.ERROR})
_FINAL: Final = _TAKES_MAIL | {Verdict.BAD_IP, Verdict.SKIP, Verdict.REDIS_ERROR}
"""Verdicts that no other address would change: one takes mail, the operator has spoken, or every lock would fail."""
_AT_ONCE: Final = 1.0
"""Seconds within which an attempt has failed at once."""
_DOUBTS: Final = frozenset({Verdict.DNS_FAIL, Verdict.UNAVAILABLE, Verdict.INFLIGHT, Verdict.RATELIMITED})
"""Verdicts that tell nothing about the address or the name."""


class Attempts:
    """Tries hosts: the first address of each, in their order, then the second ones, and so on.

    At most `probe_attempts` addresses are probed for a domain; what is known of an address costs none. The next attempt
    begins once one has failed, or when none has ended for `attempt_stagger` seconds. With one attempt the first word is
    the last.
    """

    def __init__(
        self,
        settings: MxCheckSettings,
        improvements: Improvements,
        maps: Maps,
        names: Names,
        probing: Probing,
        background: Background,
    ) -> None:
        self.improvements = improvements
        self.classes = IpClasses(settings, improvements)
        self.most_targets = most_targets(settings, improvements)
        self.maps = maps
        self.names = names
        self.probing = probing
        self.background = background

    async def judge(self, domain: str, hosts: Sequence[str], known: Mapping[str, HostEntry], trace: Trace) -> Lookup:
        """Return what the domain's hosts come to. `hosts`: best first; `known`: what is known of them already."""
        return await _Trial(self, domain, hosts, known, trace).run()


@dataclass(slots=True)
class _Host:
    """A host whose addresses are being tried."""

    rank: int
    name: str
    classes: ClassEvidence
    untried: deque[tuple[str, AddressEntry | None]] = field(default_factory=deque)
    tried: int = 0


class _Trial:
    """The attempts for one domain."""

    def __init__(
        self, rules: Attempts, domain: str, hosts: Sequence[str], known: Mapping[str, HostEntry], trace: Trace
    ) -> None:
        self._rules = rules
        self._improvements = rules.improvements
        self._domain = domain
        self._known = known
        self._trace = trace
        self._unopened = deque(enumerate(hosts))
        self._opening = 0
        self._hosts: list[_Host] = []
        self._seen: set[str] = set()
        self._probes_left = rules.improvements.probe_attempts
        self._hung_up: deque[tuple[_Host, str]] = deque()
        self._failures: list[tuple[int, Lookup]] = []
        self._doubts: list[tuple[int, Lookup]] = []
        if len(hosts) >= rules.most_targets:
            self._left_out(len(hosts), domain)

    async def run(self) -> Lookup:
        running: set[asyncio.Task[Lookup | None]] = set()
        while True:
            if step := self._next():
                # An attempt that another one has overtaken goes on: its verdict is cached, and its lock given up.
                running.add(self._rules.background.spawn(step))
            if not running:
                return self._verdict()
            # While no host is being opened, only the end of an attempt makes a next step possible. Thousands may wait
            # for hosts that say nothing, and none of them is to be woken for nothing.
            patience = self._improvements.attempt_stagger if step or self._opening else None
            done, running = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if word := task.result():
                    return word

    def _next(self) -> Coroutine[None, None, Lookup | None] | None:
        """Return the next step; None when there is none for now."""
        if self._unopened and (self._probes_left or self._unopened[0][1] in self._known):
            return self._begin(*self._unopened.popleft())
        if not self._probes_left:
            return None
        if waiting := [host for host in self._hosts if host.untried]:
            host = min(waiting, key=lambda host: (host.tried, host.rank))
            return self._try(host, *host.untried.popleft())
        if self._hung_up:
            host, ip = self._hung_up.popleft()
            # What stands in the cache is the verdict of a moment ago, to be written over.
            return self._try(host, ip, Slot.GARBAGE, again=True)
        return None

    async def _begin(self, rank: int, name: str) -> Lookup | None:
        """Open a host and try the first of its addresses of which nothing is known."""
        self._opening += 1
        try:
            opened = await self._open(rank, name)
        finally:
            self._opening -= 1
        if not isinstance(opened, _Host):
            return opened
        if not opened.untried or not self._probes_left:
            return None
        return await self._try(opened, *opened.untried.popleft())

    async def _open(self, rank: int, name: str) -> _Host | Lookup | None:
        """Find the addresses of a host and what is known of them. What it comes to without an attempt is a word that
        ends the trial, or None."""
        rules, trace = self._rules, self._trace
        entry = self._known.get(name) or await rules.names.host(name, trace)
        if not isinstance(entry, AddressList):
            return None if entry is Verdict.NONE else self._word(rank, Lookup(Outcome(entry), self._domain))
        public, classes = rules.classes.partition(entry.ips)
        trace.saw("ip_class", public=list(public), local=list(classes.local), bogon=list(classes.bogon))
        if self._improvements.stop_at_loopback and rules.classes.any_loopback(entry.ips):
            # None of its addresses may be used, nor any host after it.
            self._unopened.clear()
            public, classes = (), replace(classes, has_public=False)
        if not public:
            return self._word(rank, Lookup(Outcome(Verdict.IP_CLASS_SKIPPED), name, classes=classes))
        if bad := find("bad_ips", rules.maps.bad_ips, public, trace):
            ip, hit = bad
            return Lookup(Outcome(Verdict.BAD_IP), name, key=ip, multiplier=hit.multiplier, classes=classes)
        kept, keys = without_excluded(public, rules.maps.exclude_ips, trace)
        if not kept:
            return Lookup(Outcome(Verdict.SKIP), name, key=",".join(keys), classes=classes)
        if len(entry.ips) >= rules.most_targets:
            self._left_out(rank, name)
        host = _Host(rank, name, classes)
        for ip, known in await self._in_order(kept):
            if not isinstance(known, Outcome):
                host.untried.append((ip, known))
            elif word := self._word(rank, Lookup(known, name, classes=classes, cached=True)):
                return word
        self._hosts.append(host)
        return host

    async def _in_order(self, ips: Sequence[str]) -> list[tuple[str, AddressEntry | None]]:
        """Return the addresses with what is cached of them, those first of which something is.

        An address that an earlier host has, too, is that one's.
        """
        fresh = [ip for ip in dict.fromkeys(ips) if ip not in self._seen]
        self._seen.update(fresh)
        entries = zip(fresh, await self._rules.probing.known(fresh, self._trace), strict=True)
        order = sorted(entries, key=lambda item: item[1] is None)
        return order[:1] if self._improvements.probe_attempts == 1 else order

    async def _try(self, host: _Host, ip: str, known: AddressEntry | None, *, again: bool = False) -> Lookup | None:
        host.tried += 1
        self._probes_left -= 1
        began = asyncio.get_running_loop().time()
        attempt = await self._rules.probing.attempt(ip, known, self._trace, host.name)
        at_once = asyncio.get_running_loop().time() - began < _AT_ONCE
        if self._improvements.try_again and not again and at_once and _hung_up(attempt):
            self._hung_up.append((host, ip))
        return self._word(host.rank, Lookup(attempt.outcome, host.name, classes=host.classes, cached=attempt.cached))

    def _word(self, rank: int, lookup: Lookup) -> Lookup | None:
        """Return a lookup that ends the trial; note one that does not."""
        verdict = lookup.outcome.verdict
        if verdict in _TAKES_MAIL | _DOUBTS and not self._improvements.blame_mixed_classes:
            lookup = replace(lookup, classes=ClassEvidence())
        if verdict is Verdict.DNS_FAIL:
            self._doubts.append((rank, lookup))
        elif verdict in _FINAL or self._improvements.probe_attempts == 1:
            return lookup
        else:
            (self._doubts if verdict in _DOUBTS else self._failures).append((rank, lookup))
        return None

    def _left_out(self, rank: int, name: str) -> None:
        """Note that a host or an address was not even looked at."""
        if self._improvements.benefit_of_doubt:
            self._doubts.append((rank, Lookup(Outcome(Verdict.RATELIMITED), name)))

    def _verdict(self) -> Lookup:
        """Return what it comes to when no host takes mail: what kept us from knowing, or the best host's failure."""
        for host in self._hosts:
            if host.untried:
                self._left_out(host.rank, host.name)
        for rank, name in self._unopened:
            self._left_out(rank, name)
        believed = self._failures if self._failures and not self._improvements.benefit_of_doubt else self._doubts
        words = believed or self._failures
        return min(words, key=_rank)[1] if words else Lookup(Outcome(Verdict.BROKEN), self._domain)


def _hung_up(attempt: Attempt) -> bool:
    return attempt.outcome.verdict is Verdict.INVALID and not attempt.cached


def _rank(noted: tuple[int, Lookup]) -> int:
    return noted[0]
