"""Results for a person at a terminal, and the symbol table in its forms."""

import io
import json
import re

import pytest
from rich.console import Console, RenderableType

from mxcheck_service import present
from mxcheck_service.checker import DomainReport, Report
from mxcheck_service.core.model import Action, Candidate, DomainResult, Lookup, Outcome, Source, SymbolHit, Verdict
from mxcheck_service.core.settings import MxCheckSettings
from mxcheck_service.trace import Trace
from tests.unit.fakes import FakeClock

SETTINGS = MxCheckSettings()


def shown(renderable: RenderableType, *, width: int = 100, colour: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    console.print(renderable)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def report(lookup: Lookup, *hits: SymbolHit, trace: Trace | None = None) -> Report:
    candidate = Candidate("d.example", Source.FROM)
    steps = trace.steps if trace else ()
    domain = DomainReport(DomainResult(candidate, lookup), Action.GREYLIST, hits, 0.012, steps)
    return Report(None, Action.GREYLIST, None, {hit.name: hit for hit in hits}, [domain], False)


def hit(name: str, metric_score: float, *options: str) -> SymbolHit:
    return SymbolHit(name, metric_score, options, "What it means")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_a_sentence_about_the_target(verdict: Verdict) -> None:
    outcome = Outcome(verdict, "554" if verdict is Verdict.ERROR else None)
    text = shown(
        present.report("jo@d.example", report(Lookup(outcome, "mx.example", key="what-matched")), 0.0134, explain=False)
    )
    first = text.splitlines()[0]
    assert re.fullmatch(r"jo@d\.example  \S.*\S", first)
    assert "{" not in first
    assert "None" not in first


@pytest.mark.parametrize(
    ("lookup", "words"),
    [
        pytest.param(Lookup(Outcome(Verdict.GOOD), "mx.example"), ["mx.example"], id="host"),
        pytest.param(Lookup(Outcome(Verdict.ERROR, "554"), "mx.example"), ["mx.example", "554"], id="code"),
        pytest.param(Lookup(Outcome(Verdict.BAD_IP), "mx.example", key="11.0.0.1"), ["11.0.0.1"], id="map-key"),
        pytest.param(Lookup(Outcome(Verdict.GOOD), "mx.example", cached=True), ["(cached)"], id="cached"),
    ],
)
def test_sentence_names_what_it_is_about(lookup: Lookup, words: list[str]) -> None:
    first = shown(present.report("d.example", report(lookup), 0.0134, explain=False)).splitlines()[0]
    assert all(word in first for word in words)
    assert ("cached" in first) is lookup.cached


def test_symbols_score_and_action_are_shown() -> None:
    result = report(Lookup(Outcome(Verdict.REFUSED), "mx.example"), hit("MX_REFUSED", 3.0, "mx.example", "x"))
    text = shown(present.report("d.example", result, 0.0134, explain=False))
    assert re.search(r"MX_REFUSED +\+3\.0 +mx\.example, x +What it means", text)
    assert re.search(r"score \+3\.0, greylist, 13 ms", text)


def test_colours_tell_against_from_for_and_are_for_terminals_only() -> None:
    result = report(
        Lookup(Outcome(Verdict.GOOD), "mx.example"), hit("AGAINST", 3.0), hit("FOR", -0.1), hit("NEITHER", 0.0)
    )
    coloured = shown(present.report("d.example", result, 0.0134, explain=False), colour=True)
    assert re.search(r"\x1b\[31mAGAINST", coloured)
    assert re.search(r"\x1b\[32mFOR", coloured)
    assert not re.search(r"\x1b\[3[12]mNEITHER", coloured)
    assert "\x1b" not in shown(present.report("d.example", result, 0.0134, explain=False))


def test_steps_are_shown_only_when_asked_for() -> None:
    clock = FakeClock()
    trace = Trace(clock)
    clock.now += 0.0015
    trace.saw("dns", type="MX", question="d.example", answer=["10 mx.example."])
    trace.saw("cache", layer="d", value=None, usable=False)
    trace.saw("probe", greeting=[], text="220 hi\x1b[31m\r\n")
    result = report(Lookup(Outcome(Verdict.GOOD), "mx.example"), trace=trace)
    text = shown(present.report("d.example", result, 0.0134, explain=True), width=200)
    assert re.search(r"1\.5 ms +dns +type=MX +question=d\.example +answer=10 mx\.example\.", text)
    assert re.search(r"cache +layer=d +value=- +usable=False", text)
    assert re.search(r"probe +greeting=- +text=220 hi\\u001b\[31m\\u000d\\u000a", text)
    assert "dns" not in shown(present.report("d.example", result, 0.0134, explain=False))


NASTY = "\x1b[2J\x9b31m\r\nMX_GOOD[red]{host}\ud800"


@pytest.mark.parametrize("colour", [False, True])
def test_nothing_from_the_wire_gets_at_the_terminal(colour: bool) -> None:
    """Names may come out of a shared cache, where anything can stand."""
    trace = Trace(FakeClock())
    trace.saw("cache", value=NASTY, answer=[NASTY])
    for verdict in (Verdict.GOOD, Verdict.BAD_MX):
        result = report(Lookup(Outcome(verdict), NASTY, key=NASTY), hit("S", 3.0, NASTY), trace=trace)
        text = shown(present.report(NASTY, result, 0.0134, explain=True), width=300, colour=colour)
        assert "\x1b[2J" not in text
        assert not re.search(r"[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\ud800-\udfff]", text)
        assert "MX_GOOD[red]" in text
        assert not any(line.startswith("MX_GOOD[red]") for line in text.splitlines())


def test_symbol_document_has_every_symbol_of_every_source() -> None:
    document = present.symbols_document(SETTINGS)
    assert len(document) == 84
    assert document[0].keys() == {"name", "weight", "description"}
    names = {entry["name"]: entry["weight"] for entry in document}
    assert (names["MX_GOOD"], names["REPLYTO_MX_NULL"], names["MIME_FROM_MX_BOGON_ONLY"]) == (-0.1, 6.0, 8.0)


def test_symbol_table_has_each_name_whole_on_a_line_even_on_a_narrow_terminal() -> None:
    for width in (80, 120):
        rows = {line.split()[0]: line for line in shown(present.symbols_table(SETTINGS), width=width).splitlines()}
        for entry in present.symbols_document(SETTINGS):
            assert f" {entry['weight']:.1f} " in rows[entry["name"]]


def test_symbol_group_is_a_ucl_file_with_every_symbol_once() -> None:
    """For local.d/mx_group.conf, whose content rspamd reads within `group "mx" { ... }`."""
    text = present.symbols_group(SETTINGS)
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == ("symbols = {", "}")
    entry = re.compile(
        r'  "(?P<name>\w+)" \{\n    weight = (?P<weight>-?[\d.]+);\n    description = (?P<description>".*");\n'
        r"    one_shot = true;\n  \}\n"
    )
    found = [match.groupdict() for match in entry.finditer(text)]
    assert "".join(match[0] for match in entry.finditer(text)) == "\n".join(lines[1:-1]) + "\n"
    assert [
        {"name": item["name"], "weight": float(item["weight"]), "description": json.loads(item["description"])}
        for item in found
    ] == present.symbols_document(SETTINGS)
