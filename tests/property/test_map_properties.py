"""Glob and radix maps against naive ones, and network tables against the standard library."""

import ipaddress
import string

from hypothesis import given
from hypothesis import strategies as st

from mxcheck_service.core.addresses import interleave
from mxcheck_service.core.maplist import GlobMap, MapEntry, MapHit, RadixMap, RadixPart, compile_map, parse_map
from mxcheck_service.core.networks import NetworkTable, parse_ip, parse_network

patterns = st.text("ab.*?+[]^$\\\n", max_size=8)
names = st.text("ab.[]^$\\\n", max_size=10)
any_text = st.text(st.characters(codec=None, exclude_categories=()))


def matches(pattern: str, name: str) -> bool:
    """Tell whether a glob matches a whole name, by trying everything a wildcard may stand for."""
    if not pattern:
        return not name
    head, rest = pattern[0], pattern[1:]
    match head:
        case "*":
            lengths = range(len(name) + 1)
        case "?":
            lengths = range(min(len(name), 1) + 1)
        case "+":
            lengths = range(1, len(name) + 1)
        case _:
            return name[:1] == head and matches(rest, name[1:])
    return any(matches(rest, name[length:]) for length in lengths)


@given(st.lists(patterns, max_size=8), names)
def test_glob_map_finds_what_a_naive_matcher_finds_first(keys: list[str], name: str) -> None:
    table = GlobMap.of(MapEntry(key, str(index), "m") for index, key in enumerate(keys))
    expected = next((str(index) for index, key in enumerate(keys) if matches(key, name)), None)
    hit = table.get(name)
    assert (hit and hit.value) == expected


@given(any_text)
def test_any_map_text_can_be_read(text: str) -> None:
    entries = list(parse_map(text, "m"))
    GlobMap.of(entries)
    table = RadixMap.of(entries)
    assert len(table) + len(table.problems) <= len(entries)
    assert all(entry.value == entry.value.strip() and "#" not in entry.value for entry in entries)


@given(st.lists(st.text(string.ascii_letters + string.digits + ".*-_", min_size=1, max_size=10), max_size=10))
def test_plain_keys_are_read_back_from_their_lines(keys: list[str]) -> None:
    text = "".join(f"  {key}\t{number} # comment\n" for number, key in enumerate(keys))
    assert [(entry.key, entry.value, entry.origin) for entry in parse_map(text, "m")] == [
        (key, str(number), f"m:{number + 1}") for number, key in enumerate(keys)
    ]


@given(any_text)
def test_multiplier_of_any_value_is_a_finite_number(value: str) -> None:
    assert abs(MapHit(value, "m").multiplier) < float("inf")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_multiplier_of_a_number_is_that_number(number: float) -> None:
    assert MapHit(repr(number), "m").multiplier == number


# Few high bits, so that networks nest and addresses fall into them.
v4 = st.integers(0, 0xFF).map(lambda low: ipaddress.IPv4Address(0x0B00_0000 | low))
v6 = st.integers(0, 0xFF).map(lambda low: ipaddress.IPv6Address((0x2606_4700 << 96) | low))
mapped = v4.map(lambda address: ipaddress.IPv6Address(0xFFFF_0000_0000 | int(address)))
any_ip = st.one_of(v4, v6, mapped, st.ip_addresses(v=4), st.ip_addresses(v=6))
networks = st.one_of(
    st.tuples(v4, st.integers(0, 32)), st.tuples(v6, st.integers(0, 128)), st.tuples(mapped, st.integers(96, 128))
).map(lambda pair: ipaddress.ip_network(pair, strict=False))


def in_one_space(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> ipaddress.IPv6Network:
    if isinstance(network, ipaddress.IPv6Network):
        return network
    return ipaddress.IPv6Network((0xFFFF_0000_0000 | int(network.network_address), network.prefixlen + 96))


@given(st.lists(networks, max_size=12, unique_by=in_one_space), any_ip)
def test_network_table_finds_the_longest_prefix(
    listed: list[ipaddress.IPv4Network | ipaddress.IPv6Network], ip: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    table = NetworkTable.of({str(network): index for index, network in enumerate(listed)})
    address = ipaddress.IPv6Address(0xFFFF_0000_0000 | int(ip)) if isinstance(ip, ipaddress.IPv4Address) else ip
    covering = [(in_one_space(network), index) for index, network in enumerate(listed)]
    covering = [(network, index) for network, index in covering if address in network]
    expected = max(covering, key=lambda pair: pair[0].prefixlen)[1] if covering else None
    assert table.get(str(ip)) == expected


@given(st.lists(st.lists(networks, max_size=8), max_size=3), any_ip)
def test_radix_map_of_several_parts_finds_the_longest_prefix(
    parts: list[list[ipaddress.IPv4Network | ipaddress.IPv6Network]],
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Of two entries for one network the first one counts, in a part and among parts."""
    entries = [
        [MapEntry(str(network), f"{part}/{index}", "m") for index, network in enumerate(listed)]
        for part, listed in enumerate(parts)
    ]
    table = RadixMap([RadixPart(*compile_map("radix", listed, ""), "") for listed in entries])
    address = ipaddress.IPv6Address(0xFFFF_0000_0000 | int(ip)) if isinstance(ip, ipaddress.IPv4Address) else ip
    covering = [
        (in_one_space(ipaddress.ip_network(entry.key)).prefixlen, entry.value)
        for listed in entries
        for entry in listed
        if address in in_one_space(ipaddress.ip_network(entry.key))
    ]
    expected = max(covering, key=lambda pair: pair[0])[1] if covering else None
    hit = table.get(str(ip))
    assert (hit and hit.value) == expected


@given(any_ip)
def test_number_of_an_address_is_the_standard_librarys(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    expected = int(ip) | 0xFFFF_0000_0000 if isinstance(ip, ipaddress.IPv4Address) else int(ip)
    assert parse_ip(str(ip)) == expected
    assert parse_ip(ip.exploded) == expected


@given(st.one_of(any_text, st.text("0123456789abcdef:./%")))
def test_any_text_is_an_address_a_network_or_neither(text: str) -> None:
    number, network = parse_ip(text), parse_network(text)
    if number is not None:
        assert network == (number, 128)


items = st.lists(st.integers(), max_size=8)


@given(items, items, st.booleans(), st.integers(1, 20))
def test_interleave(first: list[int], second: list[int], prefer_ipv6: bool, cap: int) -> None:
    v4_ips, v6_ips = [f"4/{item}" for item in first], [f"6/{item}" for item in second]
    mixed = interleave(v4_ips, v6_ips, prefer_ipv6=prefer_ipv6, cap=cap)
    of_v4 = [ip for ip in mixed if ip[0] == "4"]
    of_v6 = [ip for ip in mixed if ip[0] == "6"]
    assert len(mixed) == min(cap, len(v4_ips) + len(v6_ips))
    # Each family keeps its order, and its best come first.
    assert of_v4 == v4_ips[: len(of_v4)]
    assert of_v6 == v6_ips[: len(of_v6)]
    # No family is ahead by more than one while the other still has addresses.
    fair = min(len(v4_ips), len(v6_ips), cap // 2)
    assert min(len(of_v4), len(of_v6)) >= fair
    if v4_ips and v6_ips:
        assert mixed[0] == (v6_ips if prefer_ipv6 else v4_ips)[0]
