"""What happens to the service's own processes: one of them is killed, or all are to end."""

import asyncio
import os
import signal
import time
from typing import Final
from urllib.parse import urlsplit

import psutil

from tests.hostile.harness import Fault, Targets
from tests.hostile.scene import Scene
from tests.lab.dns_behaviours import Delayed
from tests.lab.load import Load, Request
from tests.lab.waiting import poll_until

_WORKERS: Final = 2
_SLOW: Final = 0.4
"""Seconds that a DNS answer takes, so that requests are under way."""


class WorkerKilled(Fault):
    """`under_way` are the requests that were so when it was killed, in whosever hands; `killed` is when that was."""

    name = f"one of {_WORKERS} workers killed (-9)"
    targets = Targets(
        failed=20,
        why="What the killed worker had in hand is lost with it, and so is what came over its connections before their"
        " end was noticed. No other request is: the test holds each failure to that moment.",
    )

    def scene(self) -> Scene:
        return Scene(settings={"server": {"workers": _WORKERS}})

    async def begin(self, scene: Scene, load: Load) -> None:
        scene.dns.through = lambda behaviour: Delayed(behaviour, seconds=_SLOW)
        await load.flow(2 * _SLOW)
        scene.dns.through = lambda behaviour: behaviour
        self.under_way, self.killed = _under_way(load), time.monotonic()
        os.kill(min(_workers(scene)), signal.SIGKILL)

    async def end(self, scene: Scene, load: Load) -> None:
        """Nothing: that the worker is replaced is the service's to do."""


class Stalled(Fault):
    """As by a machine that swaps, or a virtual one that is paused."""

    name = "the service itself hangs (SIGSTOP)"

    async def begin(self, scene: Scene, load: Load) -> None:
        os.kill(scene.service.pid, signal.SIGSTOP)

    async def end(self, scene: Scene, load: Load) -> None:
        os.kill(scene.service.pid, signal.SIGCONT)


class Terminated(Fault):
    """Callers stop sending, as they are told by a load balancer, and what is under way is answered.

    `under_way` are the requests that were so at the signal, `code` is the exit code that came after `seconds`.
    """

    IN_TIME: Final = 4.0

    name = "SIGTERM under load, started again"

    async def begin(self, scene: Scene, load: Load) -> None:
        scene.dns.through = lambda behaviour: Delayed(behaviour, seconds=_SLOW)
        await load.flow(2 * _SLOW)
        load.hold()
        # Until what was sent has been read: what is read after the signal is turned away.
        await load.flow(_SLOW / 4)
        self.under_way = _under_way(load)
        since = asyncio.get_running_loop().time()
        self.code = await scene.service.stop(within=5)
        self.seconds = asyncio.get_running_loop().time() - since
        scene.dns.through = lambda behaviour: behaviour

    async def end(self, scene: Scene, load: Load) -> None:
        await asyncio.to_thread(scene.service.start)
        load.resume()


def _under_way(load: Load) -> list[Request]:
    return [one for one in load.requests if one.ended is None]


def _workers(scene: Scene) -> set[int]:
    """Return the workers that accept connections, by process id; waits until all do."""
    port = urlsplit(scene.service.url).port

    def listening() -> set[int]:
        return {
            child.pid
            for child in psutil.Process(scene.service.pid).children()
            if any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in child.net_connections("tcp"))
        }

    poll_until(lambda: len(listening()) == _WORKERS, 30, "every worker listens")
    return listening()


FAULTS: Final = (WorkerKilled(), Stalled(), Terminated())
