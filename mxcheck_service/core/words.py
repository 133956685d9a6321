"""Verdicts in words, for people: on a terminal and in the console."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from mxcheck_service.core.model import Verdict


class Kind(StrEnum):
    """What a verdict tells about a sender."""

    GOOD = "good"
    """The domain receives mail."""
    BAD = "bad"
    """It does not, or is not to be trusted."""
    UNKNOWN = "unknown"
    """We could not find out."""
    NEUTRAL = "neutral"
    """Nobody looked, because a map says so."""


class Words(NamedTuple):
    """`sentence` goes on after the domain's name. In braces: the `host`, an SMTP reply `code`, a map hit's `key`."""

    kind: Kind
    sentence: str


WORDS: Final[Mapping[Verdict, Words]] = MappingProxyType(
    {
        Verdict.GOOD: Words(Kind.GOOD, "receives mail: {host} answers"),
        Verdict.REFUSED: Words(Kind.BAD, "{host} refuses connections"),
        Verdict.TIMEOUT_CONNECT: Words(Kind.BAD, "{host} does not answer"),
        Verdict.TIMEOUT_READ: Words(Kind.BAD, "{host} accepts connections but sends no greeting in time"),
        Verdict.INVALID: Words(Kind.BAD, "{host} does not speak SMTP"),
        Verdict.ERROR: Words(Kind.GOOD, "{host} speaks SMTP but turns us away ({code})"),
        Verdict.NONE: Words(Kind.BAD, "has no MX, A or AAAA record, or does not exist"),
        Verdict.BROKEN: Words(Kind.BAD, "has MX records, but none of their hosts resolves"),
        Verdict.NULL: Words(Kind.BAD, "says it receives no mail (Null MX)"),
        Verdict.DNS_FAIL: Words(Kind.UNKNOWN, "DNS gave no answer for now"),
        Verdict.WHITE: Words(Kind.GOOD, "is trusted by a map"),
        Verdict.SKIP: Words(Kind.NEUTRAL, "is not probed, a map says so"),
        Verdict.BAD_MX: Words(Kind.BAD, "has an MX host listed as bad: {key}"),
        Verdict.BAD_IP: Words(Kind.BAD, "has an MX address listed as bad: {key}"),
        Verdict.IP_CLASS_SKIPPED: Words(Kind.BAD, "{host} has no public address"),
        Verdict.INFLIGHT: Words(Kind.UNKNOWN, "is being probed; no verdict yet"),
        Verdict.REDIS_ERROR: Words(Kind.UNKNOWN, "was not probed, the cache failed"),
        Verdict.UNAVAILABLE: Words(Kind.UNKNOWN, "could not be probed from here"),
        Verdict.RATELIMITED: Words(Kind.UNKNOWN, "was not probed, too many probes just now"),
    }
)
