"""Runs a program under what a systemd unit forbids, by the kernel's means, where no systemd runs.

    python -m tests.lab.sandbox UNIT COMMAND [WORD ...]

Of the unit's [Service] section it takes SystemCallFilter, SystemCallErrorNumber, RestrictAddressFamilies,
MemoryDenyWriteExecute and NoNewPrivileges, which are what a program may not survive. Namespaces (ProtectSystem,
PrivateTmp and so on) and users are left out. Needs libseccomp, and systemd-analyze for the groups of system calls.
"""

import ctypes
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_LESS, _EQUAL, _GREATER, _MASKED_EQUAL = 2, 4, 6, 7
_PR_SET_NO_NEW_PRIVS = 38
_WRITE, _EXECUTE, _SHM_EXECUTE = 2, 4, 0o100000
_MAKES_EXECUTABLE: Final = {
    "mmap": _WRITE | _EXECUTE,
    "mprotect": _EXECUTE,
    "pkey_mprotect": _EXECUTE,
    "shmat": _SHM_EXECUTE,
}
"""What MemoryDenyWriteExecute forbids (systemd.exec(5)): calls whose third argument has all these bits."""
_ALWAYS: Final = "@default"
"""What systemd adds to each list of what is allowed."""


def service_settings(unit: Path) -> list[tuple[str, str]]:
    """Return (key, value) of each line of a unit's [Service] section, in order; a key may come more than once."""
    found: list[tuple[str, str]] = []
    section = ""
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found.append((key, value))
    return found


def allowed_calls(lines: Iterable[str]) -> set[str]:
    """Return the system calls that the lines of SystemCallFilter leave, of which the first one allows."""
    allowed = set(_calls(_ALWAYS))
    for line in lines:
        named = {call for word in line.removeprefix("~").split() for call in _calls(word)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


@cache
def _calls(name: str) -> frozenset[str]:
    if not name.startswith("@"):
        return frozenset([name])
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True
    ).stdout
    words = [line.strip() for line in listed.splitlines() if line.startswith("    ") and "#" not in line]
    return frozenset(call for word in words for call in _calls(word))


class _Condition(ctypes.Structure):
    """libseccomp's scmp_arg_cmp."""

    _fields_ = [
        ("argument", ctypes.c_uint),
        ("comparison", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    ]


class _Filter:
    """A seccomp filter that is being made; it holds for this process and what it executes once it is loaded."""

    def __init__(self, otherwise: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(otherwise)))

    def rule(self, action: int, call: str, condition: _Condition | None = None) -> None:
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:  # none of this architecture's
            return
        conditions = ctypes.byref(condition) if condition else None
        done = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), number, int(condition is not None), conditions
        )
        if done != 0:
            raise OSError(-done, f"libseccomp refuses a rule for {call}")

    def load(self) -> None:
        if (done := self._library.seccomp_load(self._context)) != 0:
            raise OSError(-done, "the kernel refuses the filter")


def enter(settings: Sequence[tuple[str, str]]) -> None:
    """Forbid this process, and what it executes, what a unit's settings forbid; raises OSError when that fails."""
    values = dict(settings)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "NoNewPrivileges")
    if values.get("MemoryDenyWriteExecute") == "yes":
        memory = _Filter(_ALLOW)
        for call, bits in _MAKES_EXECUTABLE.items():
            memory.rule(_ERRNO | errno.EPERM, call, _Condition(2, _MASKED_EQUAL, bits, bits))
        memory.load()
    if "RestrictAddressFamilies" in values:
        families = sorted(int(getattr(socket, name)) for name in values["RestrictAddressFamilies"].split())
        sockets = _Filter(_ALLOW)
        refused = _ERRNO | errno.EAFNOSUPPORT
        sockets.rule(refused, "socket", _Condition(0, _LESS, families[0], 0))
        sockets.rule(refused, "socket", _Condition(0, _GREATER, families[-1], 0))
        for family in set(range(families[0], families[-1])) - set(families):
            sockets.rule(refused, "socket", _Condition(0, _EQUAL, family, 0))
        sockets.load()
    if lines := [value for key, value in settings if key == "SystemCallFilter"]:
        calls = _Filter(_ERRNO | getattr(errno, values["SystemCallErrorNumber"]))
        for call in sorted(allowed_calls(lines)):
            calls.rule(_ALLOW, call)
        calls.load()


def main() -> None:
    unit, *command = sys.argv[1:]
    enter(service_settings(Path(unit)))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
