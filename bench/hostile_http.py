"""What ten thousand hostile connections cost an honest caller: silent ones, heads and bodies that come drop by drop.

    python -m bench.hostile_http [--connections 10000] [--rate 100] [--seconds 15] [--rounds 3] [--json FILE]

Seven in ten of the connections say nothing, the others send an octet or two every second of a head or a body that has
no end. Each is opened again, a second after it was closed. Meanwhile, and before, an honest caller sends requests
at fixed times, over kept connections and, one in five, over a new one. With the default of server.max_connections, and
with one as high as the number of them. Latency counts from when the request was to be sent; what was not answered with
200 has failed. Callers and service share the machine's cores. Writes the result file and, unless --json names another
one, the table of docs/reliability.md.
"""

import asyncio
import itertools
import multiprocessing
import os
import re
import resource
import statistics
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import psutil
import uvloop

from bench import report
from tests.hostile.callers import HEAD, Caller, post
from tests.lab.service import Service
from tests.lab.waiting import poll_until

PAGE: Final = Path(__file__).parents[1] / "docs" / "reliability.md"
_BLOCK: Final = re.compile(r"(?<=^<!-- hostile callers -->).*?(?=^<!-- end hostile callers -->$)", re.M | re.S)
_AGAIN: Final = 1.0
"""Seconds until a connection that was closed is opened again."""
_PAUSE: Final = 1.0
"""Seconds between two drops."""
_ADDRESSES: Final = 32
"""The callers come from 127.0.1.1 and so on, or there would be too few ports."""
_KEPT: Final = 8
_ASKED: Final = post(b'{"sender": "a@example.invalid"}')
_BACK: Final = 30.0
"""Seconds in which everything has to be as it was before."""
_DROPS: Final = ((b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"\r\n"), (HEAD + b"Content-Length: 9999\r\n\r\n", b" "))
_SILENT: Final = 7  # in ten


class _Attacker(asyncio.Protocol):
    """One of the connections; opens the next one when it has ended."""

    def __init__(self, number: int, attack: "_Attack") -> None:
        self._number = number
        self._attack = attack
        self._start, self.drop = (b"", b"") if number % 10 < _SILENT else _DROPS[number % 2]
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._attack.up[self._number] = self
        self._attack.opened += 1
        self._transport.write(self._start)

    def connection_lost(self, exc: Exception | None) -> None:
        self._attack.up.pop(self._number, None)
        self._attack.again(self._number)

    def drip(self) -> None:
        if self.drop and self._transport is not None:
            self._transport.write(self.drop)


class _Attack:
    """Keeps connections open; runs in a process of its own until it is told to end."""

    def __init__(self, url: str, connections: int) -> None:
        place = urlsplit(url)
        self._host, self._port = str(place.hostname), int(place.port or 80)
        self._count = connections
        self._tasks: set[asyncio.Task[None]] = set()
        self.up: dict[int, _Attacker] = {}
        self.opened = 0

    def again(self, number: int) -> None:
        task = asyncio.get_running_loop().create_task(self._open(number, _AGAIN))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self, told: Connection) -> None:
        loop = asyncio.get_running_loop()
        for first in range(0, self._count, 500):
            await asyncio.gather(*(self._open(number, 0) for number in range(first, min(first + 500, self._count))))
        told.send(self.opened)
        while not told.poll():
            started = loop.time()
            for attacker in list(self.up.values()):
                attacker.drip()
            await asyncio.sleep(max(0.0, started + _PAUSE - loop.time()))
        told.send(self.opened)

    async def _open(self, number: int, after: float) -> None:
        await asyncio.sleep(after)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Attacker(number, self),
                self._host,
                self._port,
                local_addr=(f"127.0.1.{number % _ADDRESSES + 1}", 0),
            )
        except OSError:
            self.again(number)


def attack(url: str, connections: int, told: Connection) -> None:
    """Be the hostile callers."""
    uvloop.run(_Attack(url, connections).run(told))
    os._exit(0)  # closing them one by one would take its time


async def honest(url: str, rate: float, seconds: float) -> Mapping[str, float]:
    """Ask at this rate for so long; returns requests, failed and the seconds of p50, p99 and the slowest."""
    loop = asyncio.get_running_loop()
    kept = [await Caller.to(url) for _ in range(_KEPT)]
    idle = asyncio.Queue[Caller]()
    for caller in kept:
        await caller.send(_ASKED)
        await caller.reply()
        idle.put_nowait(caller)
    found: list[float] = []
    failed = 0

    async def ask(number: int, due: float) -> None:
        nonlocal failed
        new = number % 5 == 0
        try:
            caller = await Caller.to(url) if new else await idle.get()
            await caller.send(_ASKED)
            status = (await caller.reply()).status
        except (OSError, EOFError, TimeoutError):
            status = 0
        failed += status != 200
        found.append(loop.time() - due)
        if new:
            caller.leave()
        else:
            idle.put_nowait(caller if status else await Caller.to(url))

    began = loop.time()
    tasks = []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        tasks.append(asyncio.create_task(ask(number, due)))
    await asyncio.gather(*tasks)
    for caller in kept:
        caller.leave()
    return {
        "requests": len(found), "failed": failed, "p50": statistics.median(found),
        "p99": report.percentile(found, 99), "slowest": max(found),
    }  # fmt: skip


def measure(connections: int, rate: float, seconds: float, most: int | None) -> dict[str, Any]:
    """One round: a new service, honest requests without and with the hostile connections, and what is left of them."""
    settings: dict[str, Any] = {
        "dns": {"nameservers": ["127.0.0.1:9"]},
        "improvements": {"expire_dns_fail": 3600},
        "server": {"log_level": "error"} | ({} if most is None else {"max_connections": most}),
    }
    with Service(settings) as service:
        process = psutil.Process(service.pid)
        asyncio.run(honest(service.url, rate, 1))
        quiet = asyncio.run(honest(service.url, rate, seconds))
        before = {"descriptors": process.num_fds(), "rss": process.memory_info().rss}
        mine, theirs = multiprocessing.Pipe()
        hostile = multiprocessing.get_context("spawn").Process(target=attack, args=(service.url, connections, theirs))
        hostile.start()
        try:
            reached = mine.recv()
            cpu, began = sum(process.cpu_times()[:2]), time.monotonic()
            attacked = asyncio.run(honest(service.url, rate, seconds))
            lasted = time.monotonic() - began
            cpu = (sum(process.cpu_times()[:2]) - cpu) / lasted
            during = {"descriptors": process.num_fds(), "rss": process.memory_info().rss}
            mine.send(None)
            opened = mine.recv()
        finally:
            hostile.kill()
            hostile.join()
        over = time.monotonic()
        poll_until(lambda: process.num_fds() <= before["descriptors"] + 1, _BACK, "the descriptors are back")
        return {
            "quiet": quiet, "attacked": attacked, "before": before, "during": during,
            "after": {"descriptors": process.num_fds(), "rss": process.memory_info().rss},
            "cpu": cpu, "opened_a_second": (opened - reached) / lasted, "back_after": time.monotonic() - over,
        }  # fmt: skip


def main() -> None:
    parser = report.options("hostile_http", __doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=100.0, help="honest requests a second")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # half of which may be connections
    cases = {"default": None, f"{arguments.connections}": arguments.connections}
    results: dict[str, Any] = {}
    for (name, most), _ in itertools.product(cases.items(), range(arguments.rounds)):
        found = measure(arguments.connections, arguments.rate, arguments.seconds, most)
        results.setdefault(name, []).append(found)
        print(" | ".join(_row(name, [found])), flush=True)
    print(_table(results))
    report.save(arguments, results)
    if arguments.json == parser.get_default("json"):
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


def page(text: str, results: Mapping[str, Any]) -> str:
    """Return the page with the table of these results in its marked place."""
    return _BLOCK.sub(lambda _: f"\n\n{_table(results)}\n\n", text)


def _table(results: Mapping[str, Any]) -> str:
    head = (
        "`max_connections`", "not answered", "p50 quiet", "attacked", "p99 quiet", "attacked", "CPU", "opened a second",
        "descriptors before", "during", "after", "RSS before", "during", "after",
    )  # fmt: skip
    return report.table(head, [_row(name, rounds) for name, rounds in results.items()])


def _row(name: str, rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    """The sum of what failed, and medians over the rounds."""

    def median(*path: str) -> float:
        found: list[Any] = list(rounds)
        for part in path:
            found = [each[part] for each in found]
        middle: float = statistics.median(found)
        return middle

    both = [each[load] for each in rounds for load in ("quiet", "attacked")]
    phases = ("before", "during", "after")
    return [
        name,
        f"{sum(each['failed'] for each in both)} of {sum(each['requests'] for each in both):,}",
        *(f"{1000 * median(load, part):.0f} ms" for part in ("p50", "p99") for load in ("quiet", "attacked")),
        f"{100 * median('cpu'):.0f} %",
        f"{median('opened_a_second'):,.0f}",
        *(f"{median(phase, 'descriptors'):,.0f}" for phase in phases),
        *(f"{median(phase, 'rss') / 2**20:.0f} MiB" for phase in phases),
    ]


if __name__ == "__main__":
    main()
