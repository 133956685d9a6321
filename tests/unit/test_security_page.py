"""docs/security.md names a test for each thing that somebody cannot do: there has to be such a test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
_NAMED = re.compile(r"`(tests/[\w/*.]+)((?:::\w+)*)`")
_ROW = re.compile(r"^\| (?!cannot|---)(.*) \|$", re.MULTILINE)
TABLES = PAGE.read_text().split("\n## Who can do what\n")[1].split("\n## ")[0]

ELSEWHERE = {
    "tests/hostile/test_access_addresses.py",
    "tests/hostile/test_access_mtls.py",
    "tests/hostile/test_access_tls.py",
    "tests/hostile/test_access_unix.py",
    "tests/hostile/test_faults_redis.py",
    "tests/hostile/test_http_crowd.py",
    "tests/hostile/test_http_shapes.py",
    "tests/hostile/test_http_slow.py",
    "tests/hostile/test_injection_service.py",
    "tests/hostile/test_injection_terminal.py",
    "tests/hostile/test_overload.py",
    "tests/hostile/test_smtp_crowd.py",
    "tests/hostile/test_smtp_peers.py",
    "tests/hostile/test_touch_classes.py",
    "tests/hostile/test_touch_maps.py",
    "tests/hostile/test_touch_network.py",
}
"""Come with other changes; to be taken out of here when they have."""


def named() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the file and the names within of each test that the page names."""
    for path, names in _NAMED.findall(PAGE.read_text()):
        yield path, tuple(filter(None, names.split("::")))


@pytest.mark.parametrize(("path", "names"), sorted(set(named())))
def test_a_test_that_is_named_is_there(path: str, names: tuple[str, ...]) -> None:
    if path in ELSEWHERE and not names:
        return
    files = list(ROOT.glob(path))
    assert files, path
    body: list[ast.stmt] = ast.parse(files[0].read_text()).body if names else []
    for name in names:
        definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [node for node in body if isinstance(node, definitions) and node.name == name]
        assert found, f"{path} has no {name}"
        body = found[0].body


def test_every_line_of_the_tables_names_one() -> None:
    rows = _ROW.findall(TABLES)
    assert len(rows) > 20
    for row in rows:
        cannot, holds, tests = row.split(" | ")
        assert cannot, row
        assert holds, row
        assert _NAMED.findall(tests), row
