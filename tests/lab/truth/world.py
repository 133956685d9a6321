"""The world, put together: namespaces, DNS, mail hosts scripted and real, our resolver; and Postfix's word on it.

with World(kinds, OurSide.SOUND) as world:
    truths = world.truths()
    with world.service(settings) as service: ...
"""

import ipaddress
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from tests.lab.process import Child
from tests.lab.service import Service
from tests.lab.truth.kind import Kind, OurSide, Truth
from tests.lab.truth.mtas import SERVERS
from tests.lab.truth.names import Names, Unbound
from tests.lab.truth.namespaces import NAT64, Namespace, Namespaces, firewall_drops, firewall_rejects, no_route
from tests.lab.truth.plan import NETWORKS, Place, Plan
from tests.lab.truth.postfix import TRIES_SECONDS, Deliverer, truth
from tests.lab.truth.wire import Wire

T = TypeVar("T")

_SMTP: Final = 25
_BREAK: Final[Mapping[OurSide, Callable[[Namespaces], None]]] = {
    OurSide.PORT_DROPPED: firewall_drops,
    OurSide.PORT_REJECTED: firewall_rejects,
    OurSide.NO_ROUTE: no_route,
}
_DEAD_RESOLVER: Final = "13.0.0.53"


class Told(NamedTuple):
    """What is known about a kind, and who says so."""

    truth: Truth
    reason: str


class World:
    """A world with these kinds of domain in it, and our own side in a certain state; a context manager."""

    def __init__(self, kinds: Sequence[Kind], side: OurSide) -> None:
        self.plan = Plan.of(kinds)
        self.side = side

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            spaces = stack.enter_context(Namespaces(NETWORKS))
            self.here, self.there = spaces.here, spaces.there
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mxcheck-world-")))
            self._places = folder / "places"
            scripted = [place for place in self.plan.places if place.behaviour not in SERVERS]
            if self.side is OurSide.V6_ONLY:
                scripted += [behind_nat64(place) for place in scripted if "." in place.address]
            self._places.write_text("".join(f"{place.address} {place.behaviour}\n" for place in scripted))
            for behaviour, server in SERVERS.items():
                addresses = [place.address for place in self.plan.places if place.behaviour == behaviour]
                if addresses:
                    stack.enter_context(_inside(self.there, server(addresses)))
            self._peers = Child(
                "peers",
                [sys.executable, "-m", "tests.lab.truth.peers", str(self._places), str(_SMTP)],
                folder / "peers.log",
            )
            stack.callback(self._peers.stop)
            self._start_peers()
            self._names = stack.enter_context(_inside(self.there, Names(self.plan)))
            self._resolver = Unbound(self.plan, dns64=self.side is OurSide.V6_ONLY)
            stack.enter_context(_inside(self.here, self._resolver))
            self.here.resolve_with(f"nameserver {Unbound.nameserver}\noptions timeout:2 attempts:2\n")
            if self.side in _BREAK:
                _BREAK[self.side](spaces)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin_anew(self) -> None:
        """Let every scripted host and name server forget whom it has seen, and our resolver what it was told."""
        self._peers.stop()
        self._start_peers()
        self.there.run(self._names.begin_anew)
        self.here.run(self._resolver.begin_anew)

    def _start_peers(self) -> None:
        started = self._peers.log.count("ready")
        self.there.run(self._peers.start, lambda: self._peers.log.count("ready") > started)

    @contextmanager
    def watched(self) -> Iterator[Callable[[], Counter[str]]]:
        """Give a function that returns how often each kind's hosts were connected to, since it was last called.

        By name; "" stands for addresses that are no kind's own.
        """
        with _inside(self.here, Wire()) as wire:
            yield lambda: self.plan.by_kind({_as_ipv4(address): times for address, times in wire.taken().items()})

    def truths(self, within: float = TRIES_SECONDS) -> dict[str, Told]:
        """Return what is known about each kind, by name; `within`: seconds that Postfix has for its tries."""
        told = {
            kind.name: Told(Truth.UNKNOWABLE, kind.unknowable)
            for kind in self.plan.kinds
            if kind.unknowable is not None
        }
        asked = {kind.name: self.plan.domain(kind) for kind in self.plan.kinds if kind.name not in told}
        with _inside(self.here, Deliverer(self.here, self.side)) as postfix:
            statuses = self.here.run(postfix.deliver, asked.values(), within)
        for name, domain in asked.items():
            status, reason = statuses[domain]
            told[name] = Told(truth(status, reason), f"{status}: {reason}")
        return told

    @contextmanager
    def service(self, settings: Mapping[str, Any], **options: Any) -> Iterator[Service]:
        """Run the service on our side; each one meets a world that has seen nobody."""
        self.begin_anew()
        dead = self.side is OurSide.RESOLVER_DEAD
        dns = {"nameservers": [_DEAD_RESOLVER if dead else Unbound.nameserver]}
        with _inside(self.here, Service({"dns": dns, **settings}, **options)) as service:
            yield service


def behind_nat64(place: Place) -> Place:
    """Return the same host at the IPv6 address that NAT64 gives it (RFC 6052 section 2.2)."""
    address = ipaddress.IPv6Network(NAT64)[int(ipaddress.IPv4Address(place.address))]
    return Place(str(address), place.behaviour)


def _as_ipv4(address: str) -> str:
    """Return the address behind NAT64, if it is of one; else as it is."""
    prefix, number = ipaddress.ip_network(NAT64), ipaddress.ip_address(address)
    return str(ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)) if number in prefix else address


@contextmanager
def _inside(space: Namespace, manager: AbstractContextManager[T]) -> Iterator[T]:
    """Enter and leave a context manager in a thread that is inside a namespace."""
    entered = space.run(manager.__enter__)
    try:
        yield entered
    finally:
        space.run(manager.__exit__, None, None, None)
