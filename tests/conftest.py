"""What all tests share: the lab's fixtures, and which child processes coverage is measured in."""

from collections.abc import Generator

import pytest

# Before anything imports fakeredis: that loads Lua 5.1 with its symbols in the open, and a LuaJIT loaded after it would
# be linked to those and not be LuaJIT any more.
from lupa import luajit21

pytest_plugins = ["tests.lab.fixtures"]

assert luajit21.LuaRuntime().lua_implementation.startswith("LuaJIT")

_MEASURED = (
    "tests/web/",
    *(f"tests/e2e/test_{name}" for name in ("bulk", "cache_command", "cli", "reload", "workers")),
)
"""Whose child processes are: those of other tests do the same, only more of it, and measuring makes each start take
half as long again."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with pytest.MonkeyPatch.context() as environment:
        if not item.nodeid.startswith(_MEASURED):
            environment.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        return (yield)
