"""What happens to a Redis that sentinels watch, and to a cluster, with two workers on them."""

import asyncio
from contextlib import ExitStack
from typing import Final

from tests.hostile.harness import Fault, Targets
from tests.hostile.scene import Scene
from tests.lab.load import Load
from tests.lab.redis import RedisServer
from tests.lab.redis_cluster import RedisCluster
from tests.lab.redis_sentinel import RedisSentinel

_TWO_WORKERS: Final = {"server": {"workers": 2}}
_Deployment = type[RedisSentinel] | type[RedisCluster]


class _OfDeployment(Fault):
    def __init__(self, deployment: _Deployment, name: str) -> None:
        self.deployment = deployment
        self.name = name

    def scene(self) -> Scene:
        return Scene(self.deployment, _TWO_WORKERS)

    async def restore(self, scene: Scene) -> None:
        if isinstance(scene.store, RedisCluster):
            await asyncio.to_thread(scene.store.wait_healthy)


class PrimaryKilled(_OfDeployment):
    """It ends when another one is in its place; until then nobody serves its keys."""

    ends_by_itself = True

    async def begin(self, scene: Scene, load: Load) -> None:
        self._victim = victim_of(scene)
        await asyncio.to_thread(self._victim.kill)

    async def end(self, scene: Scene, load: Load) -> None:
        await asyncio.to_thread(_watched(scene).wait_failed_over, self._victim)


class PrimaryHanging(_OfDeployment):
    """It ends when another one is in its place, and the old one goes on, which thinks for a while that it is one."""

    ends_by_itself = True

    async def begin(self, scene: Scene, load: Load) -> None:
        self._victim = victim_of(scene)
        self._paused = ExitStack()
        self._paused.enter_context(self._victim.paused())

    async def end(self, scene: Scene, load: Load) -> None:
        await asyncio.to_thread(_watched(scene).wait_failed_over, self._victim)
        self._paused.close()


class SlotsMoved(_OfDeployment):
    """All slots of a primary move to another one, all at once, where redis-cli would move one after the other: as long
    as it lasts a third of the keys are on their way, and what is not at the old place is asked for at the new one."""

    targets = Targets(not_known=0)

    async def begin(self, scene: Scene, load: Load) -> None:
        cluster = _watched(scene)
        assert isinstance(cluster, RedisCluster)
        source, target, *_ = cluster.primaries
        self._moving = cluster.emptying(source, target)
        await asyncio.to_thread(self._moving.__enter__)
        await asyncio.to_thread(self._moving.move_keys)

    async def end(self, scene: Scene, load: Load) -> None:
        await asyncio.to_thread(self._moving.finish)


def victim_of(scene: Scene) -> RedisServer:
    """A primary that has keys that are asked for all the time."""
    return _watched(scene).primary_of(f"rmx:d:{scene.senders.warm[0].name}")


def _watched(scene: Scene) -> RedisSentinel | RedisCluster:
    assert not isinstance(scene.store, RedisServer)
    return scene.store


FAULTS: Final = (
    SlotsMoved(RedisCluster, "Cluster: a third of the slots moved"),
    PrimaryKilled(RedisCluster, "Cluster: primary killed (-9), until the failover"),
    PrimaryHanging(RedisCluster, "Cluster: primary hangs (SIGSTOP), back after the failover"),
    PrimaryKilled(RedisSentinel, "Sentinel: primary killed (-9), until the failover"),
    PrimaryHanging(RedisSentinel, "Sentinel: primary hangs (SIGSTOP), back after the failover"),
)
