"""Two network namespaces with a wire between them and no other way out: our side, and everybody else's.

    with Namespaces(networks) as spaces:
        spaces.here.run(service.__enter__)      # in a thread that is inside; what it starts is inside as well

`there` is a router that has every mail host behind it: whole networks are local to it (AnyIP), others are black holes,
unreachable or prohibited, and what has no route gets lost.
"""

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from tests.lab.process import find_program, missing, run

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

OURS: Final = ("20.0.0.1", "2a00:20::1")
THEIRS: Final = ("20.0.0.2", "2a00:20::2")
"""The two ends of the wire."""
NAT64: Final = "64:ff9b::/96"
_CLONE_NEWNET = 0x40000000
_THREADS = 32
_NAMES = count()


class Namespace:
    """One network namespace. Calls are made in threads that are inside it, and child processes stay inside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ip = find_program("ip")
        run([self._ip, "netns", "add", name], f"ip netns add {name}")
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=name, initializer=self._enter)
        self.ip("link", "set", "lo", "up")

    def _enter(self) -> None:
        with open(f"/run/netns/{self.name}") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns {self.name}")

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function inside, and wait for it."""
        return self._threads.submit(function, *args, **kwargs).result()

    def map(self, function: Callable[[S], T], items: Iterable[S]) -> list[T]:
        """Call a function for each item, side by side."""
        return list(self._threads.map(function, items))

    def ip(self, *words: str) -> None:
        """Run ip(8) inside; raises ComponentFailed."""
        run([self._ip, "-n", self.name, *words], f"ip {' '.join(words)}")

    def sysctl(self, key: str, value: int) -> None:
        """Set a sysctl of this namespace."""
        self.run(Path("/proc/sys", *key.split(".")).write_text, str(value))

    def command(self, *argv: str) -> list[str]:
        """Return the command that runs another one inside, with this namespace's own resolv.conf."""
        return [self._ip, "netns", "exec", self.name, *argv]

    def resolve_with(self, text: str) -> None:
        """Write the resolv.conf that `command` shows (ip-netns(8))."""
        folder = self._etc
        folder.mkdir(parents=True, exist_ok=True)
        folder.joinpath("resolv.conf").write_text(text)

    @property
    def _etc(self) -> Path:
        return Path("/etc/netns", self.name)

    def delete(self) -> None:
        """Remove it, and whatever wire ends in it."""
        self._threads.shutdown()
        run([self._ip, "netns", "delete", self.name], f"ip netns delete {self.name}")
        shutil.rmtree(self._etc, ignore_errors=True)


class Namespaces:
    """Both sides as a context manager. `networks`: IPv4 and IPv6 by type of route; `local` is where mail hosts are."""

    here: Namespace
    there: Namespace

    def __init__(self, networks: Mapping[str, tuple[str, str]]) -> None:
        self._networks = networks
        self._made: list[Namespace] = []

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            missing("root")
        try:
            self._build()
        except OSError as error:
            self.__exit__(None, None, None)
            if error.errno in (errno.EPERM, errno.EROFS):
                missing(f"the right to make network namespaces ({error})")
            raise
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._made:
            self._made.pop().delete()

    def _build(self) -> None:
        prefix = f"mxcheck-{os.getpid()}-{next(_NAMES)}"
        self.here = self._namespace(f"{prefix}-here")
        self.there = self._namespace(f"{prefix}-there")
        self.here.ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", self.there.name)
        for space, (v4, v6) in ((self.here, OURS), (self.there, THEIRS)):
            # No duplicate address detection: an address is there at once.
            space.sysctl("net.ipv6.conf.wire.accept_dad", 0)
            space.ip("address", "add", f"{v4}/30", "dev", "wire")
            space.ip("link", "set", "wire", "up")
            space.ip("-6", "address", "add", f"{v6}/64", "dev", "wire", "nodad")
        self.here.ip("route", "add", "default", "via", THEIRS[0])
        self.here.ip("-6", "route", "add", "default", "via", THEIRS[1])
        self._route()

    def _namespace(self, name: str) -> Namespace:
        space = Namespace(name)
        self._made.append(space)
        space.sysctl("net.ipv6.conf.all.disable_ipv6", 0)
        return space

    def _route(self) -> None:
        there = self.there
        # A router, and one that does not tire of saying that a host cannot be reached.
        there.sysctl("net.ipv4.ip_forward", 1)
        there.sysctl("net.ipv6.conf.all.forwarding", 1)
        there.sysctl("net.ipv4.icmp_ratelimit", 0)
        there.sysctl("net.ipv6.icmp.ratelimit", 0)
        # With a local route an IPv4 address can be bound to at once; an IPv6 one needs this.
        there.sysctl("net.ipv6.ip_nonlocal_bind", 1)
        for kind, (v4, v6) in self._networks.items():
            device = ["dev", "lo"] if kind == "local" else []
            there.ip("route", "add", kind, v4, *device)
            there.ip("-6", "route", "add", kind, v6, *device)
        there.ip("route", "add", "blackhole", "default")
        there.ip("-6", "route", "add", "blackhole", "default", "metric", "1")
        there.ip("-6", "route", "add", "local", NAT64, "dev", "lo")


def firewall_drops(spaces: Namespaces) -> None:
    """Let what goes out to port 25 get lost on the way, as a firewall does that drops it."""
    _before_local(spaces.there, "blackhole")


def firewall_rejects(spaces: Namespaces) -> None:
    """Answer what goes out to port 25 with ICMP "administratively prohibited"."""
    _before_local(spaces.there, "prohibit")


def no_route(spaces: Namespaces) -> None:
    """Take our default routes away."""
    spaces.here.ip("route", "delete", "default")
    spaces.here.ip("-6", "route", "delete", "default")


def _before_local(space: Namespace, action: str) -> None:
    for family in ("-4", "-6"):
        # The table of local addresses comes first of all unless it is moved.
        space.ip(family, "rule", "add", "pref", "100", "lookup", "local")
        space.ip(family, "rule", "delete", "pref", "0")
        space.ip(family, "rule", "add", "pref", "10", "iif", "wire", "ipproto", "tcp", "dport", "25", "type", action)
