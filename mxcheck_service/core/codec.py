"""The grammar of cached values, shared byte for byte with the reference:

    d:<domain>  mx:<host>:<preference>,... | a:<families>:<ip>,... | no | bkn | null | df
    m:<host>    <families>:<ip>,... | no | df
    i:<ip>      gd | rf | tc | tr | inv | err:<three digits> | l

`<families>` is v4, v6 or v64: which were asked for when the entry was written. Decoding returns None for whatever is
not in the grammar: to a reader that is a miss. Others may write to the same Redis, so a value is of any length, and its
hosts may have any name: those that cannot be asked for are dropped.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from mxcheck_service.core.model import Family, MxHost, Outcome, Verdict
from mxcheck_service.core.networks import REMEMBERED


@dataclass(frozen=True, slots=True)
class MxList:
    """MX hosts in the order they are to be asked."""

    hosts: tuple[MxHost, ...]


@dataclass(frozen=True, slots=True)
class AddressList:
    """The addresses of a name, and the families that were asked for when they were found."""

    families: Family
    ips: tuple[str, ...]


class Slot(Enum):
    """What an `i:` entry can be besides a verdict: LOCKED, a probe is under way; GARBAGE, to be overwritten."""

    LOCKED = "locked"
    GARBAGE = "garbage"


DomainEntry = MxList | AddressList | Verdict
HostEntry = AddressList | Verdict
AddressEntry = Outcome | Slot

LOCK: Final = "l"

_LONGEST_REMEMBERED: Final = 4096
"""Characters of a value whose decoded form is kept; those of a hundred hosts have fewer."""

_FAMILY_TAGS = {"v4": Family.V4, "v6": Family.V6, "v64": Family.BOTH}
_TAG_OF_FAMILIES = {families: tag for tag, families in _FAMILY_TAGS.items()}
_DOMAIN_VERDICTS = {v.value: v for v in (Verdict.NONE, Verdict.BROKEN, Verdict.NULL, Verdict.DNS_FAIL)}
_HOST_VERDICTS = {v.value: v for v in (Verdict.NONE, Verdict.DNS_FAIL)}
_PROBE_OUTCOMES = {
    v.value: Outcome(v)
    for v in (Verdict.GOOD, Verdict.REFUSED, Verdict.TIMEOUT_CONNECT, Verdict.TIMEOUT_READ, Verdict.INVALID)
}
_ERROR = re.compile(r"err:([0-9]{3})", re.ASCII)
_MX_ENTRY = re.compile(r"([A-Za-z0-9_.-]{0,254}):(-?[0-9]{1,18})", re.ASCII)
_LONGEST: Final = 1 << 16
"""Characters of a value, above which it is nobody's: 250 hosts with the longest names."""


def encode(entry: DomainEntry | Outcome, *, implicit: bool = False) -> str:
    """Return the cached form of an entry; `implicit`: an address list that stands in `d:` (implicit MX)."""
    match entry:
        case MxList(hosts):
            return "mx:" + ",".join(f"{host.exchange}:{host.preference}" for host in hosts)
        case AddressList(families, ips):
            return f"{'a:' if implicit else ''}{_TAG_OF_FAMILIES[families]}:{','.join(ips)}"
        case verdict:
            return str(verdict)


def decode_domain(value: str) -> DomainEntry | None:
    """Decode a `d:` value. An `mx:` list keeps its order, less what is no host with a preference; none left: None."""
    return (_domain if len(value) <= _LONGEST_REMEMBERED else _domain.__wrapped__)(value)


def decode_host(value: str) -> HostEntry | None:
    """Decode an `m:` value."""
    return (_host if len(value) <= _LONGEST_REMEMBERED else _host.__wrapped__)(value)


@lru_cache(maxsize=REMEMBERED)
def _domain(value: str) -> DomainEntry | None:
    if len(value) > _LONGEST:
        return None
    if value.startswith("mx:"):
        matches = (_MX_ENTRY.fullmatch(entry) for entry in value[3:].split(",") if entry)
        hosts = tuple(MxHost(int(match[2]), match[1]) for match in matches if match)
        return MxList(hosts) if hosts else None
    if value.startswith("a:"):
        return _decode_addresses(value[2:])
    return _DOMAIN_VERDICTS.get(value)


@lru_cache(maxsize=REMEMBERED)
def _host(value: str) -> HostEntry | None:
    return _HOST_VERDICTS.get(value) or _decode_addresses(value)


def decode_address(value: str) -> AddressEntry | None:
    """Decode an `i:` value; None for the empty string only, anything else outside the grammar is `Slot.GARBAGE`."""
    if not value:
        return None
    if value == LOCK:
        return Slot.LOCKED
    error = _ERROR.fullmatch(value)
    if error:
        return Outcome(Verdict.ERROR, error[1])
    return _PROBE_OUTCOMES.get(value, Slot.GARBAGE)


def _decode_addresses(value: str) -> AddressList | None:
    tag, colon, body = value.partition(":")
    if not colon or tag not in _FAMILY_TAGS or len(body) > _LONGEST:
        return None
    return AddressList(_FAMILY_TAGS[tag], tuple(body.split(",")))
