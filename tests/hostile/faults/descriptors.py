"""The service has no file descriptor left, and callers hold many."""

import asyncio
import resource
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.hostile.harness import Fault
from tests.hostile.scene import Scene
from tests.lab.load import Load

_IDLE: Final = 30
"""Connections that callers hold and do not use."""
_WAITING: Final = 10
"""Callers that come while there is no room, each with a request."""
_REQUEST: Final = b"GET /healthz HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n"


class Exhausted(Fault):
    """`busy` is the share of the time in which the service had something to do; `said`, what it logged meanwhile;
    `late`, the replies to those who came meanwhile."""

    name = "no file descriptors left"

    async def begin(self, scene: Scene, load: Load) -> None:
        self._callers = ExitStack()
        for _ in range(_IDLE):
            await self._connect(scene)
        self._pid = scene.service.pid
        self._allowed = resource.prlimit(self._pid, resource.RLIMIT_NOFILE)
        free = next(number for number in range(self._allowed[0]) if number not in _open(self._pid))
        self._before = len(scene.service.log)
        self._used, self._since = self._busy_seconds(), asyncio.get_running_loop().time()
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (free, self._allowed[1]))
        waiting = [await self._connect(scene) for _ in range(_WAITING)]
        for _, writer in waiting:
            writer.write(_REQUEST)
        self._replies = [asyncio.create_task(reader.read()) for reader, _ in waiting]

    async def end(self, scene: Scene, load: Load) -> None:
        seconds = asyncio.get_running_loop().time() - self._since
        self.busy = (self._busy_seconds() - self._used) / seconds
        self.said = scene.service.log[self._before :]
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, self._allowed)
        async with asyncio.timeout(2):
            self.late = await asyncio.gather(*self._replies)
        self._callers.close()

    async def _connect(self, scene: Scene) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = urlsplit(scene.service.url)
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        self._callers.callback(writer.close)
        return reader, writer

    def _busy_seconds(self) -> float:
        """Return for how long the main thread has run, or waited for a core that others had (proc(5), schedstat)."""
        ran, waited, _ = Path(f"/proc/{self._pid}/schedstat").read_text().split()
        return (int(ran) + int(waited)) / 1e9


def _open(pid: int) -> set[int]:
    return {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}


FAULTS: Final = (Exhausted(),)
