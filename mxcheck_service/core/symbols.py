"""Results into rspamd symbols: the table of symbols, and which of them a result inserts."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

from mxcheck_service.core.model import DomainResult, Source, SymbolHit, Verdict
from mxcheck_service.core.policy import Client, greylists
from mxcheck_service.core.settings import MxCheckSettings


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """A base symbol: the setting that names it, its weight, what it means."""

    setting: str
    weight: float
    description: str


TABLE = (
    SymbolSpec("symbol_bad_mx", 3.0, "MX host accepted the connection but does not speak SMTP"),
    SymbolSpec("symbol_good_mx", -0.1, "Domain has a working MX"),
    SymbolSpec("symbol_white_mx", -0.1, "Domain or MX host is excluded from the check as trusted"),
    SymbolSpec("symbol_mx_refused", 3.0, "MX host refused the connection (port closed)"),
    SymbolSpec("symbol_mx_timeout_connect", 2.0, "MX host did not answer the connection attempt"),
    SymbolSpec("symbol_mx_timeout_read", 0.1, "MX host accepted the connection but sent no greeting in time"),
    SymbolSpec("symbol_mx_error", 0.0, "MX host greeted with 4xx/5xx: it speaks SMTP but turned the probe away"),
    SymbolSpec("symbol_mx_none", 4.0, "Domain has neither MX nor A/AAAA records, or does not exist"),
    SymbolSpec("symbol_mx_null", 6.0, "Domain publishes a Null MX (RFC 7505): it accepts no mail"),
    SymbolSpec("symbol_mx_broken", 4.0, "None of the domain's MX hosts resolves"),
    SymbolSpec("symbol_mx_dns_fail", 0.0, "DNS failed for now (SERVFAIL, REFUSED, timeout); not the sender's fault"),
    SymbolSpec("symbol_mx_local_only", 3.0, "All addresses of the MX are private (RFC 1918, CGNAT, ULA); not probed"),
    SymbolSpec("symbol_mx_local_mix", 3.0, "Some addresses of the MX are private; the public ones were probed"),
    SymbolSpec("symbol_mx_bogon_only", 8.0, "All addresses of the MX are bogons, not routable; not probed"),
    SymbolSpec("symbol_mx_bogon_mix", 5.0, "Some addresses of the MX are bogons; the public ones were probed"),
    SymbolSpec("symbol_mx_skip", 0.0, "exclude_ips left no address of the MX to probe"),
    SymbolSpec("symbol_mx_bad", 6.0, "MX host is listed in bad_mxs"),
    SymbolSpec("symbol_mx_ip_bad", 6.0, "Address of the MX is listed in bad_ips"),
    SymbolSpec("symbol_mx_inflight", 0.0, "Another probe of the address is under way; its verdict will be cached"),
    SymbolSpec("symbol_mx_redis_error", 0.0, "The cache failed while the probe lock was claimed; not probed"),
    SymbolSpec("symbol_mx_probe_unavailable", 0.0, "A fault on our own side kept the probe from telling; not cached"),
    SymbolSpec("symbol_mx_ratelimited", 0.0, "Not probed: too many probes of its mail hosts just now; not cached"),
    SymbolSpec("symbol_mx_a_good", 0.0, "Domain has no MX, and its A/AAAA host takes connections (RFC 5321, 5.1)"),
    SymbolSpec("symbol_mx_a_refused", 3.0, "Domain has no MX and its A/AAAA host refused the connection"),
    SymbolSpec("symbol_mx_a_timeout_connect", 2.5, "Domain has no MX and its A/AAAA host did not answer"),
    SymbolSpec("symbol_mx_a_timeout_read", 0.1, "Domain has no MX and its A/AAAA host sent no greeting in time"),
    SymbolSpec("symbol_mx_a_error", 0.0, "Domain has no MX and its A/AAAA host greeted with 4xx/5xx"),
    SymbolSpec("symbol_mx_a_invalid", 3.0, "Domain has no MX and its A/AAAA host does not speak SMTP"),
)
"""Every base symbol. Its default name is the default of its setting."""

_BY_SETTING = MappingProxyType({spec.setting: spec for spec in TABLE})

_A_TWIN = MappingProxyType(
    {
        "symbol_bad_mx": "symbol_mx_a_invalid",
        "symbol_good_mx": "symbol_mx_a_good",
        "symbol_mx_refused": "symbol_mx_a_refused",
        "symbol_mx_timeout_connect": "symbol_mx_a_timeout_connect",
        "symbol_mx_timeout_read": "symbol_mx_a_timeout_read",
        "symbol_mx_error": "symbol_mx_a_error",
    }
)
"""The form a symbol takes when the host was found by implicit MX."""

_OF_DOMAIN = MappingProxyType(
    {
        Verdict.NONE: "symbol_mx_none",
        Verdict.BROKEN: "symbol_mx_broken",
        Verdict.NULL: "symbol_mx_null",
    }
)
"""Verdicts about the name itself: they report the domain, never a host."""

_OF_HOST = MappingProxyType(
    {
        Verdict.GOOD: "symbol_good_mx",
        Verdict.REFUSED: "symbol_mx_refused",
        Verdict.TIMEOUT_CONNECT: "symbol_mx_timeout_connect",
        Verdict.TIMEOUT_READ: "symbol_mx_timeout_read",
        Verdict.DNS_FAIL: "symbol_mx_dns_fail",
        Verdict.INFLIGHT: "symbol_mx_inflight",
        Verdict.UNAVAILABLE: "symbol_mx_probe_unavailable",
        Verdict.RATELIMITED: "symbol_mx_ratelimited",
    }
)

_OF_MAP = MappingProxyType(
    {
        Verdict.WHITE: "symbol_white_mx",
        Verdict.SKIP: "symbol_mx_skip",
        Verdict.BAD_MX: "symbol_mx_bad",
        Verdict.BAD_IP: "symbol_mx_ip_bad",
    }
)


def prefix(settings: MxCheckSettings, source: Source) -> str:
    return {
        Source.FROM: settings.symbol_prefix_from,
        Source.REPLY_TO: settings.symbol_prefix_reply_to,
        Source.MIME_FROM: settings.symbol_prefix_mime_from,
    }[source]


def named(settings: MxCheckSettings) -> Iterator[tuple[str, SymbolSpec]]:
    """Yield (full name, spec) of every symbol there can be, source by source."""
    for source in Source:
        for spec in TABLE:
            yield prefix(settings, source) + getattr(settings, spec.setting), spec


def hits(settings: MxCheckSettings, client: Client, result: DomainResult) -> Iterator[SymbolHit]:
    """Yield the symbols one domain inserts, in order (reference: emit_ip_class_symbols, emit_outcome)."""
    lookup, domain = result.lookup, result.candidate.domain
    verdict = lookup.outcome.verdict

    def hit(setting: str, *options: str, weight: float = 1.0) -> SymbolHit:
        spec = _BY_SETTING[_A_TWIN.get(setting, setting) if lookup.implicit_mx else setting]
        name = prefix(settings, result.candidate.source) + getattr(settings, spec.setting)
        return SymbolHit(name, spec.weight, options, spec.description, weight)

    if lookup.classes.local:
        kind = "symbol_mx_local_mix" if lookup.classes.has_public else "symbol_mx_local_only"
        yield hit(kind, *lookup.classes.local)
    if lookup.classes.bogon:
        kind = "symbol_mx_bogon_mix" if lookup.classes.has_public else "symbol_mx_bogon_only"
        yield hit(kind, *lookup.classes.bogon)

    if verdict in _OF_DOMAIN:
        yield hit(_OF_DOMAIN[verdict], domain)
    elif verdict in _OF_HOST:
        yield hit(_OF_HOST[verdict], lookup.host)
    elif verdict in _OF_MAP:
        yield hit(_OF_MAP[verdict], lookup.key or domain, weight=lookup.multiplier)
    elif verdict is Verdict.ERROR:
        yield hit("symbol_mx_error", lookup.host, lookup.outcome.smtp_code or "")
        yield hit("symbol_good_mx", lookup.host)
    elif verdict is Verdict.INVALID:
        yield hit("symbol_bad_mx", *(["greylisted"] if greylists(settings, client, verdict) else []))
    elif verdict is Verdict.REDIS_ERROR:
        yield hit("symbol_mx_redis_error")


def merge(hit_list: Iterable[SymbolHit]) -> dict[str, SymbolHit]:
    """Return the symbols by name, each counted once: options add up, the weight of larger magnitude stays.

    Source: rspamd's insert_result for one-shot symbols (src/libmime/scan_result.c).
    """
    merged: dict[str, SymbolHit] = {}
    for hit in hit_list:
        known = merged.get(hit.name)
        if known is None and len(hit.options) < 2:
            merged[hit.name] = hit
        else:
            weight = _heavier(known.weight, hit.weight) if known else hit.weight
            options = known.options + hit.options if known else hit.options
            merged[hit.name] = hit._replace(weight=weight, options=tuple(dict.fromkeys(options)))
    return merged


def _heavier(first: float, second: float) -> float:
    """Return which of two weights stays: the first one, unless the second is of the same sign and larger."""
    same_sign = math.copysign(1, first) == math.copysign(1, second)
    return second if same_sign and abs(second) > abs(first) else first
