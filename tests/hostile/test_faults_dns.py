"""Whatever happens to the resolver: no request fails, no verdict is wrong, nothing forged is believed."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.hostile import harness
from tests.hostile.faults import dns_server
from tests.hostile.harness import SHORT, Fault
from tests.hostile.scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """One for all of these faults: each has to leave it sound."""
    async with Scene() as entered:
        yield entered


@pytest.mark.parametrize("fault", dns_server.FAULTS, ids=lambda fault: fault.name)
async def test_dns_breaks_and_nobody_pays(scene: Scene, fault: Fault) -> None:
    cost, load = await harness.run(fault, scene, SHORT)
    assert cost.missed(fault.targets) == [], harness.odd(load)
