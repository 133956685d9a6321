"""Results into symbols (reference: emit_outcome, emit_ip_class_symbols)."""

import re
from dataclasses import replace

import pytest

from mxcheck_service.core import symbols
from mxcheck_service.core.model import (
    Candidate,
    ClassEvidence,
    DomainResult,
    Lookup,
    Outcome,
    Source,
    SymbolHit,
    Verdict,
)
from mxcheck_service.core.policy import Client
from mxcheck_service.core.settings import MxCheckSettings

SETTINGS = MxCheckSettings()
STRANGER = Client()
DOMAIN = "sender.example"
HOST = "mx.sender.example"

# Base symbol -> weight, as the reference registers them (set_metric_all_sources).
WEIGHTS = {
    "MX_INVALID": 3.0,
    "MX_GOOD": -0.1,
    "MX_WHITE": -0.1,
    "MX_REFUSED": 3.0,
    "MX_TIMEOUT_CONNECT": 2.0,
    "MX_TIMEOUT_READ": 0.1,
    "MX_ERROR": 0.0,
    "MX_NONE": 4.0,
    "MX_NULL": 6.0,
    "MX_BROKEN": 4.0,
    "MX_DNS_FAIL": 0.0,
    "MX_LOCAL_ONLY": 3.0,
    "MX_LOCAL_MIX": 3.0,
    "MX_BOGON_ONLY": 8.0,
    "MX_BOGON_MIX": 5.0,
    "MX_SKIP": 0.0,
    "MX_BAD": 6.0,
    "MX_IP_BAD": 6.0,
    "MX_INFLIGHT": 0.0,
    "MX_REDIS_ERROR": 0.0,
    "MX_A_GOOD": 0.0,
    "MX_A_REFUSED": 3.0,
    "MX_A_TIMEOUT_CONNECT": 2.5,
    "MX_A_TIMEOUT_READ": 0.1,
    "MX_A_ERROR": 0.0,
    "MX_A_INVALID": 3.0,
    "MX_PROBE_UNAVAILABLE": 0.0,
    "MX_RATELIMITED": 0.0,
}
Hits = list[tuple[str, tuple[str, ...]]]


def lookup(
    verdict: Verdict,
    code: str | None = None,
    *,
    host: str = HOST,
    implicit_mx: bool = False,
    classes: ClassEvidence | None = None,
) -> Lookup:
    return Lookup(Outcome(verdict, code), host, implicit_mx=implicit_mx, classes=classes or ClassEvidence())


def all_hits(
    found: Lookup, *, source: Source = Source.FROM, settings: MxCheckSettings = SETTINGS, client: Client = STRANGER
) -> list[SymbolHit]:
    return list(symbols.hits(settings, client, DomainResult(Candidate(DOMAIN, source), found)))


def names_and_options(found: Lookup, source: Source = Source.FROM) -> Hits:
    return [(hit.name, hit.options) for hit in all_hits(found, source=source)]


def test_every_symbol_of_every_source_has_the_references_weight() -> None:
    named = [(name, spec.weight) for name, spec in symbols.named(SETTINGS)]
    expected = {prefix + base: weight for prefix in ("", "REPLYTO_", "MIME_FROM_") for base, weight in WEIGHTS.items()}
    assert len(named) == len(expected)
    assert dict(named) == expected


def test_every_symbol_of_the_settings_is_in_the_table_and_has_a_description() -> None:
    settings = {
        name for name in MxCheckSettings.__dataclass_fields__ if name.startswith("symbol_") and "prefix" not in name
    }
    assert {spec.setting for spec in symbols.TABLE} == settings
    assert all(re.fullmatch(r"\S.+\S", spec.description) for spec in symbols.TABLE)


@pytest.mark.parametrize(
    ("found", "hits"),
    [
        pytest.param(lookup(Verdict.GOOD), [("MX_GOOD", (HOST,))], id="good"),
        pytest.param(lookup(Verdict.REFUSED), [("MX_REFUSED", (HOST,))], id="refused"),
        pytest.param(lookup(Verdict.TIMEOUT_CONNECT), [("MX_TIMEOUT_CONNECT", (HOST,))], id="timeout-connect"),
        pytest.param(lookup(Verdict.TIMEOUT_READ), [("MX_TIMEOUT_READ", (HOST,))], id="timeout-read"),
        pytest.param(lookup(Verdict.INVALID), [("MX_INVALID", ("greylisted",))], id="invalid-greylisted"),
        pytest.param(
            lookup(Verdict.ERROR, "421"), [("MX_ERROR", (HOST, "421")), ("MX_GOOD", (HOST,))], id="error-is-good-too"
        ),
        pytest.param(lookup(Verdict.NONE), [("MX_NONE", (DOMAIN,))], id="none-reports-the-domain"),
        pytest.param(lookup(Verdict.BROKEN), [("MX_BROKEN", (DOMAIN,))], id="broken-reports-the-domain"),
        pytest.param(lookup(Verdict.NULL), [("MX_NULL", (DOMAIN,))], id="null-reports-the-domain"),
        pytest.param(lookup(Verdict.DNS_FAIL, host=DOMAIN), [("MX_DNS_FAIL", (DOMAIN,))], id="dns-fail"),
        pytest.param(lookup(Verdict.INFLIGHT), [("MX_INFLIGHT", (HOST,))], id="inflight"),
        pytest.param(lookup(Verdict.REDIS_ERROR), [("MX_REDIS_ERROR", ())], id="redis-error-has-no-option"),
        pytest.param(lookup(Verdict.UNAVAILABLE), [("MX_PROBE_UNAVAILABLE", (HOST,))], id="unavailable"),
        pytest.param(lookup(Verdict.RATELIMITED), [("MX_RATELIMITED", (HOST,))], id="ratelimited"),
        pytest.param(lookup(Verdict.IP_CLASS_SKIPPED), [], id="class-skipped-has-no-symbol-of-its-own"),
        pytest.param(lookup(Verdict.WHITE), [("MX_WHITE", (DOMAIN,))], id="white-without-key"),
    ],
)
def test_symbols_of_a_verdict(found: Lookup, hits: Hits) -> None:
    assert names_and_options(found) == hits


@pytest.mark.parametrize(
    ("found", "hits"),
    [
        pytest.param(lookup(Verdict.GOOD), [("MX_A_GOOD", (HOST,))], id="good"),
        pytest.param(lookup(Verdict.REFUSED), [("MX_A_REFUSED", (HOST,))], id="refused"),
        pytest.param(lookup(Verdict.TIMEOUT_CONNECT), [("MX_A_TIMEOUT_CONNECT", (HOST,))], id="timeout-connect"),
        pytest.param(lookup(Verdict.TIMEOUT_READ), [("MX_A_TIMEOUT_READ", (HOST,))], id="timeout-read"),
        pytest.param(lookup(Verdict.INVALID), [("MX_A_INVALID", ("greylisted",))], id="invalid"),
        pytest.param(lookup(Verdict.ERROR, "554"), [("MX_A_ERROR", (HOST, "554")), ("MX_A_GOOD", (HOST,))], id="error"),
        pytest.param(lookup(Verdict.NONE), [("MX_NONE", (DOMAIN,))], id="none-has-no-such-form"),
        pytest.param(lookup(Verdict.DNS_FAIL), [("MX_DNS_FAIL", (HOST,))], id="nor-dns-fail"),
        pytest.param(lookup(Verdict.BAD_IP), [("MX_IP_BAD", (DOMAIN,))], id="nor-bad"),
        pytest.param(lookup(Verdict.SKIP), [("MX_SKIP", (DOMAIN,))], id="nor-skip"),
        pytest.param(lookup(Verdict.INFLIGHT), [("MX_INFLIGHT", (HOST,))], id="nor-inflight"),
        pytest.param(lookup(Verdict.REDIS_ERROR), [("MX_REDIS_ERROR", ())], id="nor-redis-error"),
        pytest.param(lookup(Verdict.UNAVAILABLE), [("MX_PROBE_UNAVAILABLE", (HOST,))], id="nor-unavailable"),
        pytest.param(lookup(Verdict.RATELIMITED), [("MX_RATELIMITED", (HOST,))], id="nor-ratelimited"),
    ],
)
def test_symbols_of_an_implicit_mx(found: Lookup, hits: Hits) -> None:
    assert names_and_options(replace(found, implicit_mx=True)) == hits


@pytest.mark.parametrize(
    ("verdict", "name"),
    [
        (Verdict.WHITE, "MX_WHITE"),
        (Verdict.SKIP, "MX_SKIP"),
        (Verdict.BAD_MX, "MX_BAD"),
        (Verdict.BAD_IP, "MX_IP_BAD"),
    ],
)
def test_verdict_of_a_map_reports_the_key_and_takes_the_entrys_multiplier(verdict: Verdict, name: str) -> None:
    (hit,) = all_hits(Lookup(Outcome(verdict), DOMAIN, key="what matched", multiplier=2.5))
    assert (hit.name, hit.options, hit.weight) == (name, ("what matched",), 2.5)
    assert hit.score == pytest.approx(WEIGHTS[name] * 2.5)


def test_invalid_is_marked_greylisted_only_when_the_gate_says_so() -> None:
    """MX_INVALID's option is `greylisted` or nothing, never the host."""
    (off,) = all_hits(lookup(Verdict.INVALID), settings=replace(SETTINGS, greylist_invalid=False))
    (user,) = all_hits(lookup(Verdict.INVALID), client=Client(authenticated=True))
    assert off.options == user.options == ()


LOCALS, BOGONS = ("10.0.0.1", "10.0.0.2"), ("192.0.2.1",)


@pytest.mark.parametrize(
    ("classes", "hits"),
    [
        pytest.param(ClassEvidence(LOCALS, (), False), [("MX_LOCAL_ONLY", LOCALS)], id="local-only"),
        pytest.param(ClassEvidence((), BOGONS, False), [("MX_BOGON_ONLY", BOGONS)], id="bogon-only"),
        pytest.param(
            ClassEvidence(LOCALS, BOGONS, False),
            [("MX_LOCAL_ONLY", LOCALS), ("MX_BOGON_ONLY", BOGONS)],
            id="both-only-together",
        ),
    ],
)
@pytest.mark.parametrize("implicit", [False, True], ids=["mx", "implicit-mx"])
def test_classes_without_a_public_address(classes: ClassEvidence, hits: Hits, implicit: bool) -> None:
    assert names_and_options(lookup(Verdict.IP_CLASS_SKIPPED, classes=classes, implicit_mx=implicit)) == hits


@pytest.mark.parametrize("implicit", [False, True], ids=["mx", "implicit-mx"])
@pytest.mark.parametrize("verdict", [Verdict.GOOD, Verdict.REFUSED, Verdict.BAD_IP, Verdict.SKIP, Verdict.INFLIGHT])
def test_classes_beside_a_public_address_are_mix_and_the_verdicts_symbol_comes_on_top(
    verdict: Verdict, implicit: bool
) -> None:
    found = lookup(verdict, classes=ClassEvidence(LOCALS, BOGONS, True), implicit_mx=implicit)
    names = [hit.name for hit in all_hits(found)]
    assert names[:2] == ["MX_LOCAL_MIX", "MX_BOGON_MIX"]
    assert len(names) == 3


@pytest.mark.parametrize(
    ("source", "prefix"), [(Source.FROM, ""), (Source.REPLY_TO, "REPLYTO_"), (Source.MIME_FROM, "MIME_FROM_")]
)
def test_every_symbol_has_the_prefix_of_its_source(source: Source, prefix: str) -> None:
    found = lookup(Verdict.ERROR, "421", classes=ClassEvidence(LOCALS, (), True))
    names = [name for name, _ in names_and_options(found, source)]
    assert names == [f"{prefix}MX_LOCAL_MIX", f"{prefix}MX_ERROR", f"{prefix}MX_GOOD"]


def test_names_and_prefixes_are_those_of_the_settings() -> None:
    settings = replace(SETTINGS, symbol_good_mx="FINE", symbol_mx_a_good="FINE_A", symbol_prefix_from="ENV_")
    (hit,) = all_hits(lookup(Verdict.GOOD), settings=settings)
    (implicit,) = all_hits(lookup(Verdict.GOOD, implicit_mx=True), settings=settings)
    assert (hit.name, implicit.name) == ("ENV_FINE", "ENV_FINE_A")


def hit(name: str, *options: str, weight: float = 1.0) -> SymbolHit:
    return SymbolHit(name, 3.0, options, "", weight)


@pytest.mark.parametrize(
    ("hits", "options", "weight"),
    [
        pytest.param([hit("S", "a")], ("a",), 1.0, id="one"),
        pytest.param([hit("S", "a"), hit("S", "b")], ("a", "b"), 1.0, id="options-add-up-counted-once"),
        pytest.param([hit("S", "a"), hit("S", "b", "a")], ("a", "b"), 1.0, id="each-option-once"),
        pytest.param([hit("S", "1", "1")], ("1",), 1.0, id="each-option-once-within-a-hit"),
        pytest.param([hit("S"), hit("S", weight=2)], (), 2.0, id="larger-weight-later"),
        pytest.param([hit("S", weight=2), hit("S")], (), 2.0, id="larger-weight-first"),
        pytest.param([hit("S", weight=-1), hit("S", weight=-2)], (), -2.0, id="larger-magnitude-of-negative-ones"),
        pytest.param([hit("S"), hit("S", weight=-2)], (), 1.0, id="other-sign-never-replaces-the-first"),
        pytest.param([hit("S", weight=-2), hit("S", weight=3)], (), -2.0, id="nor-the-other-way-round"),
        pytest.param([hit("S", weight=0), hit("S", weight=0.5)], (), 0.5, id="zero-gives-way"),
    ],
)
def test_one_symbol_of_several_domains(hits: list[SymbolHit], options: tuple[str, ...], weight: float) -> None:
    """As rspamd's insert_result does for one-shot symbols; of weights of different signs the first one stays."""
    merged = symbols.merge(hits)
    assert list(merged) == ["S"]
    assert (merged["S"].options, merged["S"].weight) == (options, weight)
    assert merged["S"].score == 3.0 * weight


def test_symbols_of_different_names_stay_apart_in_order() -> None:
    assert list(symbols.merge([hit("B"), hit("A"), hit("B")])) == ["B", "A"]
    assert symbols.merge([]) == {}
