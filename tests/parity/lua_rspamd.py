"""The reference plugin, run unmodified under LuaJIT with a simulated rspamd around it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lupa import luajit21

from tests.parity.rspamd_io import RedisServer, Resolver, TcpModule, Timeline
from tests.parity.rspamd_maps import GlobMap, RadixMap
from tests.parity.rspamd_task import Ip, ScanResult, Task
from tests.parity.world import Outcome, Scenario

ROOT = Path(__file__).resolve().parents[2]

# What rspamd offers to a plugin, as far as it is plain Lua or does nothing. `world` holds the Python side.
_SANDBOX = """
local nothing = function() end
local logger = setmetatable({}, { __index = function() return nothing end })

local function str_split(text, separator)
  local parts = {}
  for part in (text .. separator):gmatch('([^' .. separator .. ']*)' .. separator) do
    parts[#parts + 1] = part
  end
  return parts
end

local function override_defaults(defaults, overrides)
  local result = {}
  for key, value in pairs(defaults) do result[key] = value end
  for key, value in pairs(overrides) do result[key] = value end
  return result
end

return function(chunk, world)
  local modules = {
    rspamd_logger = logger,
    rspamd_tcp = { new = world.connect },
    rspamd_util = { parse_mail_address = world.parse_mail_address },
    rspamd_ip = { from_string = world.ip },
    lua_util = {
      debugm = nothing,
      shuffle = nothing, -- the order of addresses is the scenario's
      str_split = str_split,
      str_startswith = function(text, start) return text:sub(1, #start) == start end,
      override_defaults = override_defaults,
      disable_module = world.disable,
    },
    lua_redis = {
      parse_redis_server = function() return { timeout = 1.0 } end,
      register_prefix = nothing,
      rspamd_redis_make_request = world.redis,
    },
    lua_maps = {
      map_add = function(_, option, kind) return world.map(kind, world.options[option]) end,
      map_add_from_ucl = function(list, kind) return world.map(kind, list) end,
    },
  }
  local callback
  local env = {
    require = function(name) return assert(modules[name], name) end,
    rspamd_config = {
      get_all_opt = function() return world.options end,
      get_dns_timeout = function() return 1.0 end,
      set_metric_symbol = nothing,
      register_symbol = function(_, symbol)
        callback = callback or symbol.callback
        return 1
      end,
    },
    -- Hash order would decide which of two domains is looked up first.
    pairs = function(domains)
      local place = 0
      return function()
        repeat
          place = place + 1
          local domain = world.candidates[place]
          if domain and domains[domain] then return domain, domains[domain] end
        until not domain
      end
    end,
    ipairs = ipairs, type = type, tostring = tostring, tonumber = tonumber,
    string = string, table = table, math = math,
  }
  setfenv(chunk, env)
  chunk()
  return callback
end
"""


LOAD = "function(source) return assert(loadstring(source, '@mx_check.lua')) end"


def reference_path() -> Path:
    """Return where the reference is: MXCHECK_REFERENCE, or beside the project."""
    configured = os.environ.get("MXCHECK_REFERENCE")
    return Path(configured) if configured else ROOT.parent / "shared" / "reference" / "mx_check.lua"


class Reference:
    """The reference, ready to be run. `prepare` gets at the interpreter before each run."""

    def __init__(self, path: Path, prepare: Callable[[luajit21.LuaRuntime], None] | None = None) -> None:
        # latin-1 carries any byte through both languages.
        self._source = path.read_bytes().decode("latin-1")
        self._prepare = prepare

    def run(self, scenario: Scenario) -> Outcome:
        """Run one scenario to its end, in an interpreter of its own."""
        return _Run(self._source, self._prepare).outcome(scenario)


class _Run:
    def __init__(self, source: str, prepare: Callable[[luajit21.LuaRuntime], None] | None) -> None:
        self._lua = luajit21.LuaRuntime(encoding="latin-1", unpack_returned_tuples=True)
        # lupa mixes up objects that Lua collects while they are handed over again; a run is too short to need it.
        self._lua.execute("collectgarbage('stop')")
        if prepare is not None:
            prepare(self._lua)
        self._chunk = self._lua.eval(LOAD)(source)

    def outcome(self, scenario: Scenario) -> Outcome:
        timeline, result = Timeline(), ScanResult()
        redis = RedisServer(scenario, timeline)
        tcp = TcpModule(scenario, timeline)
        task = Task(scenario.request.parsed, Resolver(scenario, timeline, self._to_table), result, self._to_table)
        disabled: list[str] = []
        world: dict[str, object] = {
            "options": self._to_table(dict(scenario.settings)),
            "candidates": self._to_table(scenario.request.parsed.candidates(scenario.settings)),
            "connect": tcp.new,
            "parse_mail_address": task.parse_mail_address,
            "ip": Ip,
            "disable": lambda _name, reason: disabled.append(reason),
            "redis": redis.request,
            "map": _load_map,
        }
        check: Callable[[Task], None] | None = self._lua.execute(_SANDBOX)(self._chunk, self._to_table(world))
        if check is None or disabled:
            assert disabled == ["config"], disabled
            return Outcome(disabled=True)
        timeline.after(0.0, lambda: check(task))
        timeline.run()
        return Outcome(
            symbols=result.symbols(),
            action=result.action,
            message=result.reject_message,
            redis=scenario.redis.changes(redis.content),
            locks=redis.locks,
            probed=tcp.probed,
            quits=tcp.quits,
        )

    def _to_table(self, value: Any) -> Any:
        """Return a Lua table with the content of a dict or list, lists inside it included."""
        plain = value.items() if isinstance(value, dict) else enumerate(value, 1)
        return self._lua.table_from({key: self._to_table(item) if type(item) is list else item for key, item in plain})


def _load_map(kind: str, lines: Any) -> GlobMap | RadixMap:
    texts = list(lines.values())
    return GlobMap(texts) if kind == "glob" else RadixMap(texts)
