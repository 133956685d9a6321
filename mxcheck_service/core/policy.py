"""Gates: is this message checked, is it rejected or greylisted, and how long does a verdict live."""

import math
from collections.abc import Collection
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from mxcheck_service.core.model import Action, Outcome, Verdict
from mxcheck_service.core.settings import Improvements, MxCheckSettings

_GREYLIST_SETTING = MappingProxyType(
    {
        Verdict.INVALID: "greylist_invalid",
        Verdict.NONE: "greylist_none",
        Verdict.BROKEN: "greylist_broken",
        Verdict.REFUSED: "greylist_refused",
        Verdict.NULL: "greylist_null",
        Verdict.TIMEOUT_CONNECT: "greylist_timeout_connect",
        Verdict.TIMEOUT_READ: "greylist_timeout_read",
    }
)
"""The verdicts that may greylist. No other one ever does."""


class SkipReason(StrEnum):
    AUTHENTICATED = "authenticated"
    LOCAL = "local"


class Client(NamedTuple):
    """Who handed the message in, as far as the gates ask."""

    authenticated: bool = False
    local: bool = False


def skip_reason(settings: MxCheckSettings, client: Client) -> SkipReason | None:
    """Return why the message is not checked at all, or None (reference: mx_check)."""
    if client.authenticated and not settings.check_authorized:
        return SkipReason.AUTHENTICATED
    if client.local and not settings.check_local:
        return SkipReason.LOCAL
    return None


def rejects(settings: MxCheckSettings, client: Client, verdict: Verdict) -> bool:
    """Tell whether the verdict rejects the message (reference: should_reject)."""
    if client.authenticated and not settings.reject_authorized:
        return False
    if client.local and not settings.reject_local:
        return False
    return verdict is Verdict.NULL and settings.reject_null_mx


def greylists(settings: MxCheckSettings, client: Client, verdict: Verdict) -> bool:
    """Tell whether the verdict asks for greylisting (reference: should_greylist)."""
    if client.authenticated and not settings.greylist_authorized:
        return False
    if client.local and not settings.greylist_local:
        return False
    if rejects(settings, client, verdict):
        return False
    setting = _GREYLIST_SETTING.get(verdict)
    return setting is not None and bool(getattr(settings, setting))


def action(settings: MxCheckSettings, client: Client, verdict: Verdict) -> Action:
    """Return what the verdict about one domain asks for."""
    if rejects(settings, client, verdict):
        return Action.REJECT
    return Action.GREYLIST if greylists(settings, client, verdict) else Action.NO_ACTION


def worst(actions: Collection[Action]) -> Action:
    """Return the one action for the whole message: a rejecting domain outweighs a greylisting one."""
    if Action.REJECT in actions:
        return Action.REJECT
    return Action.GREYLIST if Action.GREYLIST in actions else Action.NO_ACTION


def verdict_ttl(settings: MxCheckSettings, outcome: Outcome) -> int:
    """Return for how many seconds a probe's verdict is cached (reference: ttl_for_verdict).

    A read timeout lives as long as a good one: something accepted the connection, and slow greetings are mostly a
    greet delay, not a dead host.
    """
    match outcome.verdict:
        case Verdict.GOOD | Verdict.TIMEOUT_READ | Verdict.ERROR:
            return settings.expire
        case Verdict.TIMEOUT_CONNECT:
            return settings.expire_timeout
        case _:
            return settings.expire_novalid


def lock_ttl(settings: MxCheckSettings) -> int:
    """Return the seconds after which a probe lock frees itself (reference: lock_ttl_seconds)."""
    return math.ceil(settings.connect_timeout + (settings.read_timeout if settings.verify_greeting else 0) + 1)


def provisional_ttl(settings: MxCheckSettings, improvements: Improvements) -> int:
    """Return for how many seconds a verdict is cached that a greeting still to come may overwrite.

    It lasts until that is given up, with time to write what came of it; and no longer, should the process die.
    """
    return math.ceil(improvements.greeting_patience) + lock_ttl(settings)


def renewal_window(settings: MxCheckSettings) -> float:
    """Return the seconds before the end of an entry in which it may be renewed: a tenth of the shorter-lived kind."""
    return min(settings.expire_dns or settings.expire, settings.expire) / 10
