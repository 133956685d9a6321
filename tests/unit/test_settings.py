"""Settings as plain data: checks across them (the reference's set-up checks), and the two presets (CONTRACT)."""

import dataclasses
from dataclasses import replace

import pytest

from mxcheck_service.core.settings import PRESETS, RECOMMENDED, REFERENCE, Improvements, MxCheckSettings

SETTINGS = MxCheckSettings()


def test_defaults_go_together() -> None:
    assert list(SETTINGS.problems()) == []


@pytest.mark.parametrize(
    ("settings", "blamed"),
    [
        pytest.param(replace(SETTINGS, probe_ipv4=False), [("probe_ipv4", "probe_ipv6")], id="no-family"),
        pytest.param(
            replace(SETTINGS, check_from=False, check_mime_from=False, check_reply_to=False),
            [("check_from", "check_mime_from", "check_reply_to")],
            id="no-source",
        ),
        pytest.param(
            replace(SETTINGS, probe_ipv6=True, max_mx_a_records=1),
            [("max_mx_a_records", "probe_ipv4", "probe_ipv6")],
            id="no-room-for-both-families",
        ),
        pytest.param(
            replace(SETTINGS, probe_ipv4=False, check_from=False, check_mime_from=False, check_reply_to=False),
            [("probe_ipv4", "probe_ipv6"), ("check_from", "check_mime_from", "check_reply_to")],
            id="two-at-once",
        ),
    ],
)
def test_settings_that_do_not_go_together(settings: MxCheckSettings, blamed: list[tuple[str, ...]]) -> None:
    problems = list(settings.problems())
    assert [involved for involved, _ in problems] == blamed
    assert all(message for _, message in problems)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(replace(SETTINGS, probe_ipv4=False, probe_ipv6=True), id="ipv6-only"),
        pytest.param(replace(SETTINGS, max_mx_a_records=1), id="one-record-for-one-family"),
        pytest.param(replace(SETTINGS, probe_ipv6=True, max_mx_a_records=2), id="two-records-for-two-families"),
        pytest.param(replace(SETTINGS, check_from=False, check_mime_from=False), id="reply-to-only"),
        pytest.param(replace(SETTINGS, check_reply_to=False, check_mime_from=False), id="from-only"),
        pytest.param(replace(SETTINGS, check_from=False, check_reply_to=False), id="mime-from-only"),
    ],
)
def test_settings_at_the_edge_that_do(settings: MxCheckSettings) -> None:
    assert list(settings.problems()) == []


def test_presets_are_those_of_the_contract() -> None:
    assert PRESETS == {"recommended": RECOMMENDED, "reference": REFERENCE}
    assert dataclasses.asdict(RECOMMENDED) == {
        "probe_attempts": 3,
        "wait_for_inflight": True,
        "blame_local_errors": False,
        "loopback_class": "local",
        "expire_dns_fail": 60,
        "skip_address_literals": True,
        "refresh_ahead": True,
        "circuit_breaker": True,
        "egress_check": (),
    }
    assert dataclasses.asdict(REFERENCE) == {
        "probe_attempts": 1,
        "wait_for_inflight": False,
        "blame_local_errors": True,
        "loopback_class": "bogon",
        "expire_dns_fail": None,
        "skip_address_literals": False,
        "refresh_ahead": False,
        "circuit_breaker": False,
        "egress_check": (),
    }


def test_reference_switches_every_improvement_off() -> None:
    """An improvement that both presets agree on would be none. `egress_check` is part of `circuit_breaker`."""
    for field in dataclasses.fields(Improvements):
        if field.name == "egress_check":
            continue
        assert getattr(RECOMMENDED, field.name) != getattr(REFERENCE, field.name), field.name


def test_defaults_of_improvements_are_recommended() -> None:
    assert Improvements() == RECOMMENDED
