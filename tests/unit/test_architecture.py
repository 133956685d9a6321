"""The rules that keep the house in order, read from the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mxcheck_service"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A module may import from its own row and those above it.
ROWS = (
    ("core",),
    ("ports",),
    (
        "background",
        "cache_url",
        "capacity",
        "counts",
        "descriptors",
        "history",
        "log",
        "metrics",
        "recent",
        "seats",
        "politeness",
        "series",
        "trace",
        "waiting",
    ),
    ("settings",),
    ("config",),
    ("cache", "dns", "listening", "maps", "prober", "tls", "unix_socket"),
    ("egress", "limits", "maphits", "reach", "remembered", "silence"),
    ("names", "probing"),
    ("attempts", "renewal"),
    ("pipeline",),
    ("checker",),
    ("lookback", "reload"),
    ("targets", "web"),
    ("doctor", "importing"),
    ("app", "present"),
    ("bulk", "workers"),
    ("cli",),
    ("__main__",),
)
ROW_OF = {name: number for number, row in enumerate(ROWS) for name in row}
IMPURE = {"asyncio", "logging", "time", "random", "socket", "os", "threading", "aiohttp", "aiodns", "redis", "datetime"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def area_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[str]:
    """Yield the absolute name of everything a module imports; `from x import y` as `x.y`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    area = area_of(name_of(path))
    for imported in imports(path):
        if area and imported.startswith("mxcheck_service.") and area_of(imported) in ROW_OF:
            assert ROW_OF[area_of(imported)] <= ROW_OF[area], f"{name_of(path)} must not import {imported}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=name_of)
def test_the_core_is_pure(path: Path) -> None:
    for imported in imports(path):
        assert imported.split(".")[0] not in IMPURE
        assert not imported.startswith("mxcheck_service.") or imported.startswith("mxcheck_service.core")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_fit_in_the_head_and_have_a_name_of_their_own(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    assert ast.get_docstring(ast.parse(path.read_text())), "a module says what it is for"


def users_of(*names: str) -> set[str]:
    """Return the modules that mention one of these names as a whole."""
    return {
        name_of(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Name) and node.id in names) or (isinstance(node, ast.Attribute) and node.attr in names)
    }


def test_only_config_reads_yaml_and_the_environment() -> None:
    assert users_of("yaml", "environ", "getenv") == {"mxcheck_service.config"}


def test_only_the_composition_root_builds_what_does_io() -> None:
    assert users_of("AresResolver", "TcpDialer", "MemoryCache", "SystemClock") <= {
        "mxcheck_service.app",
        # The log's clock: the process has one log, and it is there before the application is.
        "mxcheck_service.log",
    }


def test_no_improvement_is_a_branch_on_the_preset() -> None:
    """`settings` derives the default deadline from it, as the contract says; `config` sets defaults by it."""
    readers = {
        name_of(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "preset"
    }
    assert readers <= {"mxcheck_service.settings", "mxcheck_service.config"}
