"""Ten thousand hostile mail hosts, and what they cost everybody else.

    python -m bench.hostile_peers [--peers 10000] [--quiet 60] [--only NAME] [--json FILE]

An ordinary load of good domains, warm and cold, goes on at a fixed rate: first alone; then while a fifth as many more
good hosts are met that nobody knew, which shows what so many messages cost whoever they are about; then while hostile
ones are met, of all kinds of tests/lab/smtp_farm.py in turn, each with a domain of its own. Greetings are read and QUIT
is said, since that is where a peer can do most.

    stream   one message after the other at a fixed rate, so that there is processor left for others
    held     the same, about hosts that say nothing or never come to an end, with so much patience that in the end all
             are connected at once; measured is that time
    flood    all are asked about at once, and then again and again until each host has its verdict

On a machine that others use, `chrt -r 1 python -m bench.hostile_peers` keeps them from what is measured.

Each candidate has a service of its own, with a core of its own; Redis, the DNS server, peers and callers share the
other. Needs redis-server and knot.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from bench import report
from bench.stage import OTHER_CORE, QUIET, SERVER_CORE, ZONE, on_core, resident_bytes
from bench.watching import LOOK, Moment, open_files, sampled
from tests.lab.knot import KnotServer
from tests.lab.redis import RedisServer
from tests.lab.service import UNLIMITED, Service
from tests.lab.smtp_farm import HOSTILE, SmtpFarm

RATE: Final = 200
"""Ordinary requests a second."""
SHARE: Final = 10
"""One of so many is about a domain that was never asked about."""
WARM: Final = 500
_COLD: Final = 20_000
_CALLERS, _A_MESSAGE = 900, 12
"""Messages of a flood under way at once, and domains in each: all are asked about at once. The service takes 1000
messages, so that a hundred are for the others."""
_AGAIN: Final = 1.0
"""Seconds after which a flood asks again about hosts of which nothing could be said."""
_STREAM: Final = 100
"""Messages of a stream in a second."""
_LONGEST: Final = 90.0
"""Seconds after which a flood ends, whether or not each host has its verdict."""
_PATIENCE: Final = 30.0
"""Seconds that a greeting is waited for in the background. By default it is five minutes."""
_BACK: Final = 240.0
"""Seconds after the attack for everything to be closed."""
_HELD: Final = 30.0
"""Seconds for which all are connected at once, and others are served beside them."""


@dataclass(frozen=True)
class Candidate:
    """Hosts of these kinds in turn, asked about in a `flood` or a stream, and settings by section. Where all are to be
    `held` at once, that is the time that counts."""

    settings: Mapping[str, Mapping[str, Any]]
    kinds: Sequence[str] = HOSTILE
    flood: bool = False
    held: bool = False


CANDIDATES: Final = {
    "stream": Candidate({"improvements": UNLIMITED}),
    "held": Candidate(
        {
            "improvements": UNLIMITED | {"probes_at_once": 0, "slow_greeting": None},
            "mx_check": {"read_timeout": 180.0},
            "server": {"max_concurrent_requests": 20_000},
        },
        kinds=("silent", "octet a second", "no end of the line"),
        held=True,
    ),
    "flood": Candidate({"improvements": UNLIMITED}, flood=True),
    "flood, limits a minute": Candidate({}, flood=True),
}
"""The limits of probes in a minute would spare the service most of the hosts, and its other bounds all but some."""
_CONTROL: Final = 5
"""One good host that nobody knew for so many hostile ones."""
_NEUTRAL: Final = frozenset({"unavailable", "ratelimited", "inflight", "df", "redis_error"})
"""What is said when nothing is known, and costs the sender nothing."""
_TOLD: Final = frozenset({"gd", "tr", "tc", "rf", "inv", "ratelimited"})
"""What ends the asking about a host."""


PHASES: Final = ("alone", "good", "hostile")


@contextmanager
def in_front() -> Iterator[None]:
    """Within the block, start processes that go before the attackers on their core: elsewhere these are not there."""
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


@contextmanager
def steady(url: str, names: Path) -> Iterator[list[list[Any]]]:
    """Keep the ordinary load up within the block; afterwards the list has the answers."""
    argv = [sys.executable, "-m", "bench.steady", url, str(RATE), str(SHARE), str(names), str(WARM)]
    with in_front():
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        answers: list[list[Any]] = []
        try:
            yield answers
        finally:
            told, _ = process.communicate()
        answers += json.loads(told)


class Attack:
    """Messages about hostile hosts, and what was said of them."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self.asked = 0
        self.given: Counter[str] = Counter()

    async def flood(self, names: Sequence[str]) -> None:
        """Ask about all names at once, and again and again about those of which nothing could be said."""
        left = deque(names)
        end = time.monotonic() + _LONGEST

        async def caller() -> None:
            while left and time.monotonic() < end:
                untold = await self._untold([left.popleft() for _ in range(min(_A_MESSAGE, len(left)))])
                if untold:
                    await asyncio.sleep(_AGAIN)
                    left.extend(untold)

        async with asyncio.TaskGroup() as callers:
            for _ in range(_CALLERS):
                callers.create_task(caller())

    async def stream(self, names: Sequence[str]) -> None:
        """Ask about each name once, at a fixed rate."""
        start = time.monotonic()
        async with asyncio.TaskGroup() as asking:
            for number, name in enumerate(names):
                await asyncio.sleep(start + number / _STREAM - time.monotonic())
                asking.create_task(self._untold([name]))

    async def _untold(self, names: Sequence[str]) -> list[str]:
        """Ask about names with one message; return those to be asked about again."""
        self.asked += len(names)
        said = dict.fromkeys(names, "")
        try:
            body = {"mime_from": [f"x@{name}" for name in names]}
            async with self._session.post(f"{self._url}/v1/check", json=body) as response:
                reply = await response.json(content_type=None)
            if response.status == 200:
                said = {domain["domain"]: domain["verdict"] for domain in reply["domains"]}
            else:
                said = dict.fromkeys(names, f"HTTP {response.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            said = dict.fromkeys(names, type(error).__name__)
        self.given.update(said.values())
        return [name for name, verdict in said.items() if verdict not in _TOLD]


async def attack(url: str, names: Sequence[str], *, flood: bool) -> Attack:
    timeout = aiohttp.ClientTimeout(total=_LONGEST)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        attack = Attack(url, session)
        await (attack.flood if flood else attack.stream)(names)
        return attack


def wait_back(pid: int, files: int) -> float | None:
    """Return the seconds until the process has no more files open than these; None: it has not got there."""
    start = time.monotonic()
    while (passed := time.monotonic() - start) < _BACK:
        if open_files(pid) <= files:
            return passed
        time.sleep(LOOK)
    return None


def measure(name: str, options: Namespace) -> dict[str, Any]:
    candidate = CANDIDATES[name]
    good = [(f"good{number}", "good", number) for number in range(WARM + _COLD)]
    kinds = candidate.kinds
    hostile = [(f"bad{number}", kinds[number % len(kinds)], number // len(kinds)) for number in range(options.peers)]
    new = [(f"new{number}", "good", WARM + _COLD + number) for number in range(options.peers // _CONTROL)]
    with ExitStack() as stack, on_core(OTHER_CORE):
        with in_front():
            redis = stack.enter_context(RedisServer())
            peers = stack.enter_context(SmtpFarm("good"))
        farm = stack.enter_context(SmtpFarm("hostile", peers.port))
        zone = "".join(
            f"{name} MX 10 mx.{name}\nmx.{name} A {farm.address(kind, number)}\n"
            for name, kind, number in (*good, *new, *hostile)
        )
        with in_front():
            knot = stack.enter_context(KnotServer({ZONE: zone}))
        settings: dict[str, dict[str, Any]] = {
            "cache": {"url": redis.url},
            "dns": {"nameservers": [knot.nameserver]},
            "improvements": {"greeting_patience": _PATIENCE},
            "mx_check": {"test_mode": True, "port": farm.port, "verify_greeting": True, "send_quit": True},
            "server": dict(QUIET),
        }
        for section, values in candidate.settings.items():
            settings[section] = {**settings[section], **values}
        with on_core(SERVER_CORE):
            service = stack.enter_context(Service(settings))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mxcheck-bench-"))
        names = Path(folder) / "names"
        names.write_text("\n".join(f"{name}.{ZONE}" for name, _, _ in good))
        with steady(service.url, names) as answers:
            # Until all that is warm has been asked about, and the first cold ones have grown the process.
            time.sleep(2 * WARM / RATE + 5)
            files, resident = open_files(service.pid), resident_bytes(service.pid)
            moments = [Moment.of(service.pid)]
            time.sleep(options.quiet)
            moments.append(Moment.of(service.pid))
            uvloop.run(attack(service.url, [f"{name}.{ZONE}" for name, _, _ in new], flood=candidate.flood))
            moments.append(Moment.of(service.pid))
            with sampled(service.pid) as samples:
                attacked = [f"{name}.{ZONE}" for name, _, _ in hostile]
                begun = Moment.of(service.pid)
                met = uvloop.run(attack(service.url, attacked, flood=candidate.flood))
                if candidate.held:
                    begun = Moment.of(service.pid)
                    time.sleep(_HELD)
                over = Moment.of(service.pid)
                # What has only begun to linger or to say goodbye goes on for a time.
                time.sleep(5)
        back = wait_back(service.pid, files)
        seen = farm.seen()
    phases = dict(zip(PHASES, (*itertools.pairwise(moments), (begun, over)), strict=True))
    return {
        "phases": {name: start.until(end) for name, (start, end) in phases.items()},
        "asked": met.asked,
        "given": dict(met.given.most_common()),
        "ordinary": {name: ordinary(answers, start.time, end.time) for name, (start, end) in phases.items()},
        "resident_mebibytes": [resident / 2**20, max(samples.resident) / 2**20],
        "files": [files, max(samples.files)],
        "seconds_until_closed": back,
        "most_taken": max(seen[kind].most_taken for kind in HOSTILE),
        "connections": sum(seen[kind].connections for kind in HOSTILE),
    }


def ordinary(answers: Sequence[Sequence[Any]], start: float, end: float) -> dict[str, Any]:
    """What the ordinary load saw of requests that were due in this time."""
    found = [answer for answer in answers if start <= answer[0] < end]
    told: dict[str, Any] = {}
    for kind, warm in (("warm", True), ("cold", False)):
        seconds = [answer[1] for answer in found if answer[2] is warm]
        said = Counter(answer[3] for answer in found if answer[2] is warm)
        told[kind] = {
            "requests": len(seconds),
            "p50_milliseconds": report.percentile(seconds, 50) * 1e3,
            "p99_milliseconds": report.percentile(seconds, 99) * 1e3,
            "slowest_milliseconds": max(seconds) * 1e3,
            "good": said["gd"],
            "not_known": sum(said[verdict] for verdict in _NEUTRAL),
            "other": {verdict: count for verdict, count in said.items() if verdict not in _NEUTRAL | {"gd"}},
        }
    return told


def tables(results: Mapping[str, Any]) -> Iterator[str]:
    head = ["", "domains", "p99 alone, ms", "beside good ones", "beside hostile ones", "of alone", "of good"]
    yield report.table([*head, "not known", "wrong"], load_rows(results))
    rows = [
        [
            candidate,
            *(f"{found['phases'][phase]['running']:.0%}" for phase in PHASES),
            f"{found['phases']['hostile']['seconds']:.0f}",
            f"{found['connections']:,}",
            "{:.0f} -> {:.0f}".format(*found["resident_mebibytes"]),
            "{} -> {}".format(*found["files"]),
            "never" if found["seconds_until_closed"] is None else f"{5 + found['seconds_until_closed']:.0f} s",
            f"{found['most_taken']:,}",
        ]
        for candidate, found in results.items()
    ]
    head = [
        "",
        "processor alone",
        "good",
        "hostile",
        "seconds",
        "connections",
        "MiB",
        "files",
        "closed after",
        "octets",
    ]
    yield report.table(head, rows)


def load_rows(results: Mapping[str, Any]) -> Iterator[list[str]]:
    for candidate, found in results.items():
        for kind in ("warm", "cold"):
            told = [found["ordinary"][phase][kind] for phase in PHASES]
            alone, good, hostile = (each["p99_milliseconds"] for each in told)
            yield [
                candidate,
                kind,
                *(f"{p99:.1f}" for p99 in (alone, good, hostile)),
                f"{hostile / alone:.2f}",
                f"{hostile / good:.2f}",
                f"{told[-1]['not_known']} of {told[-1]['requests']}",
                str(sum(told[-1]["other"].values())),
            ]


def main() -> None:
    parser = report.options("hostile_peers", __doc__)
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--quiet", type=float, default=60.0, help="seconds of the ordinary load alone")
    parser.add_argument("--only", choices=CANDIDATES)
    arguments = parser.parse_args()
    chosen = [arguments.only] if arguments.only else list(CANDIDATES)
    results = {name: measure(name, arguments) for name in chosen}
    report.save(arguments, results)
    print(*tables(results), sep="\n\n")


if __name__ == "__main__":
    main()
