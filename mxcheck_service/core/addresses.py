"""Address lists: classes, families, and the fair mix of two families."""

from collections.abc import Sequence
from typing import Final

from mxcheck_service.core.model import ClassEvidence, Family, IpClass
from mxcheck_service.core.networks import NetworkTable, embedded_ipv4, family_of, parse_ip
from mxcheck_service.core.settings import Improvements, MxCheckSettings

_LOCAL = (
    "10.0.0.0/8",  # RFC 1918
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",  # RFC 6598, carrier-grade NAT
    "fc00::/7",  # RFC 4193, unique local
)
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_BOGON = (
    "169.254.0.0/16",  # RFC 3927, link-local
    "fe80::/10",
    "0.0.0.0/8",  # RFC 1122, "this network"
    "192.0.0.0/24",  # RFC 6890, IETF protocol assignments
    "192.0.2.0/24",  # RFC 5737, documentation
    "198.51.100.0/24",
    "203.0.113.0/24",
    "192.88.99.0/24",  # RFC 7526, 6to4 anycast
    "198.18.0.0/15",  # RFC 2544, benchmarking
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and the broadcast address
    "::/128",
    "100::/64",  # RFC 6666, discard
    "2001:db8::/32",  # RFC 3849, documentation
    "ff00::/8",  # multicast
)
_SPECIAL = {
    "::/0": IpClass.BOGON,  # whatever IANA has given to nobody, and IPv4-compatible addresses (RFC 4291)
    "2000::/3": IpClass.PUBLIC,  # RFC 4291, all that is global unicast
    "::ffff:0:0/96": IpClass.PUBLIC,  # IPv4, of which the ranges above leave nothing out
    "2001::/23": IpClass.BOGON,  # RFC 2928, IETF protocol assignments: Teredo, ORCHID, benchmarking, anycast
    "3fff::/20": IpClass.BOGON,  # RFC 9637, documentation
    "fec0::/10": IpClass.LOCAL,  # RFC 3879, site-local
    "64:ff9b:1::/48": IpClass.LOCAL,  # RFC 8215, local NAT64
}
"""What IANA's special-purpose registries have beyond the reference's ranges."""
_ENGINE_LOCAL = ("127.0.0.0/8", "::1/128", "fe80::/10", "fec0::/10")
"""What rspamd's `is_local` takes for local whatever `local_addrs` says."""
_NAT64: Final = "64:ff9b::/96"
_6TO4: Final = "2002::/16"
_BEHIND: Final = {_NAT64: 0, _6TO4: 80}
"""How many bits stand behind the IPv4 address that such an address leads to (RFC 6052, RFC 3056)."""


class IpClasses:
    """The IP-class table for given settings (reference: LOCAL_CIDRS, BOGON_CIDRS, classify_ip)."""

    def __init__(self, settings: MxCheckSettings, improvements: Improvements) -> None:
        classes = dict.fromkeys(_LOCAL, IpClass.LOCAL) | dict.fromkeys(_BOGON, IpClass.BOGON)
        if improvements.special_addresses:
            classes |= _SPECIAL
        loopback = IpClass.PUBLIC if settings.test_mode else IpClass(improvements.loopback_class)
        classes |= dict.fromkeys(_LOOPBACK, loopback)
        if not improvements.nat64:
            classes[_NAT64] = IpClass.BOGON
        self._table = NetworkTable.of(classes)
        self._loopback = NetworkTable.of({} if settings.test_mode else dict.fromkeys(_LOOPBACK, True))
        embedding = {_NAT64: improvements.nat64, _6TO4: improvements.special_addresses}
        self._embedding = NetworkTable.of({network: _BEHIND[network] for network, on in embedding.items() if on})

    def of(self, ip: str) -> IpClass:
        behind = self._embedding.get(ip)
        inner = ip if behind is None else embedded_ipv4(ip, behind)
        return self._table.get(inner) or IpClass.PUBLIC

    def is_public(self, ip: str) -> bool:
        """Tell whether this is an address, and one that may be connected to."""
        return parse_ip(ip) is not None and self.of(ip) is IpClass.PUBLIC

    def any_loopback(self, ips: Sequence[str]) -> bool:
        """Tell whether one of the addresses is everybody's own (RFC 1122 section 3.2.1.3)."""
        return any(self._loopback.get(ip) for ip in ips)

    def partition(self, ips: Sequence[str]) -> tuple[tuple[str, ...], ClassEvidence]:
        """Return (public addresses, evidence about the others), each in the order given."""
        by_class: dict[IpClass, list[str]] = {IpClass.PUBLIC: [], IpClass.LOCAL: [], IpClass.BOGON: []}
        for ip in ips:
            by_class[self.of(ip)].append(ip)
        public = tuple(by_class[IpClass.PUBLIC])
        return public, ClassEvidence(tuple(by_class[IpClass.LOCAL]), tuple(by_class[IpClass.BOGON]), bool(public))


class LocalClients:
    """Which clients are local: loopback, link-local, and the networks of `local_addrs`."""

    def __init__(self, settings: MxCheckSettings) -> None:
        self._table = NetworkTable.of(dict.fromkeys((*_ENGINE_LOCAL, *settings.local_addrs), True))

    def __contains__(self, ip: str) -> bool:
        return self._table.get(ip) is not None


def most_targets(settings: MxCheckSettings, improvements: Improvements) -> int:
    """Return how many MX hosts of a domain, and addresses of a host, are used."""
    return max(settings.max_mx_a_records, improvements.max_targets or 0)


def enabled_families(settings: MxCheckSettings) -> Family:
    """Return the families that are asked for and probed."""
    v4 = Family.V4 if settings.probe_ipv4 else Family.NONE
    v6 = Family.V6 if settings.probe_ipv6 else Family.NONE
    return v4 | v6


def of_families(ips: Sequence[str], families: Family) -> tuple[str, ...]:
    """Return those addresses that are of one of `families`; what is no address at all is dropped."""
    return tuple(ip for ip in ips if family_of(ip) in families and family_of(ip))


def interleave(v4: Sequence[str], v6: Sequence[str], *, prefer_ipv6: bool, cap: int) -> tuple[str, ...]:
    """Take one of each family in turn, at most `cap` in all, so that the cap starves neither family."""
    first, second = (v6, v4) if prefer_ipv6 else (v4, v6)
    mixed: list[str] = []
    for index in range(max(len(first), len(second))):
        mixed.extend(first[index : index + 1])
        mixed.extend(second[index : index + 1])
    return tuple(mixed[:cap])
