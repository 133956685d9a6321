"""Results for a person at a terminal, and the symbol table in its three forms."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mxcheck_service.cache import surgery
from mxcheck_service.cache.layers import Entry, Layer
from mxcheck_service.checker import DomainReport, Report
from mxcheck_service.core import symbols
from mxcheck_service.core.settings import MxCheckSettings
from mxcheck_service.core.words import WORDS
from mxcheck_service.doctor.rows import Row, Status
from mxcheck_service.log import escape
from mxcheck_service.trace import Fact, Step

_HEALTH = {Status.OK: "green", Status.SKIP: "dim", Status.WARN: "yellow", Status.FAIL: "bold red"}


def report(target: str, result: Report, seconds: float, *, explain: bool) -> RenderableType:
    """Return the answer about one target, which took so many seconds."""
    lines: list[RenderableType] = []
    for domain in result.domains:
        lines.append(_sentence(target, domain))
        if explain:
            lines.append(_steps(domain))
    table = _table()
    for hit in result.symbols.values():
        table.add_row(
            Text(hit.name, style=_style(hit.score)),
            Text(f"{hit.score:+.1f}", style=_style(hit.score), justify="right"),
            Text(escape(", ".join(hit.options))),
            Text(hit.description, style="dim"),
        )
    lines.append(table)
    lines.append(Text(f"  score {result.score:+.1f}, {result.action}, {seconds * 1000:.0f} ms"))
    return Group(*lines)


def plain_json(document: bytes) -> str:
    """Return a document for a terminal as well: in ASCII, since JSON itself leaves much in place that one obeys."""
    return json.dumps(json.loads(document), separators=(",", ":"))


def cache_entry(layer: Layer, entry: Entry) -> RenderableType:
    """Return what stands under a key of the cache."""
    table = _table()
    table.add_row("value", Text(escape(entry.value)))
    table.add_row("meaning", Text(escape(surgery.meaning(layer, entry.decoded))))
    table.add_row("age", "unknown" if entry.age is None else f"{entry.age:.0f} s")
    table.add_row("left", "no end" if math.isinf(entry.left) else f"{entry.left:.0f} s")
    return Group(Text(escape(entry.key), style="bold"), table)


def health(rows: Iterable[Row]) -> RenderableType:
    """Return the doctor's report."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for row in rows:
        table.add_row(Text(row.status, style=_HEALTH[row.status]), row.area, Text(escape(row.found)))
        if row.advice:
            see = f" (docs/troubleshooting.md#{row.see})" if row.see else ""
            table.add_row("", "", Text(f"-> {escape(row.advice)}{see}", style="dim"))
    return table


def health_document(rows: Sequence[Row]) -> list[dict[str, str]]:
    return [
        {"status": row.status, "area": row.area, "found": row.found, "advice": row.advice, "see": row.see}
        for row in rows
    ]


def symbols_table(settings: MxCheckSettings) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("symbol")
    table.add_column("weight", justify="right")
    table.add_column("meaning")
    for name, spec in symbols.named(settings):
        table.add_row(name, f"{spec.weight:.1f}", spec.description)
    return table


def symbols_document(settings: MxCheckSettings) -> list[dict[str, Any]]:
    return [
        {"name": name, "weight": spec.weight, "description": spec.description} for name, spec in symbols.named(settings)
    ]


def symbols_group(settings: MxCheckSettings) -> str:
    """Return an rspamd group file (UCL), for local.d/mx_group.conf."""

    def lines() -> Iterator[str]:
        yield "symbols = {"
        for name, spec in symbols.named(settings):
            yield f"  {json.dumps(name)} {{"
            yield f"    weight = {spec.weight};"
            yield f"    description = {json.dumps(spec.description)};"
            yield "    one_shot = true;"
            yield "  }"
        yield "}"

    return "\n".join(lines()) + "\n"


def _sentence(target: str, domain: DomainReport) -> Text:
    lookup = domain.result.lookup
    meaning = WORDS[lookup.outcome.verdict].sentence.format(
        host=lookup.host, code=lookup.outcome.smtp_code, key=lookup.key
    )
    text = Text(escape(target), style="bold")
    text.append(f"  {escape(meaning)}", style="not bold")
    if lookup.cached:
        text.append(" (cached)", style="dim not bold")
    return text


def _steps(domain: DomainReport) -> Table:
    table = _table()
    for step in domain.steps:
        table.add_row(Text(f"{step.at * 1000:.1f} ms", justify="right", style="dim"), step.name, _facts(step))
    return table


def _table() -> Table:
    return Table(box=None, padding=(0, 0, 0, 2), pad_edge=True, show_header=False)


def _facts(step: Step) -> Text:
    return Text("  ".join(f"{name}={_shown(value)}" for name, value in step.facts.items()))


def _shown(value: Fact) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return escape(", ".join(value) or "-")
    return escape(str(value)) or '""'


def _style(score: float) -> str:
    return "red" if score > 0 else "green" if score < 0 else ""
