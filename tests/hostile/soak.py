"""A service that meets everything at once, for long: mixed callers, and random faults one after the other.

soak = Soak(seed=1)
await soak.run(seconds=1800)
print(soak.accounts, soak.happened, soak.samples)
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import psutil

from tests.hostile.faults import dns_server, redis_server
from tests.hostile.faults.redis_server import ProxiedScene
from tests.hostile.harness import DEADLINE, Fault
from tests.hostile.scene import Scene, primaries
from tests.hostile.soak_callers import Account, Callers
from tests.lab.load import Judged, Load

RATE: Final = 25.0
"""Requests a second of the steady load; each cold good domain costs the lab a listening socket for good."""
_WORKERS: Final = 2
_CALM: Final = 3.0
"""Seconds after a fault from which on it is calm: what is under way then is the load's alone."""
_LASTS: Final = (1.0, 3.0)
_PAUSE: Final = (4.0, 7.0)
_SAMPLE: Final = 1.0
_TOGETHER: Final = 100
"""Names of one request that fills (server.max_addresses)."""
_KEPT: Final = 600
"""Seconds that they stand in the cache."""
_HARVEST: Final = 5.0
_UNNOTICED: Final = 1.0
"""Seconds after a worker's death in which a caller may still use a connection to it."""
_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "server": {"workers": _WORKERS},
    # Small, so that they are full when it is compared: a cache that fills is no leak.
    "cache": {"near_entries": 1000},
    "mx_check": {"verify_greeting": True, "read_timeout": 1.0},
    "improvements": {"slow_greeting": 0.5, "greeting_patience": 10.0},
}


class _SoakScene(ProxiedScene):
    def __init__(self) -> None:
        super().__init__(settings=_SETTINGS)

    def settings(self) -> dict[str, Any]:
        made = super().settings()
        return made | {"cache": {"url": self.cache_url()} | made["cache"]}


class _YoungestWorker(Fault):
    """A fault of the youngest worker: the oldest one is to grow old, so that what grows in it shows."""

    def __init__(self, name: str, begins: signal.Signals, ends: signal.Signals | None) -> None:
        self.name = name
        self._begins = begins
        self._ends = ends

    async def begin(self, scene: Scene, load: Load) -> None:
        self._pid = workers(scene)[-1].pid
        os.kill(self._pid, self._begins)

    async def end(self, scene: Scene, load: Load) -> None:
        if self._ends:
            os.kill(self._pid, self._ends)


class _Reload(Fault):
    name = "reload (SIGHUP)"

    async def begin(self, scene: Scene, load: Load) -> None:
        os.kill(scene.service.pid, signal.SIGHUP)

    async def end(self, scene: Scene, load: Load) -> None:
        """It ends by itself."""


KILLED: Final = _YoungestWorker("a worker killed (-9)", signal.SIGKILL, None)
FAULTS: Final[tuple[Fault, ...]] = (
    *redis_server.FAULTS,
    *dns_server.FAULTS,
    KILLED,
    _YoungestWorker("a worker hangs (SIGSTOP)", signal.SIGSTOP, signal.SIGCONT),
    _Reload(),
)


@dataclass(frozen=True)
class Sample:
    """What the service holds, `at` so many seconds after the start.

    `parent` and `worker` are octets of memory. Like descriptors, which callers' connections are none of, and threads,
    they are of the parent and the oldest worker: one that has been replaced begins anew. Tasks and greetings are of
    all.
    """

    at: float
    calm: bool
    parent: int
    worker: int
    descriptors: int
    threads: int
    tasks: int
    lingering: int


def workers(scene: Scene) -> list[psutil.Process]:
    """Return the workers, the oldest first."""
    return sorted(psutil.Process(scene.service.pid).children(), key=lambda child: child.create_time())


async def _fill(scene: Scene, names: int) -> None:
    """Fill what keeps the latest names: all that has a bound is at it then, and what grows has none.

    The names have a host and an address of their own, from the cache. Each request comes over a connection of its own,
    and the kernel gives the workers about as many of them.
    """
    filler = [(f"x{number}.filler.test", f"127.9.{number >> 8}.{number & 255}") for number in range(_WORKERS * names)]
    keys: dict[str, str] = {}
    for name, ip in filler:
        keys |= {f"rmx:d:{name}": f"mx:mx.{name}:10", f"rmx:m:mx.{name}": f"v64:{ip}", f"rmx:i:{ip}": "gd"}
    for server in primaries(scene.store):
        await asyncio.to_thread(server.ask_all, [("SET", key, value, "EX", _KEPT) for key, value in keys.items()])
    for first in range(0, len(filler), _TOGETHER):
        reply = await scene.service.check({"mime_from": [f"a@{name}" for name, _ in filler[first : first + _TOGETHER]]})
        assert reply.status == 200, reply.body
        assert {domain["verdict"] for domain in reply.body["domains"]} == {"gd"}, reply.body


class Soak:
    """One run. Everything that is random comes from the seed, but for how long things take."""

    def __init__(self, seed: int, *, rate: float = RATE) -> None:
        self._rng = random.Random(seed)
        self._rate = rate
        self._deaths: list[float] = []
        self._last_fault = 0.0
        self._is_broken = False
        self.steady = {mix: Account() for mix in ("warm", "cold", "again")}
        self.happened: Counter[str] = Counter()
        self.samples: list[Sample] = []

    @property
    def accounts(self) -> dict[str, Account]:
        """What became of every request, by what asked."""
        return self.steady | self._callers.accounts

    async def run(self, seconds: float, *, names: int = 0) -> None:
        """Run for so long, after so many names were asked for, of each worker.

        Raises AssertionError when the service is not sound in the end, or leaves a lock.
        """
        async with _SoakScene() as scene:
            self._callers = Callers(scene, random.Random(self._rng.random()), DEADLINE, self._may_be_lost)
            load = Load(scene.service.url, scene.senders, rate=self._rate, deadline=DEADLINE)
            await _fill(scene, names)
            self._began = time.monotonic()
            async with load.flowing():
                assert await load.all_true(10, within=10), "not sound before the first fault"
                beside = [
                    asyncio.create_task(work)
                    for work in (self._callers.run(), self._sample(scene), self._harvest(scene, load))
                ]
                try:
                    await self._break(scene, load, self._began + seconds)
                    assert await load.all_true(50, within=20), "not sound after the last fault"
                finally:
                    for task in beside:
                        task.cancel()
                    ended = await asyncio.gather(*beside, return_exceptions=True)
            self._fold(load)
            for one in ended:
                if isinstance(one, Exception):
                    raise one
            before, crash, after = scene.service.log.partition("Traceback")
            assert not crash, before[-1000:] + crash + after[:4000]
            # With greetings read a lock lives longer than the harness waits; every one of them is looked at anew.
            await asyncio.sleep(4.0)
            assert await scene.stuck_locks() == []

    async def _break(self, scene: Scene, load: Load, end: float) -> None:
        deck: list[Fault] = []
        while time.monotonic() < end:
            # Each comes once before any comes again, so that what is grown once is so before it is compared.
            deck = deck or self._rng.sample(FAULTS, len(FAULTS))
            fault = deck.pop()
            self._is_broken = True
            await fault.begin(scene, load)
            if fault is KILLED:
                self._deaths.append(time.monotonic())
            await load.flow(self._rng.uniform(*_LASTS))
            await fault.end(scene, load)
            self._is_broken, self._last_fault = False, time.monotonic()
            self.happened[fault.name] += 1
            await load.flow(self._rng.uniform(*_PAUSE))
            await fault.restore(scene)

    def _may_be_lost(self, began: float, ended: float) -> bool:
        return any(began - _UNNOTICED <= death <= ended for death in self._deaths)

    async def _sample(self, scene: Scene) -> None:
        while True:
            calm = not self._is_broken and time.monotonic() - self._last_fault > _CALM
            with suppress(psutil.NoSuchProcess, OSError, aiohttp.ClientError):  # a worker has just gone
                self.samples.append(await self._sampled(scene, calm))
            await asyncio.sleep(_SAMPLE)

    async def _sampled(self, scene: Scene, calm: bool) -> Sample:
        told = await scene.service.metrics()
        port = urlsplit(scene.service.url).port
        parent, worker = psutil.Process(scene.service.pid), workers(scene)[0]
        # Callers keep as many connections as they once needed at a time.
        callers = [each for each in worker.net_connections("tcp") if each.raddr and each.laddr.port == port]
        return Sample(
            round(time.monotonic() - self._began, 1),
            calm,
            parent.memory_info().rss,
            worker.memory_info().rss,
            parent.num_fds() + worker.num_fds() - len(callers),
            parent.num_threads() + worker.num_threads(),
            int(told.value("mxcheck_background_tasks")),
            int(told.value("mxcheck_lingering_probes")),
        )

    async def _harvest(self, scene: Scene, load: Load) -> None:
        """Count what has been answered, and forget it: the lab is not to grow either."""
        while True:
            await asyncio.sleep(_HARVEST)
            self._fold(load, keep=_HARVEST)
            scene.dns.asked.clear()

    def _fold(self, load: Load, keep: float = 0.0) -> None:
        """Take every request into account that has ended; `keep`: but those sent in the last seconds."""
        young = time.monotonic() - keep
        ended = [one for one in load.requests if one.ended is not None and one.sent < young]
        for one in ended:
            assert one.ended is not None
            judged = one.judged(load.patience)
            self.steady[one.mix].add(judged, asdict(one), lost=self._may_be_lost(one.sent, one.ended))
        # In place, since who waits for replies looks at this list.
        load.requests[:] = [one for one in load.requests if one.ended is None or one.sent >= young]

    def bad(self) -> dict[str, list[str]]:
        """Return samples of what failed or was answered wrong, by what asked."""
        return {
            name: account.samples
            for name, account in self.accounts.items()
            if account.counts[Judged.FAILED] or account.counts[Judged.WRONG]
        }
