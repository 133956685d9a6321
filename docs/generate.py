"""Writes the tables of configuration.md from the settings: their docstrings, types, bounds and defaults.

    python -m docs.generate

A test holds the file to what this would write.
"""

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import TypeAdapter

from mxcheck_service import settings
from mxcheck_service.config import ENV_PREFIX
from mxcheck_service.core import settings as core
from mxcheck_service.core.settings import PRESETS
from mxcheck_service.settings import Settings

TARGET: Final = Path(__file__).parent / "configuration.md"
_TABLE: Final = re.compile(r"(?<=^<!-- settings: )(\w+) -->$.*?^(?=<!-- end -->$)", re.MULTILINE | re.DOTALL)
_SECTIONS: Final[Mapping[str, tuple[ModuleType, str]]] = {
    "server": (settings, "ServerSettings"),
    "cache": (settings, "CacheSettings"),
    "dns": (settings, "DnsSettings"),
    "maps": (settings, "MapsSettings"),
    "mx_check": (core, "MxCheckSettings"),
    "improvements": (core, "Improvements"),
}


def rewritten(text: str) -> str:
    """Return the text with the tables that stand in its marked places written anew."""
    return _TABLE.sub(lambda place: f"{place[1]} -->\n\n{_section(place[1])}\n", text)


def _section(name: str) -> str:
    module, cls = _SECTIONS[name]
    properties = TypeAdapter(Settings).json_schema()["$defs"][cls]["properties"]
    described = dict(_docstrings(inspect.getsource(module), cls))
    symbols = [key for key in properties if key.startswith("symbol_")]
    others = [key for key in properties if key not in symbols]
    variable = f"{ENV_PREFIX}{name.upper()}__"
    text = f"In the environment `{variable}<SETTING>`, such as `{variable}{others[0].upper()}`.\n\n"
    reference = asdict(PRESETS["reference"]) if name == "improvements" else None
    columns = ("setting", "values", *(("recommended", "reference") if reference else ("default",)), "meaning")
    text += _row(*columns) + _row(*("---" for _ in columns))
    for key in others:
        defaults = [properties[key].get("default"), *([reference[key]] if reference else [])]
        text += _row(f"`{key}`", _values(properties[key]), *map(_code, defaults), described[key])
    if symbols:
        text += "\nNames of symbols: a prefix for each source, and a name for each outcome.\n\n"
        text += _row("setting", "default") + _row("---", "---")
        text += "".join(_row(f"`{key}`", _code(properties[key].get("default"))) for key in symbols)
    return text


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _docstrings(source: str, cls: str) -> Iterator[tuple[str, str]]:
    """Yield (attribute, the string behind it) of a class, on one line and fit for a cell."""
    (found,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == cls)
    for before, after in zip(found.body, found.body[1:], strict=False):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            yield before.target.id, " ".join(str(after.value.value).split()).replace("|", "\\|")


def _values(schema: Mapping[str, Any]) -> str:
    """Return what a setting may be, from its JSON schema."""
    if "anyOf" in schema:
        return ", or ".join(dict.fromkeys(_values(choice) for choice in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    match schema.get("type"):
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number" as kind:
            return f"{'a whole number' if kind == 'integer' else 'a number'}{_bounds(schema)}"
        case "array":
            return "a list"
        case "null":
            return "`null`"
        case _:
            return "text, not empty" if schema.get("minLength") else "text"


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
    bounds = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    return f", {' and '.join(bounds)}" if bounds else ""


def _code(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    TARGET.write_text(rewritten(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
