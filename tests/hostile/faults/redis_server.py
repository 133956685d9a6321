"""What happens to a single Redis, with two workers on it."""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Final, TypeAlias

from tests.hostile.harness import Fault, Targets
from tests.hostile.scene import Scene
from tests.lab.load import Load
from tests.lab.redis import RedisServer
from tests.lab.tcp_proxy import TcpProxy

_TWO_WORKERS: Final = {"server": {"workers": 2}}
_PASSWORD: Final = "n0t-told"
_NOBODY: Final = 9
"""A port of 127.0.0.1 where nobody listens."""


_ANY: Final = Targets()
Commands: TypeAlias = tuple[tuple[str | int, ...], ...]


class ProxiedScene(Scene):
    """The service reaches its Redis through a proxy."""

    async def prepare(self, stack: AsyncExitStack) -> None:
        self.proxy = await stack.enter_async_context(TcpProxy(redis_of(self).port))

    def cache_url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"


class _OfRedis(Fault):
    """All of them may share a scene."""

    def scene(self) -> Scene:
        return ProxiedScene(settings=_TWO_WORKERS)


class Killed(_OfRedis):
    name = "Redis killed (-9) and started again"

    async def begin(self, scene: Scene, load: Load) -> None:
        await asyncio.to_thread(redis_of(scene).kill)

    async def end(self, scene: Scene, load: Load) -> None:
        await asyncio.to_thread(redis_of(scene).start)


class Hanging(_OfRedis):
    name = "Redis hangs (SIGSTOP)"

    async def begin(self, scene: Scene, load: Load) -> None:
        self._paused = ExitStack()
        self._paused.enter_context(redis_of(scene).paused())

    async def end(self, scene: Scene, load: Load) -> None:
        self._paused.close()


class Slow(_OfRedis):
    """Over `cache.timeout` a command fails that Redis has carried out: a lock is there that nobody knows to be his."""

    def __init__(self, delay: float, name: str, targets: Targets) -> None:
        self.name = name
        self.targets = targets
        self._delay = delay

    async def begin(self, scene: Scene, load: Load) -> None:
        _proxy_of(scene).delay = self._delay

    async def end(self, scene: Scene, load: Load) -> None:
        _proxy_of(scene).delay = 0.0


@dataclass
class Told(_OfRedis):
    """Commands to Redis make it so, and others undo it. A password is to be used with the latter."""

    name: str
    begins: Commands
    ends: Commands = ()
    password: str | None = None
    targets: Targets = _ANY

    async def begin(self, scene: Scene, load: Load) -> None:
        await asyncio.to_thread(redis_of(scene).ask_all, self.begins)
        redis_of(scene).password = self.password

    async def end(self, scene: Scene, load: Load) -> None:
        await asyncio.to_thread(redis_of(scene).ask_all, self.ends)
        redis_of(scene).password = None


def redis_of(scene: Scene) -> RedisServer:
    """The one Redis of the scene."""
    assert isinstance(scene.store, RedisServer)
    return scene.store


def _proxy_of(scene: Scene) -> TcpProxy:
    assert isinstance(scene, ProxiedScene)
    return scene.proxy


FAULTS: Final = (
    Killed(),
    Hanging(),
    Slow(0.1, "Redis slow (0.1 s for each answer)", Targets(not_known=0)),
    Slow(1.2, "Redis too slow (1.2 s, of which 1.0 s are waited)", _ANY),
    Told(
        "Redis out of memory (noeviction)",
        (("CONFIG", "SET", "maxmemory-policy", "noeviction"), ("CONFIG", "SET", "maxmemory", 1)),
        (("CONFIG", "SET", "maxmemory", 0),),
    ),
    Told(
        "Redis read-only (made a replica)",
        (("REPLICAOF", "127.0.0.1", _NOBODY),),
        (("REPLICAOF", "NO", "ONE"),),
    ),
    Told(
        "Redis without replicas to write to (NOREPLICAS)",
        (("CONFIG", "SET", "min-replicas-to-write", 1),),
        (("CONFIG", "SET", "min-replicas-to-write", 0),),
    ),
    Told(
        "Redis asks for another password",
        (
            ("CONFIG", "SET", "requirepass", _PASSWORD),
            ("CLIENT", "KILL", "TYPE", "pubsub"),
            ("CLIENT", "KILL", "TYPE", "normal"),
        ),
        (("CONFIG", "SET", "requirepass", ""),),
        password=_PASSWORD,
    ),
    Told("Redis flushed", (("FLUSHALL",),), targets=Targets(not_known=0)),
)
