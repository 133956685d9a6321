"""IP classes (reference: classify_ip), local clients, families, and the mix of two (reference: resolve_addresses)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest

from mxcheck_service.core.addresses import IpClasses, LocalClients, enabled_families, interleave, of_families
from mxcheck_service.core.model import ClassEvidence, Family, IpClass
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, Improvements, MxCheckSettings

SETTINGS = MxCheckSettings()

# First and last address of every range of the reference (LOCAL_CIDRS, BOGON_CIDRS), and their neighbours.
LOCAL = [
    *("10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"),
    *("100.64.0.0", "100.127.255.255", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:10.0.0.1"),
]
BOGON = [
    *(
        "169.254.0.0",
        "169.254.255.255",
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "0.0.0.0",
        "0.255.255.255",
    ),
    *("192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255", "198.51.100.0", "198.51.100.255"),
    *("203.0.113.0", "203.0.113.255", "192.88.99.0", "192.88.99.255", "198.18.0.0", "198.19.255.255"),
    *("224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255", "::", "64:ff9b::", "64:ff9b::ffff:ffff"),
    *("100::", "100::ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    *("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:192.0.2.1"),
]
LOOPBACK = ["127.0.0.0", "127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"]
PUBLIC = [
    *("9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0"),
    *("100.63.255.255", "100.128.0.0"),
    *("169.253.255.255", "169.255.0.0", "1.0.0.0", "192.0.1.0", "192.0.3.0", "198.51.99.255", "198.51.101.0"),
    *("203.0.112.255", "203.0.114.0", "192.88.98.255", "192.88.100.0", "198.17.255.255", "198.20.0.0"),
    *("223.255.255.255", "126.255.255.255", "128.0.0.0", "2001:db9::"),
    *("2001:db7:ffff::", "2606:4700::1111", "::ffff:11.0.0.1", "not an address", ""),
    *("2000::", "2001:200::", "2002:b00:1::1", "2003::", "3ffe:ffff::", "3fff:1000::"),
]
SPECIAL = {
    "fec0::1": IpClass.LOCAL,
    "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": IpClass.LOCAL,
    "64:ff9b:1::7f00:1": IpClass.LOCAL,
    "2002:a00:1::1": IpClass.LOCAL,  # 10.0.0.1
    "2002:c0a8:101::": IpClass.LOCAL,  # 192.168.1.1
    "2002:a9fe:a9fe::": IpClass.BOGON,  # 169.254.169.254
    "2002::": IpClass.BOGON,  # 0.0.0.0
    "2002:ffff:ffff::": IpClass.BOGON,  # 255.255.255.255
    **dict.fromkeys(("::2", "::10.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::1:0:0"), IpClass.BOGON),
    **dict.fromkeys(("1fff:ffff::", "4000::", "5f00::1", "fe00::", "100:0:0:1::", "200::"), IpClass.BOGON),
    **dict.fromkeys(("2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff::"), IpClass.BOGON),
    **dict.fromkeys(("3fff::", "3fff:fff:ffff::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), IpClass.BOGON),
}
"""Beyond the reference's ranges."""


@pytest.mark.parametrize("improvements", [RECOMMENDED, REFERENCE], ids=["recommended", "reference"])
@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        *((ip, IpClass.LOCAL) for ip in LOCAL),
        *((ip, IpClass.BOGON) for ip in BOGON),
        *((ip, IpClass.PUBLIC) for ip in PUBLIC),
    ],
)
def test_class_of_an_address(ip: str, expected: IpClass, improvements: Improvements) -> None:
    assert IpClasses(SETTINGS, improvements).of(ip) is expected


@pytest.mark.parametrize("ip", SPECIAL)
def test_what_iana_gives_to_no_host_is_not_public_when_recommended(ip: str) -> None:
    """Improvement special_addresses; the reference probes them."""
    assert IpClasses(SETTINGS, RECOMMENDED).of(ip) is SPECIAL[ip]
    assert IpClasses(SETTINGS, replace(RECOMMENDED, special_addresses=False)).of(ip) is IpClass.PUBLIC
    assert IpClasses(SETTINGS, REFERENCE).of(ip) is IpClass.PUBLIC


@pytest.mark.parametrize(("loopback", "expected"), [("local", IpClass.LOCAL), ("bogon", IpClass.BOGON)])
def test_6to4_of_a_loopback_address_is_one(loopback: Literal["local", "bogon"], expected: IpClass) -> None:
    assert IpClasses(SETTINGS, replace(RECOMMENDED, loopback_class=loopback)).of("2002:7f00:1::") is expected
    assert IpClasses(replace(SETTINGS, test_mode=True), RECOMMENDED).of("::1") is IpClass.PUBLIC


@pytest.mark.parametrize("improvements", [RECOMMENDED, REFERENCE], ids=["recommended", "reference"])
def test_only_an_address_is_a_public_one(improvements: Improvements) -> None:
    is_public = IpClasses(SETTINGS, improvements).is_public
    assert is_public("11.0.0.1")
    assert is_public("2606:4700::1111")
    for text in ("", "mx.example", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "::1%lo", "11.0.0.1%lo", "11.0.0.1\n"):
        assert not is_public(text), text


@pytest.mark.parametrize("ip", LOOPBACK)
def test_loopback_is_local_when_recommended_and_bogon_as_in_the_reference(ip: str) -> None:
    """Improvement loopback_class; everything else keeps its class."""
    assert IpClasses(SETTINGS, RECOMMENDED).of(ip) is IpClass.LOCAL
    assert IpClasses(SETTINGS, REFERENCE).of(ip) is IpClass.BOGON


@pytest.mark.parametrize("improvements", [RECOMMENDED, REFERENCE], ids=["recommended", "reference"])
def test_test_mode_makes_loopback_public_and_nothing_else(improvements: Improvements) -> None:
    classes = IpClasses(replace(SETTINGS, test_mode=True), improvements)
    assert {classes.of(ip) for ip in LOOPBACK} == {IpClass.PUBLIC}
    assert {classes.of(ip) for ip in LOCAL} == {IpClass.LOCAL}
    assert {classes.of(ip) for ip in BOGON} == {IpClass.BOGON}


@pytest.mark.parametrize(
    ("ips", "public", "evidence"),
    [
        pytest.param([], [], ClassEvidence((), (), False), id="nothing"),
        pytest.param(["11.0.0.1"], ["11.0.0.1"], ClassEvidence((), (), True), id="public-only"),
        pytest.param(["10.0.0.1"], [], ClassEvidence(("10.0.0.1",), (), False), id="local-only"),
        pytest.param(["192.0.2.1"], [], ClassEvidence((), ("192.0.2.1",), False), id="bogon-only"),
        pytest.param(
            ["10.0.0.2", "11.0.0.2", "192.0.2.2", "11.0.0.1", "192.0.2.1", "10.0.0.1"],
            ["11.0.0.2", "11.0.0.1"],
            ClassEvidence(("10.0.0.2", "10.0.0.1"), ("192.0.2.2", "192.0.2.1"), True),
            id="each-class-in-the-order-given",
        ),
    ],
)
def test_partition(ips: Sequence[str], public: Sequence[str], evidence: ClassEvidence) -> None:
    assert IpClasses(SETTINGS, REFERENCE).partition(ips) == (tuple(public), evidence)


@pytest.mark.parametrize(
    ("ip", "local"),
    [
        ("127.0.0.1", True),
        ("127.255.255.255", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("fe80::1", True),
        ("fec0::1", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("192.168.0.1", True),
        ("169.254.1.1", True),
        ("fd00::1", True),
        ("fc00::1", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("192.0.2.1", False),
        ("11.0.0.1", False),
        ("2606:4700::1111", False),
        ("no address", False),
    ],
)
def test_local_client(ip: str, local: bool) -> None:
    """The engine's is_local with its default local_addrs: fd00::/8 but not fc00::/8, no carrier-grade NAT."""
    assert (ip in LocalClients(SETTINGS)) is local


def test_local_addrs_replaces_the_default_list_but_never_loopback_and_link_local() -> None:
    clients = LocalClients(replace(SETTINGS, local_addrs=("198.51.100.0/24",)))
    assert "198.51.100.7" in clients
    assert "10.1.2.3" not in clients
    assert "127.0.0.1" in clients
    assert "fe80::1" in clients


@pytest.mark.parametrize(
    ("v4", "v6", "families"),
    [
        (True, False, Family.V4),
        (False, True, Family.V6),
        (True, True, Family.BOTH),
        (False, False, Family.NONE),
    ],
)
def test_enabled_families(v4: bool, v6: bool, families: Family) -> None:
    assert enabled_families(replace(SETTINGS, probe_ipv4=v4, probe_ipv6=v6)) == families


@pytest.mark.parametrize(
    ("families", "kept"),
    [
        (Family.V4, ("192.0.2.1", "::ffff:192.0.2.2")),
        (Family.V6, ("2001:db8::1",)),
        (Family.BOTH, ("2001:db8::1", "192.0.2.1", "::ffff:192.0.2.2")),
        (Family.NONE, ()),
    ],
)
def test_addresses_of_families_keep_their_order_and_what_is_no_address_is_dropped(
    families: Family, kept: tuple[str, ...]
) -> None:
    assert of_families(["2001:db8::1", "", "192.0.2.1", "junk", "::ffff:192.0.2.2"], families) == kept


@pytest.mark.parametrize(
    ("v4", "v6", "prefer_ipv6", "cap", "mixed"),
    [
        pytest.param("abc", "xyz", False, 9, "axbycz", id="in-turn-ipv4-first"),
        pytest.param("abc", "xyz", True, 9, "xaybzc", id="in-turn-ipv6-first"),
        pytest.param("abc", "xyz", True, 3, "xay", id="cap-on-the-mix"),
        pytest.param("abc", "xyz", True, 1, "x", id="cap-of-one-takes-the-preferred-family"),
        pytest.param("abc", "x", True, 9, "xabc", id="rest-of-the-longer-family"),
        pytest.param("a", "xyz", False, 9, "axyz", id="rest-of-the-other-family"),
        pytest.param("abc", "x", True, 3, "xab", id="shorter-family-is-not-starved"),
        pytest.param("abc", "", True, 2, "ab", id="one-family-only"),
        pytest.param("", "xyz", False, 2, "xy", id="the-other-family-only"),
        pytest.param("", "", True, 2, "", id="nothing"),
    ],
)
def test_interleave(v4: str, v6: str, prefer_ipv6: bool, cap: int, mixed: str) -> None:
    assert interleave(v4, v6, prefer_ipv6=prefer_ipv6, cap=cap) == tuple(mixed)


@pytest.mark.parametrize(
    ("ip", "inner"),
    [
        ("64:ff9b::8.8.8.8", IpClass.PUBLIC),
        ("64:ff9b::808:808", IpClass.PUBLIC),
        ("64:ff9b::10.0.0.1", IpClass.LOCAL),
        ("64:ff9b::127.0.0.1", IpClass.LOCAL),
        ("64:ff9b::192.0.2.1", IpClass.BOGON),
        ("64:ff9b::0.0.0.0", IpClass.BOGON),
    ],
)
def test_translated_address_has_the_class_of_the_one_in_it(ip: str, inner: IpClass) -> None:
    assert IpClasses(SETTINGS, RECOMMENDED).of(ip) is inner
    assert IpClasses(SETTINGS, replace(RECOMMENDED, nat64=False)).of(ip) is IpClass.BOGON
    assert IpClasses(SETTINGS, REFERENCE).of(ip) is IpClass.BOGON
