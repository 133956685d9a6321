"""What happens to a single Redis."""

import asyncio
from contextlib import ExitStack
from typing import Final

from tests.hostile.harness import Fault
from tests.hostile.scene import Scene
from tests.lab.load import Load
from tests.lab.redis import RedisServer


def _redis(scene: Scene) -> RedisServer:
    assert isinstance(scene.store, RedisServer)
    return scene.store


class Killed(Fault):
    name = "Redis killed (-9) and started again"

    async def begin(self, scene: Scene, load: Load) -> None:
        await asyncio.to_thread(_redis(scene).kill)

    async def end(self, scene: Scene, load: Load) -> None:
        await asyncio.to_thread(_redis(scene).start)


class Stopped(Fault):
    name = "Redis hangs (SIGSTOP)"

    async def begin(self, scene: Scene, load: Load) -> None:
        self._paused = ExitStack()
        self._paused.enter_context(_redis(scene).paused())

    async def end(self, scene: Scene, load: Load) -> None:
        self._paused.close()


FAULTS: Final = (Killed(), Stopped())
