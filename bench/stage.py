"""What the benchmarks stand on: cores, names, a warm Redis, processes, and what these have used so far."""

import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from mxcheck_service.core import codec
from mxcheck_service.core.codec import AddressList, MxList
from mxcheck_service.core.model import Family, MxHost, Outcome, Verdict
from tests.lab.process import Child
from tests.lab.redis import RedisServer
from tests.lab.sockets import accepts_connections, free_port

_cores = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = _cores[0]
OTHER_CORE: Final = _cores[-1]
"""What is measured has a core of its own; its callers, and whatever it calls itself, share the other one."""

ZONE: Final = "bench.test"
QUIET: Final = {"log_level": "warning"}
"""The section `server` of a service that has no line for each check; `bench.hot` shows what the lines cost."""
ALL_IN_REDIS: Final = {
    "mx_check": {"test_mode": True},
    "dns": {"nameservers": ["127.0.0.1:9"]},
    "server": QUIET,
}
"""Settings where nothing is to be looked up: what is missing in Redis after all is asked of nobody."""
_DAY: Final = 86_400
_BATCH: Final = 5_000
_OK: Final = b"+OK\r\n"
_FIRST_ADDRESS: Final = 1 << 16


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Within the block this thread, and every process that it starts, runs on one core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def domain(number: int) -> str:
    return f"d{number}.{ZONE}"


def exchange(number: int) -> str:
    return f"mx.d{number}.{ZONE}"


def address(number: int) -> str:
    """An address of 127.0.0.0/8 for each of the first 16 million numbers: no two domains share a probe."""
    return socket.inet_ntoa((0x7F000000 + _FIRST_ADDRESS + number).to_bytes(4, "big"))


def zone(numbers: Iterable[int]) -> str:
    """Zone text with an MX and an address for each domain, relative to ZONE."""
    return "".join(f"d{number} MX 10 mx.d{number}\nmx.d{number} A {address(number)}\n" for number in numbers)


def entries(number: int, *, prefix: str = "rmx") -> dict[str, str]:
    """What a check of the domain leaves in Redis when its host is good."""
    return {
        f"{prefix}:d:{domain(number)}": codec.encode(MxList((MxHost(10, exchange(number)),))),
        f"{prefix}:m:{exchange(number)}": codec.encode(AddressList(Family.V4, (address(number),))),
        f"{prefix}:i:{address(number)}": codec.encode(Outcome(Verdict.GOOD)),
    }


def fill(redis: RedisServer, count: int) -> None:
    """Put the entries of the first `count` domains into Redis, for a day, so that nothing has to be looked up."""
    with socket.create_connection(("127.0.0.1", redis.port)) as connection, connection.makefile("rb") as replies:
        for first in range(0, count, _BATCH):
            batch = [
                f"SET {key} {value} EX {_DAY}\r\n"
                for number in range(first, min(first + _BATCH, count))
                for key, value in entries(number).items()
            ]
            connection.sendall("".join(batch).encode())
            if replies.read(len(_OK) * len(batch)) != _OK * len(batch):
                raise RuntimeError("Redis refused an entry")


def cpu_seconds(pid: int) -> float:
    """CPU time of the process and those below it, in user and kernel mode."""
    times = [process.cpu_times() for process in _family(pid)]
    return sum(time.user + time.system for time in times)


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and those below it."""
    return sum(process.memory_info().rss for process in _family(pid))


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


class Program:
    """One of the benchmarks' own small servers, `python -m bench.NAME PORT WORD ...`, on a free port."""

    def __init__(self, name: str, *words: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-bench-")
        argv = [sys.executable, "-m", f"bench.{name}", str(self.port), *words]
        self._child = Child(name, argv, Path(self._folder.name) / "log")

    @property
    def pid(self) -> int:
        return self._child.pid

    def __enter__(self) -> "Program":
        self._child.start(lambda: accepts_connections("127.0.0.1", self.port))
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()
        self._folder.cleanup()


def in_turn(names: Sequence[str], round_number: int) -> list[str]:
    """The candidates of a round: every other round backwards, so that none is always first."""
    return list(names) if round_number % 2 == 0 else list(reversed(names))
