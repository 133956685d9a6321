"""IP addresses as numbers, and longest-prefix tables over them.

One space for both families, as in rspamd's radix maps: an IPv4 address is its IPv4-mapped IPv6 form, so that
`::ffff:192.0.2.1` and `192.0.2.1` meet the same ranges.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, Generic, TypeVar

from mxcheck_service.core.model import Family

T = TypeVar("T")

REMEMBERED: Final = 16384
"""Results kept of a pure function that is asked the same again and again: addresses and cached values recur."""

_LONGEST_ADDRESS: Final = 45
"""Characters: six groups of four digits, and an IPv4 address in the place of the last two (RFC 4291 section 2.2)."""
_BITS = 128
_MAPPED = 0xFFFF << 32


def parse_ip(text: str) -> int | None:
    """Return the 128-bit number of an address, None when `text` is not one (a zone id is not part of an address)."""
    # Before it is remembered: what strangers write may be as long as a whole request.
    return _parse_ip(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=REMEMBERED)
def _parse_ip(text: str) -> int | None:
    try:
        if ":" not in text:
            return int(ipaddress.IPv4Address(text)) | _MAPPED
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    return None if address.scope_id is not None else int(address)


def family_of(text: str) -> Family:
    """Return the family of an address: IPv4 for its mapped form too, NONE for what is no address."""
    number = parse_ip(text)
    if number is None:
        return Family.NONE
    return Family.V4 if number >> 32 == 0xFFFF else Family.V6


def is_loopback(text: str) -> bool:
    """Return whether this is an address of 127.0.0.0/8, mapped or not, or ::1."""
    number = parse_ip(text)
    return number is not None and (number == 1 or number >> 24 == _MAPPED >> 24 | 127)


def embedded_ipv4(text: str, behind: int) -> str:
    """Return the IPv4 address in an IPv6 one, `behind` which so many bits stand; raises ValueError for no address."""
    return str(ipaddress.IPv4Address(int(ipaddress.IPv6Address(text)) >> behind & 0xFFFFFFFF))


def parse_network(text: str) -> tuple[int, int] | None:
    """Return (number, prefix length) of an address or a CIDR, host bits dropped; None when `text` is neither."""
    if "%" in text:
        return None
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    number = int(network.network_address)
    if isinstance(network, ipaddress.IPv4Network):
        return number | _MAPPED, network.prefixlen + 96
    return number, network.prefixlen


def exact_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network of an address or a CIDR; an IPv4-mapped one is IPv4's. Raises ValueError: why it is none.

    What says who may do something is not guessed at: no host bits, and `::/0` is no network of IPv4.
    """
    if "%" in text:
        raise ValueError("must be an IP address or network without a zone id")
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        detail = str(error) if "host bits" in str(error) else f"{text!r} is not an IP address or network"
        raise ValueError(detail) from None
    number, length = int(network.network_address), network.prefixlen
    if isinstance(network, ipaddress.IPv6Network) and length >= _BITS - 32 and number >> 32 == 0xFFFF:
        return ipaddress.IPv4Network((number & 0xFFFFFFFF, length - (_BITS - 32)))
    return network


class NetworkTable(Generic[T]):
    """Immutable longest-prefix table; of two entries for one network the first stays, as in rspamd.

    A look-up costs one dict access per distinct prefix length, whatever the size.
    """

    def __init__(self, entries: Iterable[tuple[tuple[int, int], T]]) -> None:
        by_length: dict[int, dict[int, T]] = {}
        for (number, length), value in entries:
            by_length.setdefault(length, {}).setdefault(number >> (_BITS - length), value)
        self._levels = tuple(
            (_BITS - length, table) for length, table in sorted(by_length.items(), key=lambda item: -item[0])
        )

    @classmethod
    def of(cls, values: Mapping[str, T]) -> "NetworkTable[T]":
        """Build a table from CIDR text; raises ValueError naming the entry that is none."""
        entries = []
        for text, value in values.items():
            network = parse_network(text)
            if network is None:
                raise ValueError(f"{text!r} is not an IP address or network")
            entries.append((network, value))
        return cls(entries)

    def __len__(self) -> int:
        return sum(len(table) for _, table in self._levels)

    def get(self, text: str) -> T | None:
        """Return the value of the longest prefix that covers the address, None when none does or it is no address."""
        number = parse_ip(text)
        if number is None:
            return None
        for shift, table in self._levels:
            value = table.get(number >> shift)
            if value is not None:
                return value
        return None
