"""From kinds of mail domain to addresses, zones and misbehaviour: pure, and the same each time."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.lab.truth.kind import Kind

ZONE: Final = "truth.test"

# Whole networks, told apart by what a router does with packets to them.
_LIVE, _BLACKHOLE, _UNREACHABLE, _PROHIBITED = 11, 13, 14, 15
_NOBODY: Final = {"blackhole": _BLACKHOLE, "unreachable": _UNREACHABLE, "prohibited": _PROHIBITED}
NETWORKS: Final[Mapping[str, tuple[str, str]]] = {
    "local": (f"{_LIVE}.0.0.0/8", f"2a00:{_LIVE}::/32"),
    "blackhole": (f"{_BLACKHOLE}.0.0.0/8", f"2a00:{_BLACKHOLE}::/32"),
    "unreachable": (f"{_UNREACHABLE}.0.0.0/8", f"2a00:{_UNREACHABLE}::/32"),
    "prohibit": (f"{_PROHIBITED}.0.0.0/8", f"2a00:{_PROHIBITED}::/32"),
}
"""By type of route (ip-route(8)): networks that look public to everybody, for IPv4 and IPv6."""

DELEGATED: Final = frozenset({"delegated", "lame", "lame-drop", "half-lame", "bogus"})
"""Behaviours of a name server that make the domain a zone of its own."""

_PLACEHOLDER = re.compile(r"\{([a-z0-9-]+)(?:\.([1-9][0-9]*))?(\.v6)?\}")
_WITH_IPV4 = re.compile(r"[0-9a-f:]+:(?:[0-9]+\.){3}[0-9]+")


@dataclass(frozen=True, slots=True)
class Place:
    """An address and how what stands there behaves."""

    address: str
    behaviour: str


@dataclass(slots=True)
class Plan:
    """Everything that the kinds need of the world.

    `records` is the text of the common zone; `zones` that of each domain which is a zone of its own, by name; `faults`
    what the name server does by (absolute name, type); `places` who stands where, those where nobody is left out.
    """

    kinds: Sequence[Kind]
    records: str = ""
    zones: dict[str, str] = field(default_factory=dict)
    delegations: dict[str, str] = field(default_factory=dict)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    _addresses: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(cls, kinds: Iterable[Kind]) -> "Plan":
        plan = cls(tuple(kinds))
        for kind in plan.kinds:
            plan._add(kind)
        return plan

    def domain(self, kind: Kind) -> str:
        """Return the part after the `@` of a recipient of this kind."""
        return self._filled(kind, kind.recipient_domain or "{domain}")

    def message(self, kind: Kind) -> dict[str, str]:
        """Return the fields of the request that checks this kind."""
        fields = {name: self._filled(kind, text) for name, text in kind.message.items()}
        return fields or {"sender": f"user@{self.domain(kind)}"}

    def by_kind(self, counted: Mapping[str, int]) -> Counter[str]:
        """Return what was counted by address as counts by the name of the kind whose address it is; "" is nobody's."""
        owners = {address: name for (name, _), address in self._addresses.items()}
        found: Counter[str] = Counter()
        for address, times in counted.items():
            found[owners.get(address, "")] += times
        return found

    def _add(self, kind: Kind) -> None:
        name = f"{kind.name}.{ZONE}"
        text = _WITH_IPV4.sub(lambda found: ipaddress.IPv6Address(found[0]).exploded, self._filled(kind, kind.records))
        text = text.replace("://", r"\058\047\047")  # a name may have such octets, but not in a zone file
        delegation = next((behaviour for behaviour in kind.dns.values() if behaviour in DELEGATED), None)
        if delegation is None:
            self.records += f"$ORIGIN {name}.\n{text}\n"
        else:
            self.zones[name] = text
            self.delegations[name] = delegation
        for (relative, record_type), behaviour in kind.dns.items():
            if behaviour not in DELEGATED:
                self.faults[name if relative == "@" else f"{relative}.{name}", record_type] = behaviour

    def _filled(self, kind: Kind, text: str) -> str:
        text = text.replace("{domain}", f"{kind.name}.{ZONE}")
        return _PLACEHOLDER.sub(lambda found: self._address(kind, found), text)

    def _address(self, kind: Kind, found: re.Match[str]) -> str:
        """Return the address of a placeholder; each is in a network of its own, as politeness counts them."""
        known = self._addresses.get((kind.name, found[0]))
        if known is None:
            number = len(self._addresses) + 1
            network = _NOBODY.get(found[1], _LIVE)
            known = f"2a00:{network}:0:{number:x}::25" if found[3] else f"{network}.{number >> 8}.{number & 255}.25"
            self._addresses[kind.name, found[0]] = known
            if network == _LIVE and found[1] != "refused":
                self.places.append(Place(known, found[1]))
        return known
