"""IANA's registries of special-purpose addresses (RFC 6890 and its updates, as of 2025), and what is special besides.

https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry
"""

import ipaddress
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

Class = Literal["local", "bogon", "public"]


class Range(NamedTuple):
    """A range, its class under the preset `recommended`, and whether `reference` dials it though that does not."""

    network: str
    about: str
    is_of: Class
    reference_dials: bool = False

    @property
    def samples(self) -> Iterator[str]:
        """The first and the last address."""
        network = ipaddress.ip_network(self.network)
        yield from dict.fromkeys((str(network[0]), str(network[-1])))


RANGES: Final = (
    Range("0.0.0.0/8", "this network, RFC 791", "bogon"),
    Range("0.0.0.0/32", "this host, RFC 1122", "bogon"),
    Range("10.0.0.0/8", "private use, RFC 1918", "local"),
    Range("100.64.0.0/10", "shared address space, RFC 6598", "local"),
    Range("127.0.0.0/8", "loopback, RFC 1122", "local"),
    Range("169.254.0.0/16", "link-local, RFC 3927", "bogon"),
    Range("172.16.0.0/12", "private use, RFC 1918", "local"),
    Range("192.0.0.0/24", "IETF protocol assignments, RFC 6890", "bogon"),
    Range("192.0.0.0/29", "DS-Lite, RFC 7335", "bogon"),
    Range("192.0.0.8/32", "dummy address, RFC 7600", "bogon"),
    Range("192.0.0.9/32", "Port Control Protocol anycast, RFC 7723", "bogon"),
    Range("192.0.0.10/32", "TURN anycast, RFC 8155", "bogon"),
    Range("192.0.0.170/31", "NAT64 discovery, RFC 8880", "bogon"),
    Range("192.0.2.0/24", "documentation, RFC 5737", "bogon"),
    Range("192.31.196.0/24", "AS112, RFC 7535: globally reachable", "public"),
    Range("192.52.193.0/24", "AMT, RFC 7450: globally reachable", "public"),
    Range("192.88.99.0/24", "6to4 relay anycast, RFC 7526", "bogon"),
    Range("192.168.0.0/16", "private use, RFC 1918", "local"),
    Range("192.175.48.0/24", "AS112, RFC 7534: globally reachable", "public"),
    Range("198.18.0.0/15", "benchmarking, RFC 2544", "bogon"),
    Range("198.51.100.0/24", "documentation, RFC 5737", "bogon"),
    Range("203.0.113.0/24", "documentation, RFC 5737", "bogon"),
    Range("224.0.0.0/4", "multicast, RFC 5771", "bogon"),
    Range("240.0.0.0/4", "reserved, RFC 1112", "bogon"),
    Range("255.255.255.255/32", "limited broadcast, RFC 8190", "bogon"),
    Range("::1/128", "loopback, RFC 4291", "local"),
    Range("::/128", "unspecified, RFC 4291", "bogon"),
    Range("::127.0.0.1/128", "IPv4-compatible, RFC 4291", "bogon", reference_dials=True),
    Range("::ffff:127.0.0.0/104", "IPv4-mapped loopback, RFC 4291", "local"),
    Range("::ffff:10.0.0.0/104", "IPv4-mapped private use", "local"),
    Range("::ffff:0.0.0.0/104", "IPv4-mapped this network", "bogon"),
    Range("::ffff:169.254.169.254/128", "IPv4-mapped metadata service", "bogon"),
    Range("::ffff:0:7f00:1/128", "IPv4-translated, RFC 2765", "bogon", reference_dials=True),
    Range("64:ff9b::127.0.0.0/104", "NAT64 of loopback, RFC 6052", "local"),
    Range("64:ff9b::10.0.0.0/104", "NAT64 of private use", "local"),
    Range("64:ff9b::169.254.0.0/112", "NAT64 of link-local", "bogon"),
    Range("64:ff9b:1::/48", "local NAT64, RFC 8215", "local", reference_dials=True),
    Range("100::/64", "discard-only, RFC 6666", "bogon"),
    Range("100:0:0:1::/64", "dummy prefix, RFC 9780", "bogon", reference_dials=True),
    Range("2001::/23", "IETF protocol assignments, RFC 2928", "bogon", reference_dials=True),
    Range("2001::/32", "Teredo, RFC 4380", "bogon", reference_dials=True),
    Range("2001:1::1/128", "Port Control Protocol anycast, RFC 7723", "bogon", reference_dials=True),
    Range("2001:1::2/128", "TURN anycast, RFC 8155", "bogon", reference_dials=True),
    Range("2001:1::3/128", "DNS-SD registration anycast, RFC 9665", "bogon", reference_dials=True),
    Range("2001:2::/48", "benchmarking, RFC 5180", "bogon", reference_dials=True),
    Range("2001:3::/32", "AMT, RFC 7450", "bogon", reference_dials=True),
    Range("2001:4:112::/48", "AS112, RFC 7535", "bogon", reference_dials=True),
    Range("2001:10::/28", "ORCHID, RFC 4843", "bogon", reference_dials=True),
    Range("2001:20::/28", "ORCHIDv2, RFC 7343", "bogon", reference_dials=True),
    Range("2001:30::/28", "drone remote ID, RFC 9374", "bogon", reference_dials=True),
    Range("2001:db8::/32", "documentation, RFC 3849", "bogon"),
    Range("2002:7f00:1::/48", "6to4 of 127.0.0.1, RFC 3056", "local", reference_dials=True),
    Range("2002:a00::/24", "6to4 of 10.0.0.0/8", "local", reference_dials=True),
    Range("2002:a9fe:a9fe::/48", "6to4 of 169.254.169.254", "bogon", reference_dials=True),
    Range("2002::/32", "6to4 of 0.0.0.0/16", "bogon", reference_dials=True),
    Range("2620:4f:8000::/48", "AS112, RFC 7534: globally reachable", "public"),
    Range("3fff::/20", "documentation, RFC 9637", "bogon", reference_dials=True),
    Range("4000::/3", "not given to anybody, RFC 4291", "bogon", reference_dials=True),
    Range("5f00::/16", "segment routing, RFC 9602", "bogon", reference_dials=True),
    Range("fc00::/7", "unique local, RFC 4193", "local"),
    Range("fd00:ec2::254/128", "metadata service of a cloud", "local"),
    Range("fe80::/10", "link-local, RFC 4291", "bogon"),
    Range("fec0::/10", "site-local, RFC 3879", "local", reference_dials=True),
    Range("ff00::/8", "multicast, RFC 4291", "bogon"),
    Range("169.254.169.254/32", "metadata service of most clouds", "bogon"),
    Range("100.100.100.200/32", "metadata service of a cloud", "local"),
    Range("192.0.0.192/32", "metadata service of a cloud", "bogon"),
)
CONTROLS: Final = ("11.0.0.1", "2a00:11::1", "64:ff9b::b00:1", "2002:b00:1::1", "::ffff:11.0.0.2")
"""Addresses that are dialled, or nothing would be proven; the last ones lead to public IPv4 addresses."""
