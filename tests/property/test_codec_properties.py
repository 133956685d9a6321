"""Cached values: what is written is read back as it was, and whatever stands there can be read."""

import string

from hypothesis import given
from hypothesis import strategies as st

from mxcheck_service.core.codec import (
    AddressList,
    MxList,
    Slot,
    decode_address,
    decode_domain,
    decode_host,
    encode,
)
from mxcheck_service.core.model import Family, MxHost, Outcome, Verdict

any_text = st.text(st.characters(codec=None, exclude_categories=()))
grammar = st.text("aelmnodfrgtcivxbkus0123456789:,.-_\n ")
like_a_value = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["mx:", "a:", "a:v4:", "v4:", "v6:", "v64:", "err:", "", "gd", "no", "l"]),
        st.one_of(grammar, any_text),
    ),
)
values = st.one_of(any_text, grammar, like_a_value)

names = st.text(string.ascii_lowercase + string.digits + "-_.", min_size=1, max_size=60)
hosts = st.builds(MxHost, st.integers(0, 65535), names)
mx_lists = st.builds(MxList, st.lists(hosts, min_size=1, max_size=10).map(tuple))
ips = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
families = st.sampled_from([Family.V4, Family.V6, Family.BOTH])
address_lists = st.builds(AddressList, families, st.lists(ips, min_size=1, max_size=10).map(tuple))
probe_outcomes = st.one_of(
    st.sampled_from(
        [
            Outcome(verdict)
            for verdict in (
                Verdict.GOOD,
                Verdict.REFUSED,
                Verdict.TIMEOUT_CONNECT,
                Verdict.TIMEOUT_READ,
                Verdict.INVALID,
            )
        ]
    ),
    st.from_regex(r"[45][0-9]{2}", fullmatch=True).map(lambda code: Outcome(Verdict.ERROR, code)),
)


@given(mx_lists)
def test_mx_list_is_read_back(entry: MxList) -> None:
    assert decode_domain(encode(entry, implicit=True)) == entry


@given(address_lists)
def test_address_list_is_read_back_in_both_layers(entry: AddressList) -> None:
    assert decode_domain(encode(entry, implicit=True)) == entry
    assert decode_host(encode(entry)) == entry


@given(probe_outcomes)
def test_verdict_is_read_back(outcome: Outcome) -> None:
    assert decode_address(encode(outcome)) == outcome


@given(values)
def test_whatever_stands_there_can_be_read_and_written_again(value: str) -> None:
    """Reading what was written for a value that had been read changes nothing any more."""
    domain, host, address = decode_domain(value), decode_host(value), decode_address(value)
    if domain is not None:
        assert decode_domain(encode(domain, implicit=True)) == domain
    if host is not None:
        assert decode_host(encode(host)) == host
    if isinstance(address, Outcome):
        assert encode(address) == value
    assert (address is None) == (value == "")
    assert (address is Slot.LOCKED) == (value == "l")


@given(values)
def test_value_of_one_layer_is_never_taken_for_a_verdict_of_another(value: str) -> None:
    if isinstance(decode_address(value), Outcome):
        assert decode_domain(value) is None
        assert decode_host(value) is None
    if isinstance(decode_host(value), AddressList):
        assert decode_domain(value) is None
