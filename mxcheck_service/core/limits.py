"""How many probes a minute may go to one address, one network, one operator of mail hosts, and in all."""

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple

from mxcheck_service.core.settings import Improvements

WINDOW: Final = 60
"""Seconds of a window. They are those of the clock, so that services that know nothing of each other agree on them."""

_PREFIX: Final = {4: 24, 6: 64}
_REGISTRIES: Final = frozenset((
    "ac", "asso", "co", "com", "ed", "edu", "go", "gob", "gouv", "gov", "govt", "gv", "ltd", "mil", "ne", "net", "nom",
    "or", "org", "plc", "sch",
))  # fmt: skip
"""Labels below which country registries have others register, as in `example.co.uk`.

Not the public suffix list: it would age in the package, and what it knows better costs little here. A registry that is
missing is one suffix for all below it, which have its limit together.
"""


class Limit(StrEnum):
    """What probes are counted by, the narrowest first."""

    ADDRESS = "address"
    NETWORK = "network"
    SUFFIX = "suffix"
    GLOBAL = "global"


class Share(NamedTuple):
    """A number that a probe adds to: the limit it is for, its name, and the most it may be."""

    limit: Limit
    name: str
    most: int


def limits(improvements: Improvements) -> Mapping[Limit, int]:
    """Return the most probes in a window of each limit that is set."""
    found = {
        Limit.ADDRESS: improvements.probes_per_address,
        Limit.NETWORK: improvements.probes_per_network,
        Limit.SUFFIX: improvements.probes_per_suffix,
        Limit.GLOBAL: improvements.probes_globally,
    }
    return {limit: most for limit, most in found.items() if most}


def shares(most: Mapping[Limit, int], ip: str, host: str | None) -> list[Share]:
    """Return what a probe of an address counts for; `host`: the mail host it is probed as, None when nobody knows."""
    counted = {Limit.ADDRESS: f":{_plain(ip)}", Limit.NETWORK: f":{network_of(ip)}", Limit.GLOBAL: ""}
    if host:
        counted[Limit.SUFFIX] = f":{suffix_of(host)}"
    return [Share(limit, f"{limit}{counted[limit]}", number) for limit, number in most.items() if limit in counted]


def giving_way(most: Mapping[Limit, int]) -> dict[Limit, int]:
    """Return the limits for probes that no message waits for: half of the others', and never none."""
    return {limit: (number + 1) // 2 for limit, number in most.items()}


def network_of(ip: str) -> str:
    """Return the network that is limited as one."""
    address = _plain(ip)
    return str(ip_network((str(address), _PREFIX[address.version]), strict=False))


def suffix_of(host: str) -> str:
    """Return the part of a host name that its operator has registered, as far as the name shows."""
    labels = host.lower().split(".")
    below_registry = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _REGISTRIES
    return ".".join(labels[-3:] if below_registry else labels[-2:])


def _plain(ip: str) -> IPv4Address | IPv6Address:
    """Return the address, an IPv4 one for its mapped form: a connection to either reaches the same host."""
    address = ip_address(ip)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
