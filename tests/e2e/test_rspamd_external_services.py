"""The second way into rspamd: the same file as a scanner of external_services, on a part of the scenario table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.scenarios.row import fill
from tests.e2e.scenarios.stage import NUMBERED, Stage, scene, stage
from tests.e2e.scenarios.through_rspamd import ACTIONS, GREYLIST_WITNESS, envelope, message, seen, wanted
from tests.lab.redis import RedisServer
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import PLUGIN_FOLDER
from tests.lab.sockets import free_port

__all__ = ["stage"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")

# Every third row of the service in its default settings.
ROWS = [name for name, (_, row) in NUMBERED.items() if row.service == "connect" and "deadline_ms" not in row.request]
ROWS = [name for name in ROWS if name != "idn"][::3]


def rspamd_with_scanner(url: str, folder: Path) -> Rspamd:
    """An rspamd set up as the section on external_services in docs/rspamd.md says."""
    witness = folder / "witness.lua"
    witness.write_text(GREYLIST_WITNESS)
    return Rspamd(
        plugins={"witness.lua": witness},
        rspamd_conf_local=f'lua = "{PLUGIN_FOLDER}/mxcheck.lua";\nwitness {{ }}\n',
        local_d={
            "actions.conf": ACTIONS,
            "external_services.conf": f'mxcheck {{ type = "mxcheck"; servers = "127.0.0.1"; url = "{url}"; }}',
        },
    )


class Scanners:
    """The rspamd with the scanner, started when the first row needs it and its service."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._rspamd: Rspamd | None = None

    def before(self, url: str) -> Rspamd:
        if self._rspamd is None:
            self._rspamd = self._stack.enter_context(rspamd_with_scanner(url, self._folder))
        return self._rspamd


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scanners(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scanners]:
    with ExitStack() as stack:
        yield Scanners(tmp_path_factory.mktemp("witness"), stack)


@pytest.mark.parametrize("name", ROWS)
async def test_scenario_through_external_services(
    name: str,
    stage: Stage,
    scanners: Scanners,
    redis_server: RedisServer,
    smtp_port: int,
    request: pytest.FixtureRequest,
) -> None:
    async with scene(name, stage, redis_server, smtp_port, request) as (row, names, service):
        body = fill(row.request, names)
        rspamd = scanners.before(service.url)
        reply = await asyncio.wait_for(rspamd.scan(message(body), **envelope(body)), 20)
        assert seen(reply) == wanted(row, names)


async def test_a_service_that_is_not_there_is_a_failed_scan(tmp_path: Path) -> None:
    with rspamd_with_scanner(f"http://127.0.0.1:{free_port()}", tmp_path) as rspamd:
        reply = await rspamd.scan(b"From: a@b.test\r\n\r\nx\r\n", sender="a@b.test")
    assert reply["action"] == "no action"
    assert reply["symbols"]["MXCHECK_FAIL"]["score"] == 0


async def test_the_table_is_long_enough() -> None:
    assert len(ROWS) >= 20
