"""The scenario table through rspamd and the plugin: what the service says is what rspamd does.

The same rows as in test_scenarios.py, which holds the service's own replies to the same expectations: symbols, scores,
options and action must come out of rspamd as the service gave them, and Redis and the peers must see the same.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.scenarios.row import fill
from tests.e2e.scenarios.services import SERVICES
from tests.e2e.scenarios.stage import NUMBERED, Stage, scene, stage
from tests.e2e.scenarios.through_rspamd import ACTIONS, GREYLIST_WITNESS, envelope, message, seen, wanted
from tests.lab.redis import RedisServer
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import rspamd_with_plugin

__all__ = ["stage"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")

# Rows whose request no message to rspamd can be: those about the JSON itself, and the one whose envelope sender is not
# ASCII, which rspamd 3.4's parser takes for no sender at all.
NO_MESSAGE = {name for name, (_, row) in NUMBERED.items() if "deadline_ms" in row.request} | {"idn"}
ROWS = [name for name in NUMBERED if name not in NO_MESSAGE]


class Fleet:
    """An rspamd for each service of the table, started when the first row asks for it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._running: dict[str, Rspamd] = {}

    def before(self, service: str, url: str) -> Rspamd:
        if service not in self._running:
            mx_check: Mapping[str, object] = SERVICES[service].get("mx_check", {})
            shared = {
                key: value
                for key, value in mx_check.items()
                if key.startswith("symbol_") or key in ("check_local", "check_authorized")
            }
            witness = self._folder / "witness.lua"
            witness.write_text(GREYLIST_WITNESS)
            self._running[service] = self._stack.enter_context(
                rspamd_with_plugin(
                    {"url": url, "timeout": 7.5} | shared,
                    plugins={"witness.lua": witness},
                    local_d={"actions.conf": ACTIONS},
                    rspamd_conf_local="\nwitness { }\n",
                )
            )
        return self._running[service]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(tmp_path_factory.mktemp("witness"), stack)


@pytest.mark.parametrize("name", ROWS)
async def test_scenario_through_rspamd(
    name: str,
    stage: Stage,
    fleet: Fleet,
    redis_server: RedisServer,
    smtp_port: int,
    request: pytest.FixtureRequest,
) -> None:
    async with scene(name, stage, redis_server, smtp_port, request) as (row, names, service):
        rspamd = fleet.before(row.service, service.url)
        body = fill(row.request, names)
        reply = await asyncio.wait_for(rspamd.scan(message(body), **envelope(body)), 20)
        assert seen(reply) == wanted(row, names)


async def test_the_table_is_long_enough() -> None:
    assert len(ROWS) >= 60
