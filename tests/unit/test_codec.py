"""The grammar of cached values, byte for byte the reference's (is_valid_cache_value, encode_mx_list, decode_*)."""

import pytest

from mxcheck_service.core.codec import (
    AddressEntry,
    AddressList,
    DomainEntry,
    HostEntry,
    MxList,
    Slot,
    decode_address,
    decode_domain,
    decode_host,
    encode,
)
from mxcheck_service.core.model import Family, MxHost, Outcome, Verdict

ONE_MX = MxList((MxHost(10, "mx.example.com"),))
TWO_MX = MxList((MxHost(10, "mx1.example.com"), MxHost(20, "mx2.example.com")))
V4 = AddressList(Family.V4, ("192.0.2.1", "192.0.2.2"))
V6 = AddressList(Family.V6, ("2001:db8::1",))
BOTH = AddressList(Family.BOTH, ("2001:db8::1", "192.0.2.1"))

DOMAIN_VALUES: list[tuple[str, DomainEntry]] = [
    ("mx:mx.example.com:10", ONE_MX),
    ("mx:mx1.example.com:10,mx2.example.com:20", TWO_MX),
    ("a:v4:192.0.2.1,192.0.2.2", V4),
    ("a:v6:2001:db8::1", V6),
    ("a:v64:2001:db8::1,192.0.2.1", BOTH),
    ("no", Verdict.NONE),
    ("bkn", Verdict.BROKEN),
    ("null", Verdict.NULL),
    ("df", Verdict.DNS_FAIL),
]
HOST_VALUES: list[tuple[str, HostEntry]] = [
    ("v4:192.0.2.1,192.0.2.2", V4),
    ("v6:2001:db8::1", V6),
    ("v64:2001:db8::1,192.0.2.1", BOTH),
    ("no", Verdict.NONE),
    ("df", Verdict.DNS_FAIL),
]
PROBE_VALUES: list[tuple[str, Outcome]] = [
    ("gd", Outcome(Verdict.GOOD)),
    ("rf", Outcome(Verdict.REFUSED)),
    ("tc", Outcome(Verdict.TIMEOUT_CONNECT)),
    ("tr", Outcome(Verdict.TIMEOUT_READ)),
    ("inv", Outcome(Verdict.INVALID)),
    ("err:421", Outcome(Verdict.ERROR, "421")),
    ("err:554", Outcome(Verdict.ERROR, "554")),
]


@pytest.mark.parametrize(("value", "entry"), DOMAIN_VALUES)
def test_domain_entry_is_written_and_read_in_the_same_form(value: str, entry: DomainEntry) -> None:
    assert encode(entry, implicit=True) == value
    assert decode_domain(value) == entry


@pytest.mark.parametrize(("value", "entry"), HOST_VALUES)
def test_host_entry_is_written_and_read_in_the_same_form(value: str, entry: HostEntry) -> None:
    assert encode(entry) == value
    assert decode_host(value) == entry


@pytest.mark.parametrize(("value", "outcome"), PROBE_VALUES)
def test_verdict_of_an_address_is_written_and_read_in_the_same_form(value: str, outcome: Outcome) -> None:
    assert encode(outcome) == value
    assert decode_address(value) == outcome


@pytest.mark.parametrize(
    ("value", "hosts"),
    [
        pytest.param("mx:b.example:20,a.example:10", [(20, "b.example"), (10, "a.example")], id="order-is-kept"),
        pytest.param("mx:A.Example:10", [(10, "A.Example")], id="case-is-kept"),
        pytest.param("mx:a.example:10,b.example,c.example:30", [(10, "a.example"), (30, "c.example")], id="no-pref"),
        pytest.param("mx:,a.example:10,,", [(10, "a.example")], id="empty-items-are-ignored"),
        pytest.param("mx:a.example:-5", [(-5, "a.example")], id="negative-preference"),
        pytest.param("mx:a.example:010", [(10, "a.example")], id="leading-zero"),
        pytest.param("mx:a:b:10,a.example:10", [(10, "a.example")], id="colon-in-a-name"),
        pytest.param("mx:a:1:2", None, id="two-numbers"),
        pytest.param("mx:a b:1,a*:1,a\r\nSET:1,\xe4:1,a.example:1", [(1, "a.example")], id="no-names"),
        pytest.param(f"mx:{'a' * 254}:1,{'b' * 255}:1", [(1, "a" * 254)], id="longest-name"),
        pytest.param(f"mx:{'a.example:1,' * 6000}", None, id="longer-than-anybody-writes"),
        pytest.param("mx:a.example:10:", None, id="nothing-after-the-last-colon"),
        pytest.param("mx:a.example:+10", None, id="plus-sign"),
        pytest.param("mx:a.example:1.5", None, id="fraction"),
        pytest.param("mx:a.example: 10", None, id="blank-before-the-number"),
        pytest.param("mx:a.example:10\n", None, id="newline-after-the-number"),
        pytest.param("mx:a.example:\u0661\u0660", None, id="digits-of-another-script"),
        pytest.param("mx::10", [(10, "")], id="empty-name"),
        pytest.param("mx:", None, id="empty-list"),
        pytest.param("mx:,,", None, id="commas-only"),
        pytest.param("mx:a.example", None, id="no-preference-at-all"),
    ],
)
def test_mx_list_is_read_as_it_stands_less_items_without_preference(
    value: str, hosts: list[tuple[int, str]] | None
) -> None:
    """Reference: decode_mx_list, `^(.-):(%-?%d+)$` over the items between commas; none left is a miss."""
    expected = None if hosts is None else MxList(tuple(MxHost(*host) for host in hosts))
    assert decode_domain(value) == expected


def test_preference_of_any_length_does_not_raise() -> None:
    """A value in a shared cache may hold anything; Python refuses to make a number of more than 4,300 digits."""
    entry = decode_domain("mx:a.example:10,b.example:" + "9" * 5000)
    assert isinstance(entry, MxList)
    assert entry.hosts[0] == MxHost(10, "a.example")


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "NO", "no ", "gd", "l", "err:421", "v4:192.0.2.1", "MX:a.example:10", "mx", "a", "a:", "a:v4"),
        *("a:v46:", "a:192.0.2.1", "a:V4:192.0.2.1", "a:a:v4:192.0.2.1", "unavailable", "white", "\udcff", "no\x00"),
    ],
)
def test_domain_value_outside_the_grammar_is_a_miss(value: str) -> None:
    assert decode_domain(value) is None


@pytest.mark.parametrize(
    "value",
    [
        *("", "NO", "bkn", "null", "gd", "l", "a:v4:192.0.2.1", "mx:a.example:10", "v4", "v46:192.0.2.1"),
        *("V4:192.0.2.1", "v5:192.0.2.1", "192.0.2.1", ":192.0.2.1", "df\n"),
    ],
)
def test_host_value_outside_the_grammar_is_a_miss(value: str) -> None:
    assert decode_host(value) is None


@pytest.mark.parametrize("value", ["v4:", "v6:", "v64:"])
def test_address_list_without_addresses_is_a_list_still(value: str) -> None:
    """It says that the families were asked for; only the prefix is judged (reference: "Prefix match only")."""
    host, domain = decode_host(value), decode_domain("a:" + value)
    assert isinstance(host, AddressList)
    assert host == domain
    assert not any(host.ips)


@pytest.mark.parametrize(
    ("value", "entry"),
    [
        pytest.param("l", Slot.LOCKED, id="the-lock"),
        pytest.param("", None, id="empty-string-is-absent"),
        pytest.param("err:250", Outcome(Verdict.ERROR, "250"), id="any-three-digits-are-a-code"),
        pytest.param("err:000", Outcome(Verdict.ERROR, "000"), id="even-zeros"),
        pytest.param("err", Slot.GARBAGE, id="error-without-code"),
        pytest.param("err:", Slot.GARBAGE, id="error-with-empty-code"),
        pytest.param("err:42", Slot.GARBAGE, id="two-digits"),
        pytest.param("err:4211", Slot.GARBAGE, id="four-digits"),
        pytest.param("err:421\n", Slot.GARBAGE, id="newline-after-the-code"),
        pytest.param("err:\u0664\u0662\u0661", Slot.GARBAGE, id="digits-of-another-script"),
        pytest.param("L", Slot.GARBAGE, id="upper-case-lock"),
        pytest.param("GD", Slot.GARBAGE, id="upper-case-verdict"),
        pytest.param("gd ", Slot.GARBAGE, id="trailing-blank"),
        pytest.param("no", Slot.GARBAGE, id="verdict-of-a-domain"),
        pytest.param("unavailable", Slot.GARBAGE, id="a-verdict-that-is-never-cached"),
        pytest.param("ratelimited", Slot.GARBAGE, id="nor-this-one"),
        pytest.param("inflight", Slot.GARBAGE, id="another-one"),
        pytest.param("\x00", Slot.GARBAGE, id="nul"),
    ],
)
def test_address_value(value: str, entry: AddressEntry | None) -> None:
    assert decode_address(value) == entry
