"""The DNS of the world: knot behind a front that misbehaves, servers for delegated zones, and our own resolver.

`Names` stands on their side, `Unbound` on ours: it validates, and is what the service and Postfix ask.
"""

import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.lab.knot import KnotServer
from tests.lab.process import Child, find_program
from tests.lab.sockets import accepts_connections
from tests.lab.truth.namespaces import NAT64, OURS, THEIRS
from tests.lab.truth.plan import ZONE, Plan

_SOUND: Final = "11.255.0.53"
"""Serves the delegated zones that are served."""
_LAME: Final = "11.255.1.53"
"""Answers REFUSED for them."""
_DEAD: Final = "13.255.0.53"
_SERVERS: Final = {
    "delegated": [_SOUND],
    "bogus": [_SOUND],
    "lame": [_LAME],
    "lame-drop": [_DEAD],
    "half-lame": [_LAME, _SOUND],
}
_OTHER_KEY: Final = "DS 12345 13 2 " + "ab" * 32
"""A trust anchor that no zone's key matches."""


def parent_zone(plan: Plan) -> str:
    """Return the text of the common zone, with what delegates the zones in it."""
    lines = [plan.records]
    for name, behaviour in plan.delegations.items():
        lines.append(f"$ORIGIN {name}.")
        for number, address in enumerate(_SERVERS[behaviour], start=1):
            lines += [f"@ NS ns{number}", f"ns{number} A {address}"]
    return "\n".join(lines)


def child_zones(plan: Plan) -> dict[str, str]:
    """Return the text of each zone that the sound server has."""
    served = {name: text for name, text in plan.zones.items() if _SOUND in _SERVERS[plan.delegations[name]]}
    return {
        name: "\n".join(
            f"@ NS ns{number}\nns{number} A {address}"
            for number, address in enumerate(_SERVERS[plan.delegations[name]], start=1)
        )
        + f"\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n{text}"
        for name, text in served.items()
    }


class Names:
    """The name servers of the world, as a context manager; to be entered inside `there`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            parent = stack.enter_context(KnotServer({ZONE: parent_zone(self._plan)}))
            zones = child_zones(self._plan)
            if zones:
                bogus = {name for name, behaviour in self._plan.delegations.items() if behaviour == "bogus"}
                stack.enter_context(KnotServer(zones, address=_SOUND, port=53, signed=bogus))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mxcheck-front-")))
            faults = folder / "faults"
            faults.write_text("".join(f"{name} {kind} {fault}\n" for (name, kind), fault in self._plan.faults.items()))
            self._fronts = {
                words[0]: Child("front", [sys.executable, "-m", "tests.lab.truth.front", *words], folder / words[0])
                for words in ((THEIRS[0], str(faults), parent.nameserver), (_LAME,))
            }
            for front in self._fronts.values():
                stack.callback(front.stop)
            self.begin_anew()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin_anew(self) -> None:
        """Let the servers forget what they have been asked."""
        for address, front in self._fronts.items():
            front.stop()
            front.start(partial(accepts_connections, address, 53))


class Unbound:
    """Our resolver, at 127.0.0.1:53 of `here`, as a context manager; to be entered inside.

    With `dns64` every name without an IPv6 address gets one behind NAT64. Nothing exists outside of the world's zone.
    """

    nameserver: Final = "127.0.0.1"

    def __init__(self, plan: Plan, *, dns64: bool) -> None:
        self._plan = plan
        self._dns64 = dns64

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-unbound-")
        folder = Path(self._folder.name)
        config = folder / "unbound.conf"
        config.write_text(self._config(folder))
        try:
            self._child = Child("unbound", [find_program("unbound"), "-d", "-c", str(config)], folder / "log")
            self.begin_anew()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()
        self._folder.cleanup()

    def begin_anew(self) -> None:
        """Empty its cache, of what it knows about servers as well."""
        self._child.stop()
        self._child.start(partial(accepts_connections, self.nameserver, 53))

    def _config(self, folder: Path) -> str:
        modules = "dns64 validator iterator" if self._dns64 else "validator iterator"
        bogus = [name for name, behaviour in self._plan.delegations.items() if behaviour == "bogus"]
        lines = [
            "server:",
            f"  interface: {self.nameserver}",
            "  num-threads: 1",
            "  username: ''",
            "  chroot: ''",
            f"  directory: {folder}",
            f"  pidfile: {folder}/pid",
            "  use-syslog: no",
            f"  module-config: '{modules}'",
            f"  dns64-prefix: {NAT64}",
            *(f"  trust-anchor: '{name}. {_OTHER_KEY}'" for name in bogus),
            "  local-zone: '.' static",
            f"  local-zone: '{ZONE}.' transparent",
            f"  outgoing-interface: {OURS[0]}",
            "stub-zone:",
            f"  name: {ZONE}",
            f"  stub-addr: {THEIRS[0]}",
            "remote-control:",
            "  control-enable: no",
        ]
        return "\n".join(lines) + "\n"
