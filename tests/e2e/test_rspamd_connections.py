"""How many connections the plugin makes to the service, counted by a proxy between the two."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.lab.knot import KnotServer
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import found, rspamd_with_plugin, warnings
from tests.lab.service import Service
from tests.lab.tcp_proxy import TcpProxy

MESSAGE = b"To: kim@rcpt.test\nSubject: hello\nMessage-ID: <1@sender.test>\n\nhi\n"
ENVELOPE: dict[str, Any] = {"sender": "jo@gone.connections.test", "ip": "198.51.100.7"}
MANY, SOME = 1000, 50
A_HANDFUL = 5


@pytest.fixture(scope="module")
def service(knot: KnotServer) -> Iterator[Service]:
    """The real service."""
    knot.set_zone("connections.test", "")
    with Service({"dns": {"nameservers": [knot.nameserver]}}) as service:
        yield service


@pytest_asyncio.fixture
async def proxy(service: Service) -> AsyncIterator[TcpProxy]:
    """A proxy in front of the service."""
    async with TcpProxy(int(service.url.rpartition(":")[2])) as proxy:
        yield proxy


async def scan(rspamd: Rspamd, times: int, *, at_once: int = 1) -> None:
    """Scan messages that all get their verdict."""
    gate = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with gate:
            assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_NONE": 4.0}

    await asyncio.gather(*(one() for _ in range(times)))
    assert warnings(rspamd) == []


async def test_a_thousand_messages_share_a_handful(proxy: TcpProxy) -> None:
    with rspamd_with_plugin({"url": proxy.url}) as rspamd:
        await scan(rspamd, MANY)
        assert 1 <= proxy.connections <= A_HANDFUL


async def test_messages_at_once_open_no_more_than_they_need(proxy: TcpProxy) -> None:
    with rspamd_with_plugin({"url": proxy.url}) as rspamd:
        await scan(rspamd, 10 * SOME, at_once=8)
        assert proxy.connections <= 2 * 8


async def test_without_keepalive_every_message_opens_its_own(proxy: TcpProxy) -> None:
    with rspamd_with_plugin({"url": proxy.url, "keepalive": False}) as rspamd:
        await scan(rspamd, SOME)
        assert proxy.connections == SOME


async def test_a_restart_of_the_service_costs_no_message(service: Service) -> None:
    """The connection that was kept is gone with it."""
    with rspamd_with_plugin({"url": service.url}) as rspamd:
        await scan(rspamd, 3)
        await service.stop()
        service.start()
        await scan(rspamd, 3)
