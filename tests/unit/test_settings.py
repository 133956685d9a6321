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


CONTRACT = {
    "probe_attempts": (3, 1),
    "wait_for_inflight": (True, False),
    "blame_local_errors": (False, True),
    "loopback_class": ("local", "bogon"),
    "expire_dns_fail": (60, None),
    "skip_address_literals": (True, False),
}
"""Improvement: its value in `recommended`, in `reference`."""


def test_presets_are_those_of_the_contract() -> None:
    assert PRESETS == {"recommended": RECOMMENDED, "reference": REFERENCE}
    assert {name: (getattr(RECOMMENDED, name), getattr(REFERENCE, name)) for name in CONTRACT} == CONTRACT


def test_reference_switches_every_improvement_off() -> None:
    """An improvement that both presets agree on would be no improvement."""
    says_more_of_another = {"greeting_patience", "egress_check"}
    for field in dataclasses.fields(Improvements):
        if field.name not in says_more_of_another:
            assert getattr(RECOMMENDED, field.name) != getattr(REFERENCE, field.name), field.name


@pytest.mark.parametrize(("slow", "patience"), [(3.0, 3.0), (3.0, 1.0)])
def test_a_greeting_is_waited_for_longer_than_it_is_called_slow(slow: float, patience: float) -> None:
    wrong = replace(RECOMMENDED, slow_greeting=slow, greeting_patience=patience)
    assert list(wrong.problems()) == [
        (("greeting_patience", "slow_greeting"), "must be above slow_greeting (3)"),
    ]
    assert list(replace(wrong, greeting_patience=3.1).problems()) == []
    assert list(replace(wrong, slow_greeting=None).problems()) == []


def test_defaults_of_improvements_are_recommended() -> None:
    assert Improvements() == RECOMMENDED
