"""Addresses as numbers, and longest-prefix tables over them."""

import pytest

from mxcheck_service.core.model import Family
from mxcheck_service.core.networks import NetworkTable, family_of, parse_ip, parse_network

NOT_ADDRESSES = [
    *("", " ", "example.com", "192.0.2", "192.0.2.1.1", "192.0.2.256", "192.0.2.1 ", " 192.0.2.1", "192.0.2.1/32"),
    *("192.0.2.01", "0x7f.0.0.1", "3221225985", "192.0.2.1\n", "\u0661.2.3.4", "[::1]", "::1%eth0", "fe80::1%1"),
    *("::1%", ":", ":::", "2001:db8::1::2", "2001:db8::1/64", "12345::", "::ffff:192.0.2.256", "\ud800::", "\x00"),
]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.0.0.0", 0xFFFF << 32),
        ("192.0.2.1", 0xFFFF_C000_0201),
        ("::ffff:192.0.2.1", 0xFFFF_C000_0201),
        ("::FFFF:C000:0201", 0xFFFF_C000_0201),
        ("::", 0),
        ("::1", 1),
        ("2001:db8::1", 0x2001_0DB8_0000_0000_0000_0000_0000_0001),
        ("2001:DB8:0:0::1", 0x2001_0DB8_0000_0000_0000_0000_0000_0001),
    ],
)
def test_address_is_a_number_in_one_space_for_both_families(text: str, number: int) -> None:
    assert parse_ip(text) == number


@pytest.mark.parametrize("text", NOT_ADDRESSES)
def test_what_is_no_address_has_no_number_and_no_family(text: str) -> None:
    assert parse_ip(text) is None
    assert family_of(text) is Family.NONE


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("192.0.2.1", Family.V4),
        ("::ffff:192.0.2.1", Family.V4),
        ("::192.0.2.1", Family.V6),
        ("2001:db8::1", Family.V6),
        ("::", Family.V6),
    ],
)
def test_mapped_address_counts_as_ipv4(text: str, family: Family) -> None:
    """Reference: is_valid_cache_value's reader asks the engine for the version, which is 4 for a mapped address."""
    assert family_of(text) is family


@pytest.mark.parametrize(
    ("text", "length", "first"),
    [
        ("192.0.2.0/24", 120, "192.0.2.0"),
        ("192.0.2.77/24", 120, "192.0.2.0"),
        ("192.0.2.1", 128, "192.0.2.1"),
        ("0.0.0.0/0", 96, "0.0.0.0"),
        ("2001:db8::/32", 32, "2001:db8::"),
        ("2001:db8::dead/32", 32, "2001:db8::"),
        ("::ffff:192.0.2.0/120", 120, "192.0.2.0"),
        ("::/0", 0, "::"),
        ("::1", 128, "::1"),
    ],
)
def test_network_is_its_first_address_and_a_length_of_128(text: str, length: int, first: str) -> None:
    assert parse_network(text) == (parse_ip(first), length)


@pytest.mark.parametrize(
    "text",
    [
        *("", "example.com", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/", "/24", "2001:db8::/129", "192.0.2/24"),
        *("192.0.2.0/24/24", "192.0.2.0 /24", "::1%eth0", "fe80::%eth0/64", "fe80::1%eth0/64", "\ud800"),
    ],
)
def test_what_is_no_network_has_no_number(text: str) -> None:
    """A zone id names a link of one host (RFC 4007 section 11), so it belongs into no network, host bits or not."""
    assert parse_network(text) is None


def test_longest_prefix_wins_whatever_the_order() -> None:
    values = {"10.0.0.0/8": "wide", "10.1.2.3": "one", "10.1.0.0/16": "narrow"}
    for order in (list(values), list(reversed(values))):
        table = NetworkTable.of({text: values[text] for text in order})
        assert [table.get(ip) for ip in ("10.9.9.9", "10.1.9.9", "10.1.2.3", "11.0.0.1")] == [
            "wide",
            "narrow",
            "one",
            None,
        ]


def test_families_do_not_meet_but_in_the_mapped_form() -> None:
    table = NetworkTable.of({"0.0.0.0/0": 4, "2000::/3": 6})
    assert table.get("192.0.2.1") == 4
    assert table.get("::ffff:192.0.2.1") == 4
    assert table.get("2001:db8::1") == 6
    assert table.get("fe80::1") is None


def test_falsy_values_are_found_too() -> None:
    table = NetworkTable.of({"10.0.0.0/8": 1, "10.0.0.1": 0})
    assert table.get("10.0.0.1") == 0


@pytest.mark.parametrize("text", NOT_ADDRESSES)
def test_what_is_no_address_is_in_no_network(text: str) -> None:
    assert NetworkTable.of({"::/0": True}).get(text) is None


def test_length_counts_networks_once() -> None:
    assert len(NetworkTable[int]([])) == 0
    assert len(NetworkTable.of({"10.0.0.0/8": 1, "10.0.0.1/8": 2, "::1": 3})) == 2


def test_error_names_the_entry_that_is_no_network() -> None:
    with pytest.raises(ValueError, match=r"'10\.0\.0\.0/99' is not an IP address or network"):
        NetworkTable.of({"10.0.0.0/8": 1, "10.0.0.0/99": 2})
