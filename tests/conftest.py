"""What all tests share: the lab's fixtures."""

# Before anything imports fakeredis: that loads Lua 5.1 with its symbols in the open, and a LuaJIT loaded after it would
# be linked to those and not be LuaJIT any more.
from lupa import luajit21

pytest_plugins = ["tests.lab.fixtures"]

assert luajit21.LuaRuntime().lua_implementation.startswith("LuaJIT")
