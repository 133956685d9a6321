"""rspamd's glob and radix maps, as its C code reads and matches them (map_helpers.c, radix.c, str_util.c)."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network

NO_VALUE = "1"
"""What the engine stores for an entry without a value."""

_KEY_AND_REST = re.compile(r'\s*(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s#]+))(?P<rest>.*)', re.DOTALL)


def read_lines(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (key, value) of map lines; of two entries with one key the first counts, whatever its case."""
    seen: set[str] = set()
    for line in lines:
        match = _KEY_AND_REST.match(line)
        if match is None:
            continue
        key = match["plain"] if match["quoted"] is None else match["quoted"]
        value = match["rest"].partition("#")[0].strip()
        if key.lower() not in seen:
            seen.add(key.lower())
            yield key, value or NO_VALUE


class GlobMap:
    """Patterns for whole names; the first in the list that matches wins."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._patterns = [(re.compile(self._translate(key)), value) for key, value in read_lines(lines)]

    def get_key(self, name: str) -> str | None:
        """Return the value of the entry that matches a name."""
        return next((value for pattern, value in self._patterns if name and pattern.fullmatch(name)), None)

    @staticmethod
    def _translate(glob: str) -> str:
        return "".join(f".{char}" if char in "*?+" else re.escape(char) for char in glob)


class RadixMap:
    """Networks of both families in one tree, IPv4 as IPv4-mapped; the longest prefix wins."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._networks: dict[IPv6Network, str] = {}
        for key, value in read_lines(lines):
            self._networks.setdefault(self._network(key), value)

    def get_key(self, ip: str) -> str | None:
        """Return the value of the smallest network an address is in; None for what is no address."""
        try:
            address = _as_ipv6(ip)
        except ValueError:
            return None
        hits = [network for network in self._networks if address in network]
        return self._networks[max(hits, key=lambda network: network.prefixlen)] if hits else None

    @staticmethod
    def _network(key: str) -> IPv6Network:
        network = ip_network(key, strict=False)
        if network.version == 6:
            return network
        return IPv6Network((_as_ipv6(str(network.network_address)), network.prefixlen + 96))


def _as_ipv6(text: str) -> IPv6Address:
    address = ip_address(text)
    return address if address.version == 6 else IPv6Address(f"::ffff:{address}")
