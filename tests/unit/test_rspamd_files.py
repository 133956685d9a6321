"""The files an operator copies into rspamd say what the service does."""

import re
import subprocess
from pathlib import Path

import pytest
from lupa import luajit21

from mxcheck_service import present
from mxcheck_service.core import symbols
from mxcheck_service.core.model import Source
from mxcheck_service.core.settings import MxCheckSettings
from tests.lab.process import find_program

FOLDER = Path(__file__).parents[2] / "rspamd"
PLUGIN = FOLDER / "mxcheck.lua"


def lua_table(name: str) -> object:
    """Return a table that the plugin's source assigns to a local variable."""
    match = re.search(rf"^local {name} = (\{{.*?^\}})$", PLUGIN.read_text(), re.MULTILINE | re.DOTALL)
    assert match
    return luajit21.LuaRuntime().eval(match[1])


def test_the_plugin_has_the_service_s_symbols_weights_and_meanings() -> None:
    rows: list[tuple[object, ...]] = [tuple(row.values()) for row in lua_table("SYMBOLS").values()]  # type: ignore[attr-defined]
    settings = MxCheckSettings()
    assert rows == [
        (spec.setting, getattr(settings, spec.setting), spec.weight, spec.description) for spec in symbols.TABLE
    ]


def test_the_plugin_has_the_service_s_prefixes() -> None:
    prefixes = dict(lua_table("PREFIXES").items())  # type: ignore[attr-defined]
    settings = MxCheckSettings()
    assert prefixes == {f"symbol_prefix_{source}": symbols.prefix(settings, source) for source in Source}


def test_the_group_file_is_what_the_command_prints() -> None:
    comment, _, text = (FOLDER / "mx_group.conf").read_text().partition("\n")
    assert comment.startswith("#")
    assert text == present.symbols_group(MxCheckSettings())


@pytest.mark.parametrize("setting", ["url", "timeout", "keepalive", "check_local", "check_authorized", "apply_reject",
                                     "apply_greylist", "cooldown", "token"])  # fmt: skip
def test_the_settings_file_shows_every_setting_of_the_plugin(setting: str) -> None:
    assert re.search(rf"^(# )?{setting} = ", (FOLDER / "mxcheck.conf").read_text(), re.MULTILINE)
    assert re.search(rf"^  {setting} = ", PLUGIN.read_text(), re.MULTILINE)


def test_the_settings_are_described_where_rspamd_keeps_schemas() -> None:
    """rspamd 4 has lua_shape; here a stand-in notes what is registered there."""
    source = PLUGIN.read_text()
    lua = luajit21.LuaRuntime()
    registered = lua.execute(
        """
        local registered = {}
        local function kind() return { optional = function(self) return self end } end
        package.preload["lua_shape.core"] = function()
          return setmetatable({ table = function(fields) return fields end }, { __index = function() return kind end })
        end
        package.preload["lua_shape.plugin_schema"] = function()
          return { register = function(id, fields) registered[id] = fields end }
        end
        local N = "mxcheck"
        """
        + source[source.index("local SYMBOLS") : source.index("-- Bounds on what is sent")]
        + "return registered"
    )
    assert list(registered) == ["plugins.mxcheck"]
    described = set(registered["plugins.mxcheck"])
    assert described >= {
        "url",
        "timeout",
        "token",
        "cooldown",
        "keepalive",
        "symbol_good_mx",
        "symbol_prefix_mime_from",
    }


def test_luacheck_finds_nothing() -> None:
    run = subprocess.run(
        [find_program("luacheck"), "--no-color", str(PLUGIN)],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
