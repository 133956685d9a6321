"""Which lines of the reference do the scenarios reach? Run as `python -m tests.parity.census`."""

import sys
from collections import Counter
from collections.abc import Iterable

from lupa import luajit21

from tests.parity.generate import COUNT, scenario
from tests.parity.lua_rspamd import LOAD, Reference, reference_path

# What no scenario can reach, by the line's number in the reference, and why.
UNREACHABLE: dict[int, str] = {
    14: "only for `rspamadm confighelp`",
    326: "there is no fourth layer",
    495: "callers have checked the tag before",
    704: "callers pass known kinds only",
    **dict.fromkeys(range(934, 937), "callers pass no empty list"),
    **dict.fromkeys(range(1199, 1203), "the value was checked before"),
    **dict.fromkeys(range(1348, 1350), "the value was checked before"),
    1365: "the value was checked before",
    **dict.fromkeys(range(1432, 1434), "the service runs without a configuration"),
    **dict.fromkeys(range(1456, 1459), "the service runs without Redis, on a cache of its own"),
}

_LINES_OF = """
function(chunk)
  local jit_util = require 'jit.util'
  local lines = {}
  local function walk(prototype)
    local info = jit_util.funcinfo(prototype)
    for pc = 1, info.bytecodes - 1 do
      local line = jit_util.funcinfo(prototype, pc).currentline
      if line and line > 0 then lines[line] = true end
    end
    for child = 1, info.gcconsts do
      local constant = jit_util.funck(prototype, -child)
      if type(constant) == 'proto' then walk(constant) end
    end
  end
  walk(chunk)
  return lines
end
"""
# Compiled traces call no hooks, hence no JIT.
_COUNT_LINES = """
function(count)
  jit.off()
  debug.sethook(function(_, line)
    if debug.getinfo(2, 'S').source == '@mx_check.lua' then count[line] = (count[line] or 0) + 1 end
  end, 'l')
end
"""


def executable_lines(source: str) -> set[int]:
    """Return the lines that the compiler made code of."""
    lua = luajit21.LuaRuntime(encoding="latin-1")
    return set(lua.eval(_LINES_OF)(lua.eval(LOAD)(source)))


def lines_reached(numbers: Iterable[int]) -> Counter[int]:
    """Run scenarios; return in how many of them each line was executed."""
    tables: list[object] = []

    def hook(lua: luajit21.LuaRuntime) -> None:
        tables.append(lua.table())
        lua.eval(_COUNT_LINES)(tables[-1])

    reference = Reference(reference_path(), prepare=hook)
    reached: Counter[int] = Counter()
    for number in numbers:
        reference.run(scenario(number))
        reached.update(list(tables.pop()))  # type: ignore[call-overload]  # lupa has no stubs
    return reached


def main() -> int:
    """Print the lines that were reached never or hardly ever."""
    source = reference_path().read_bytes().decode("latin-1")
    text = source.split("\n")
    reached = lines_reached(range(COUNT))
    missed = [line for line in sorted(executable_lines(source)) if not reached[line]]
    for line in missed:
        print(f"never  {line:5}  {text[line - 1].strip():70} {UNREACHABLE.get(line, '')}")
    for line, times in sorted(reached.items()):
        if times < COUNT // 300:
            print(f"{times:5}  {line:5}  {text[line - 1].strip()}")
    for line in sorted(set(UNREACHABLE) & set(reached)):
        print(f"reached after all: {line}")
    return 1 if set(missed) != set(UNREACHABLE) else 0


if __name__ == "__main__":
    sys.exit(main())
