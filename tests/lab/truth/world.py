"""The world, put together: namespaces, DNS, mail hosts scripted and real, our resolver; and Postfix's word on it.

with World(kinds, OurSide.SOUND) as world:
    truths = world.truths()
    with world.service(settings) as service: ...
"""

import ipaddress
import sys
import tempfile
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
from tests.lab.truth.postfix import Deliverer, truth

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
            self.begin_anew()
            stack.enter_context(_inside(self.there, Names(self.plan)))
            stack.enter_context(_inside(self.here, Unbound(self.plan, dns64=self.side is OurSide.V6_ONLY)))
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
        """Let every scripted host forget whom it has seen."""
        self._peers.stop()
        started = self._peers.log.count("ready")
        self.there.run(self._peers.start, lambda: self._peers.log.count("ready") > started)

    def truths(self) -> dict[str, Told]:
        """Return what is known about each kind, by name. Takes about two minutes."""
        told = {
            kind.name: Told(Truth.UNKNOWABLE, kind.unknowable)
            for kind in self.plan.kinds
            if kind.unknowable is not None
        }
        asked = {kind.name: self.plan.domain(kind) for kind in self.plan.kinds if kind.name not in told}
        with _inside(self.here, Deliverer(self.here, self.side)) as postfix:
            statuses = self.here.run(postfix.deliver, asked.values())
        for name, domain in asked.items():
            status, reason = statuses[domain]
            told[name] = Told(truth(status, reason), f"{status}: {reason}")
        return told

    @contextmanager
    def service(self, settings: Mapping[str, Any], **options: Any) -> Iterator[Service]:
        """Run the service on our side; each one meets hosts that have seen nobody."""
        self.begin_anew()
        dead = self.side is OurSide.RESOLVER_DEAD
        dns = {"nameservers": [_DEAD_RESOLVER if dead else Unbound.nameserver]}
        with _inside(self.here, Service({"dns": dns, **settings}, **options)) as service:
            yield service


def behind_nat64(place: Place) -> Place:
    """Return the same host at the IPv6 address that NAT64 gives it (RFC 6052 section 2.2)."""
    address = ipaddress.IPv6Network(NAT64)[int(ipaddress.IPv4Address(place.address))]
    return Place(str(address), place.behaviour)


@contextmanager
def _inside(space: Namespace, manager: AbstractContextManager[T]) -> Iterator[T]:
    """Enter and leave a context manager in a thread that is inside a namespace."""
    entered = space.run(manager.__enter__)
    try:
        yield entered
    finally:
        space.run(manager.__exit__, None, None, None)
