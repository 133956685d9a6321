"""One row of the table: the world a message meets, the message, and everything that must come of it.

Every row has a domain of its own, `<id>.e2e.test`, and an address of its own for each of its peers; texts name them as
`{d}` and `{peer}`. So no row sees what another one left behind, in whatever cache.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from tests.lab.dns_behaviours import Behaviour
from tests.lab.fixtures import EXIM_ADDRESS, POSTFIX_ADDRESS
from tests.lab.smtp_scripts import Script

T = TypeVar("T")

ZONE = "e2e.test"
ONE_MX = "@ MX 10 mx\nmx A {mx}"
TWO_MX = "@ MX 10 first\n@ MX 20 second\nfirst A {first}\nsecond A {second}"


class Nobody(Enum):
    """An address where connections are refused, and one where they get no answer."""

    LISTENS = "listens"
    ANSWERS = "answers"


class Mta(Enum):
    """A real MTA; the value is its address."""

    POSTFIX = POSTFIX_ADDRESS
    EXIM = EXIM_ADDRESS


class At(NamedTuple):
    """A scripted peer at an address that the row chooses."""

    address: str
    script: Script


class Symbol(NamedTuple):
    """A symbol of the reply: score, options in order, and the multiplier a map may have set."""

    score: float
    options: tuple[str, ...]
    weight: float


def symbol(score: float, *options: str, weight: float = 1.0) -> Symbol:
    return Symbol(score, options, weight)


def one_mx(verdict: str, families: str = "v4") -> dict[str, str]:
    """What Redis holds after the probe of `ONE_MX`."""
    return {"d:{d}": "mx:mx.{d}:10", "m:mx.{d}": f"{families}:{{mx}}", "i:{mx}": verdict}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A scenario."""

    id: str
    """Its name, and the first label of its domain."""
    service: str = "connect"
    """The service that is asked, see `services.SERVICES`."""

    zone: str = ONE_MX
    """What the DNS server knows, names relative to `{d}`."""
    dns: Mapping[str, Behaviour | Callable[[Mapping[str, str]], Behaviour]] = field(default_factory=dict)
    """By "name TYPE": what a scripted server does instead; a function is given `d` and the peers' addresses."""
    peers: Mapping[str, Script | Nobody | Mta | At] = field(default_factory=dict)
    """Who is at the addresses."""
    cached: Mapping[str, str | list[str]] = field(default_factory=dict)
    """What Redis holds before, keys without their prefix; a list is a value of the wrong type."""

    request: Mapping[str, Any] = field(default_factory=lambda: {"sender": "user@{d}"})
    """The body of the request."""

    symbols: Mapping[str, Symbol] = field(default_factory=dict)
    """All symbols of the reply."""
    action: str = "no action"
    smtp_message: str | None = None
    skip_reason: str | None = None
    domains: tuple[str, ...] = ()
    """All domains of the reply, each as `domain source verdict host`, and `cached` if it is."""
    redis: Mapping[str, str | list[str] | re.Pattern[str]] | None = None
    """Everything Redis holds afterwards; None: exactly what it held before."""
    ttl: Mapping[str, int] = field(default_factory=dict)
    """Lifetimes of entries just written, in seconds."""
    unprobed: tuple[str, ...] = ()
    """The scripted peers that see no connection; all others see exactly one."""
    received: Mapping[str, bytes] = field(default_factory=dict)
    """What scripted peers are sent; nothing unless it stands here."""

    @property
    def domain(self) -> str:
        return f"{self.id}.{ZONE}"

    def names(self, number: int) -> dict[str, str]:
        """Return what the placeholders stand for, when the row is the table's `number`th."""
        addresses = {
            name: peer.value if isinstance(peer, Mta) else peer.address if isinstance(peer, At) else None
            for name, peer in self.peers.items()
        }
        own = (f"127.1.{number}.{host}" for host in range(1, 255))
        return {"d": self.domain} | {name: address or next(own) for name, address in addresses.items()}


def fill(value: T, names: Mapping[str, str]) -> T:
    """Return the value with the placeholders replaced in every text in it, however deep."""
    filled: Any = value
    match filled:
        case str():
            filled = filled.format_map(names)
        case Symbol():
            filled = Symbol(filled.score, fill(filled.options, names), filled.weight)
        case tuple() | list():
            filled = type(filled)(fill(item, names) for item in filled)
        case Mapping():
            filled = {fill(key, names): fill(item, names) for key, item in filled.items()}
    result: T = filled
    return result
