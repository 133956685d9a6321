"""What a set of MX records means (reference: is_null_mx, step1_resolve_mx; RFC 7505, RFC 5321 section 5.1)."""

import pytest

from mxcheck_service.core.codec import MxList
from mxcheck_service.core.model import MxHost, Verdict
from mxcheck_service.core.mx import usable

Records = list[tuple[int, str]]


def judge(records: Records, cap: int = 3) -> Records | Verdict:
    entry = usable([MxHost(*record) for record in records], cap, underscores=False)
    return [(host.preference, host.exchange) for host in entry.hosts] if isinstance(entry, MxList) else entry


@pytest.mark.parametrize(
    ("records", "meaning"),
    [
        pytest.param([(0, "")], Verdict.NULL, id="one-root-with-preference-0-is-null-mx"),
        pytest.param([(10, "")], Verdict.BROKEN, id="root-with-another-preference-is-broken"),
        pytest.param([(0, ""), (0, "")], Verdict.BROKEN, id="two-roots-are-broken"),
        pytest.param([(0, ""), (10, "mx.example")], [(10, "mx.example")], id="root-beside-a-host-is-dropped"),
        pytest.param([(0, "mx.example")], [(0, "mx.example")], id="preference-0-with-a-host-is-a-host"),
        pytest.param([(10, "_dc-mx.example")], Verdict.BROKEN, id="placeholder-alone-is-broken"),
        pytest.param([(5, "_dc-mx.example"), (10, "mx.example")], [(10, "mx.example")], id="placeholder-is-dropped"),
        pytest.param([(10, "mx._tcp.example")], [(10, "mx._tcp.example")], id="underscore-further-on-is-kept"),
        pytest.param([(10, "m_x.example")], [(10, "m_x.example")], id="underscore-within-the-first-label-is-kept"),
        pytest.param([(10, "MX.Example")], [(10, "mx.example")], id="names-become-lower-case"),
        pytest.param([(10, "192.0.2.1")], [(10, "192.0.2.1")], id="address-in-place-of-a-name-is-a-name"),
        pytest.param([(10, "mx example")], Verdict.BROKEN, id="blank-in-the-name"),
        pytest.param([(10, "mx\x00.example")], Verdict.BROKEN, id="nul-in-the-name"),
        pytest.param([(10, "mx.example\n")], Verdict.BROKEN, id="newline-after-the-name"),
        pytest.param([(10, "m\u00fcx.example")], Verdict.BROKEN, id="not-ascii"),
        pytest.param([(10, "a,b:5")], Verdict.BROKEN, id="characters-of-the-cache-grammar"),
        pytest.param(
            [(30, "c.example"), (10, "a.example"), (20, "b.example")],
            [(10, "a.example"), (20, "b.example"), (30, "c.example")],
            id="lowest-preference-first",
        ),
        pytest.param(
            [(10, "z.example"), (5, "y.example"), (10, "a.example")],
            [(5, "y.example"), (10, "z.example"), (10, "a.example")],
            id="equal-preferences-keep-their-order",
        ),
        pytest.param(
            [(40, "d.example"), (30, "c.example"), (20, "b.example"), (10, "a.example")],
            [(10, "a.example"), (20, "b.example"), (30, "c.example")],
            id="cut-after-sorting",
        ),
        pytest.param(
            [(1, "_a.example"), (2, "_b.example"), (3, "_c.example"), (4, "d.example")],
            [(4, "d.example")],
            id="dropped-before-the-cut",
        ),
        pytest.param(
            [(10, "mx.example"), (20, "MX.example")],
            [(10, "mx.example"), (20, "mx.example")],
            id="same-host-twice-stays-twice",
        ),
    ],
)
def test_records(records: Records, meaning: Records | Verdict) -> None:
    assert judge(records) == meaning


@pytest.mark.parametrize("cap", [1, 2, 5])
def test_at_most_cap_hosts_are_kept(cap: int) -> None:
    records = [(preference, f"mx{preference}.example") for preference in range(4)]
    assert judge(records, cap) == records[:cap]


def test_names_with_an_underscore_in_front_are_hosts_when_asked_for() -> None:
    records = [MxHost(10, "_dc-mx.example"), MxHost(5, "_")]
    assert usable(records, 3, underscores=True) == MxList((records[1], records[0]))
