"""Whatever happens to Redis: no request fails, no verdict is wrong, no lock stays, and it is over in two seconds."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.hostile import harness
from tests.hostile.faults import redis_deployments, redis_server
from tests.hostile.harness import SHORT, Fault, Pace
from tests.hostile.scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_CLUSTER = [fault for fault in redis_deployments.FAULTS if "Cluster" in fault.name]
OF_SENTINEL = [fault for fault in redis_deployments.FAULTS if "Sentinel" in fault.name]
# Three to six servers of Redis and two workers share the processor with the load.
_OF_SEVERAL = replace(SHORT, rate=25.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """One for all faults of a single Redis: each has to leave it sound."""
    async with redis_server.FAULTS[0].scene() as entered:
        yield entered


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster_scene() -> AsyncIterator[Scene]:
    """One for all faults of a cluster."""
    async with OF_CLUSTER[0].scene() as entered:
        yield entered


async def nobody_pays(fault: Fault, scene: Scene, pace: Pace) -> None:
    cost, load = await harness.run(fault, scene, pace)
    assert cost.missed(fault.targets) == [], harness.odd(load)
    await is_cached_again(scene)
    log = scene.service.log
    assert "Traceback" not in log
    await fault.restore(scene)


async def is_cached_again(scene: Scene) -> None:
    """What has never been asked for is written, and found by the second one who asks."""
    body = {"sender": f"user@{scene.senders.new().name}"}
    replies = [await scene.service.check(body) for _ in range(2)]
    assert [reply.body["domains"][0]["cached"] for reply in replies] == [False, True]


@pytest.mark.parametrize("fault", redis_server.FAULTS, ids=lambda fault: fault.name)
async def test_redis_breaks_and_nobody_pays(scene: Scene, fault: Fault) -> None:
    await nobody_pays(fault, scene, SHORT)


@pytest.mark.parametrize("fault", OF_CLUSTER, ids=lambda fault: fault.name)
async def test_a_cluster_breaks_and_nobody_pays(cluster_scene: Scene, fault: Fault) -> None:
    await nobody_pays(fault, cluster_scene, _OF_SEVERAL)


@pytest.mark.parametrize("fault", OF_SENTINEL, ids=lambda fault: fault.name)
async def test_a_primary_under_sentinels_breaks_and_nobody_pays(fault: Fault) -> None:
    # Sentinels take seconds before they fail over a second time.
    async with fault.scene() as scene:
        await nobody_pays(fault, scene, _OF_SEVERAL)
