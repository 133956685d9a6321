"""What all tests share: the lab's fixtures, and which child processes coverage is measured in."""

from collections.abc import Generator

import pytest

# Before anything imports fakeredis: that loads Lua 5.1 with its symbols in the open, and a LuaJIT loaded after it would
# be linked to those and not be LuaJIT any more.
from lupa import luajit21

pytest_plugins = ["tests.lab.fixtures"]

assert luajit21.LuaRuntime().lua_implementation.startswith("LuaJIT")

_UNMEASURED = (
    "tests/console/",
    "tests/hostile/",
    "tests/parity/",
    *(f"tests/e2e/test_{name}" for name in ("bench", "docs", "lab", "rspamd", "scenarios", "truth")),
)
"""The services of these tests run without: they do what those of others do, only more of it, which coverage makes take
half as long again."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with pytest.MonkeyPatch.context() as environment:
        if item.nodeid.startswith(_UNMEASURED):
            environment.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        return (yield)
