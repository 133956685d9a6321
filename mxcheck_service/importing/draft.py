"""The settings that are being put together, with remarks, and how they are written down."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mxcheck_service.config import ConfigError, parse
from mxcheck_service.log import escape
from mxcheck_service.settings import Settings

_WIDTH: Final = 118
_HEAD: Final = """\
# Made by `mxcheck config import` from rspamd's mx_check. What is not here has its default; config.example.yaml has all.
# Commented lines had no counterpart; the text below each says why.

# Decide as the plugin does. For what this service does better, write `recommended`: docs/verdicts.md tells what it is.
"""


@dataclass(frozen=True, slots=True)
class _Line:
    section: str
    key: str
    value: Any
    remark: str
    taken: bool


class Draft:
    """Settings in the order of coming, and what had to be left out."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], _Line] = {}

    def put(self, section: str, key: str, value: Any, remark: str = "") -> None:
        """Set a setting, unless it has its default anyway and there is nothing to be said."""
        if remark or value != _default(section, key):
            self._lines[section, key] = _Line(section, key, value, remark, taken=True)

    def leave_out(self, section: str, key: str, value: Any, why: str) -> None:
        """Note what is not taken over; a value of None is not shown, since it may be a secret."""
        self._lines[section, f"# {key}"] = _Line(section, key, value, why, taken=False)

    @property
    def left_out(self) -> int:
        """How many settings are not taken over."""
        return sum(not line.taken for line in self._lines.values())

    def settle(self) -> None:
        """Leave out what the service would refuse, so that the rest loads."""
        while True:
            try:
                parse(self._tree())
                return
            except ConfigError as error:
                named = [problem.partition(": ") for problem in error.problems]
                refused = [(*name.split("."), why) for name, _, why in named]
                if not any((section, key) in self._lines for section, key, _ in refused):
                    raise
                for section, key, why in refused:
                    if line := self._lines.pop((section, key), None):
                        self.leave_out(section, key, None if section == "cache" else line.value, why)

    def _tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {"preset": "reference"}
        for line in self._lines.values():
            if line.taken:
                tree.setdefault(line.section, {})[line.key] = line.value
        return tree

    def text(self) -> str:
        """Return the YAML."""
        return _HEAD + "preset: reference\n" + "".join(self._sections())

    def _sections(self) -> Iterator[str]:
        for section in Settings.model_fields:
            lines = [line for line in self._lines.values() if line.section == section]
            if not lines:
                continue
            # A section of nothing but comments would be null.
            yield f"\n{section}:\n" if any(line.taken for line in lines) else f"\n# {section}:\n"
            for line in lines:
                yield from _written(line)


def _written(line: _Line) -> Iterator[str]:
    if line.taken:
        yield from _comment(line.remark, "  # ")
        yield f"  {line.key}: {_yaml(line.value)}\n"
    else:
        shown = "" if line.value is None else f" {_yaml(line.value)}"
        yield f"  # {escape(line.key)}:{shown}\n"
        yield from _comment(line.remark, "  #     ")


def _comment(text: str, indent: str) -> Iterator[str]:
    for paragraph in text.splitlines():
        for line in textwrap.wrap(escape(paragraph), _WIDTH - len(indent)):
            yield f"{indent}{line}\n"


def _yaml(value: Any) -> str:
    """Return a value as JSON, which YAML can read; what is no printable character as YAML's own escapes."""
    return escape(json.dumps(value, ensure_ascii=False))


def _default(section: str, key: str) -> Any:
    values: Mapping[str, Any] | object = getattr(Settings(), section)
    value = getattr(values, key)
    return list(value) if isinstance(value, tuple) else value
