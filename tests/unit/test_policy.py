"""The gates and lifetimes (reference: should_reject, should_greylist, ttl_for_verdict)."""

import itertools
from dataclasses import replace

import pytest

from mxcheck_service.core import policy
from mxcheck_service.core.model import Action, Outcome, Verdict
from mxcheck_service.core.policy import Client, SkipReason
from mxcheck_service.core.settings import MxCheckSettings

SETTINGS = MxCheckSettings()
STRANGER = Client()
USER = Client(authenticated=True)
NEIGHBOUR = Client(local=True)
BOTH = Client(authenticated=True, local=True)

GREYLIST = {
    Verdict.INVALID: "greylist_invalid",
    Verdict.NONE: "greylist_none",
    Verdict.BROKEN: "greylist_broken",
    Verdict.REFUSED: "greylist_refused",
    Verdict.NULL: "greylist_null",
    Verdict.TIMEOUT_CONNECT: "greylist_timeout_connect",
    Verdict.TIMEOUT_READ: "greylist_timeout_read",
}


def settings_with(**changes: bool) -> MxCheckSettings:
    return replace(SETTINGS, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("client", "on", "reason"),
    [
        pytest.param(STRANGER, (), None, id="stranger"),
        pytest.param(USER, (), SkipReason.AUTHENTICATED, id="authenticated"),
        pytest.param(NEIGHBOUR, (), SkipReason.LOCAL, id="local"),
        pytest.param(BOTH, (), SkipReason.AUTHENTICATED, id="authenticated-comes-first"),
        pytest.param(USER, ("check_authorized",), None, id="authenticated-opted-in"),
        pytest.param(NEIGHBOUR, ("check_local",), None, id="local-opted-in"),
        pytest.param(BOTH, ("check_authorized",), SkipReason.LOCAL, id="one-opt-in-is-not-enough-for-both"),
        pytest.param(BOTH, ("check_local",), SkipReason.AUTHENTICATED, id="nor-is-the-other"),
        pytest.param(BOTH, ("check_authorized", "check_local"), None, id="both-opted-in"),
    ],
)
def test_which_messages_are_not_checked(client: Client, on: tuple[str, ...], reason: SkipReason | None) -> None:
    assert policy.skip_reason(settings_with(**dict.fromkeys(on, True)), client) is reason


@pytest.mark.parametrize("verdict", list(Verdict))
def test_only_null_mx_rejects_and_only_when_asked_to(verdict: Verdict) -> None:
    assert not policy.rejects(SETTINGS, STRANGER, verdict)
    assert policy.rejects(settings_with(reject_null_mx=True), STRANGER, verdict) is (verdict is Verdict.NULL)


@pytest.mark.parametrize(
    ("client", "on", "rejected"),
    [
        (USER, (), False),
        (NEIGHBOUR, (), False),
        (BOTH, (), False),
        (USER, ("reject_authorized",), True),
        (USER, ("reject_local",), False),
        (NEIGHBOUR, ("reject_local",), True),
        (NEIGHBOUR, ("reject_authorized",), False),
        (BOTH, ("reject_authorized",), False),
        (BOTH, ("reject_local",), False),
        (BOTH, ("reject_authorized", "reject_local"), True),
    ],
)
def test_authenticated_and_local_clients_are_rejected_only_when_opted_in(
    client: Client, on: tuple[str, ...], rejected: bool
) -> None:
    settings = settings_with(reject_null_mx=True, **dict.fromkeys(on, True))
    assert policy.rejects(settings, client, Verdict.NULL) is rejected


@pytest.mark.parametrize("verdict", list(Verdict))
def test_verdicts_that_greylist_by_default(verdict: Verdict) -> None:
    """df, err, skip, inflight, bad, white and the classes never do."""
    assert policy.greylists(SETTINGS, STRANGER, verdict) is (verdict in GREYLIST)


@pytest.mark.parametrize("verdict", list(GREYLIST))
def test_each_greylisting_verdict_has_its_own_switch(verdict: Verdict) -> None:
    settings = settings_with(**{GREYLIST[verdict]: False})
    for other in GREYLIST:
        assert policy.greylists(settings, STRANGER, other) is (other is not verdict)


@pytest.mark.parametrize(
    ("client", "on", "greylisted"),
    [
        (USER, (), False),
        (NEIGHBOUR, (), False),
        (USER, ("greylist_authorized",), True),
        (USER, ("greylist_local",), False),
        (NEIGHBOUR, ("greylist_local",), True),
        (NEIGHBOUR, ("greylist_authorized",), False),
        (BOTH, ("greylist_authorized",), False),
        (BOTH, ("greylist_local",), False),
        (BOTH, ("greylist_authorized", "greylist_local"), True),
    ],
)
def test_authenticated_and_local_clients_are_greylisted_only_when_opted_in(
    client: Client, on: tuple[str, ...], greylisted: bool
) -> None:
    assert policy.greylists(settings_with(**dict.fromkeys(on, True)), client, Verdict.REFUSED) is greylisted


def test_what_is_rejected_is_not_greylisted_too() -> None:
    settings = settings_with(reject_null_mx=True)
    assert not policy.greylists(settings, STRANGER, Verdict.NULL)
    assert policy.greylists(settings, STRANGER, Verdict.NONE)


def test_client_that_may_not_be_rejected_may_get_greylist_instead() -> None:
    """The reject gate says no, so the greylist gate is asked."""
    settings = settings_with(reject_null_mx=True, greylist_authorized=True)
    assert policy.action(settings, USER, Verdict.NULL) is Action.GREYLIST


@pytest.mark.parametrize(
    ("verdicts", "action"),
    [
        ((), Action.NO_ACTION),
        ((Verdict.GOOD,), Action.NO_ACTION),
        ((Verdict.GOOD, Verdict.REFUSED), Action.GREYLIST),
        ((Verdict.DNS_FAIL, Verdict.ERROR, Verdict.BAD_MX), Action.NO_ACTION),
        ((Verdict.REFUSED, Verdict.NULL), Action.REJECT),
        ((Verdict.NULL, Verdict.REFUSED), Action.REJECT),
        ((Verdict.UNAVAILABLE, Verdict.INFLIGHT, Verdict.REDIS_ERROR, Verdict.RATELIMITED), Action.NO_ACTION),
    ],
)
def test_one_action_for_the_whole_message(verdicts: tuple[Verdict, ...], action: Action) -> None:
    settings = settings_with(reject_null_mx=True)
    assert policy.worst([policy.action(settings, STRANGER, verdict) for verdict in verdicts]) is action


@pytest.mark.parametrize(
    ("outcome", "ttl"),
    [
        (Outcome(Verdict.GOOD), 1),
        (Outcome(Verdict.TIMEOUT_READ), 1),
        (Outcome(Verdict.ERROR, "421"), 1),
        (Outcome(Verdict.ERROR, "554"), 1),
        (Outcome(Verdict.TIMEOUT_CONNECT), 2),
        (Outcome(Verdict.REFUSED), 3),
        (Outcome(Verdict.INVALID), 3),
    ],
    ids=str,
)
def test_lifetime_of_a_verdict(outcome: Outcome, ttl: int) -> None:
    settings = replace(SETTINGS, expire=1, expire_timeout=2, expire_novalid=3)
    assert policy.verdict_ttl(settings, outcome) == ttl


@pytest.mark.parametrize(
    ("connect", "read", "verify", "ttl"),
    [
        (2.0, 5.0, False, 3),
        (2.0, 5.0, True, 8),
        (0.1, 0.1, False, 2),
        (0.1, 0.1, True, 2),
        (1.5, 2.5, True, 5),
        (1.5, 2.6, True, 6),
    ],
)
def test_lock_outlives_the_longest_probe_in_whole_seconds(connect: float, read: float, verify: bool, ttl: int) -> None:
    """Reference: lock_ttl_seconds, ceil(connect + (verify ? read : 0) + 1)."""
    settings = replace(SETTINGS, connect_timeout=connect, read_timeout=read, verify_greeting=verify)
    assert policy.lock_ttl(settings) == ttl


def test_null_mx_decides_alike_for_every_combination_of_switches() -> None:
    """Every setting that the two gates read, against the reference's code written out."""
    names = ("reject_null_mx", "reject_authorized", "reject_local", "greylist_authorized", "greylist_local")
    for values in itertools.product((False, True), repeat=len(names)):
        switches = dict(zip(names, values, strict=True))
        settings = settings_with(**switches)
        for user, local in itertools.product((False, True), repeat=2):
            reject = switches["reject_null_mx"]
            reject &= switches["reject_authorized"] or not user
            reject &= switches["reject_local"] or not local
            greylist = not reject
            greylist &= switches["greylist_authorized"] or not user
            greylist &= switches["greylist_local"] or not local
            expected = Action.REJECT if reject else Action.GREYLIST if greylist else Action.NO_ACTION
            assert policy.action(settings, Client(user, local), Verdict.NULL) is expected
