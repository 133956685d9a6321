"""The web application in the test's own process, asking a scripted DNS server and probing scripted peers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mxcheck_service import config
from mxcheck_service.app import application, load_maps
from mxcheck_service.config import Loaded
from mxcheck_service.settings import ServerSettings
from mxcheck_service.web.connections import Runner
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.smtp import SmtpPeers

Client = TestClient[Any, Any]
StartService = Callable[..., Awaitable[Client]]


class Server(TestServer):
    """Serves an application as the service does."""

    def __init__(self, app: web.Application, settings: ServerSettings) -> None:
        super().__init__(app)
        self._settings = settings

    async def _make_runner(self, **options: Any) -> Runner:
        return Runner(self.app, self._settings, **options)


@pytest.fixture
async def start(dns_server: DnsServer, smtp_peers: SmtpPeers) -> AsyncIterator[StartService]:
    """Start a service that knows good.test (it answers), null.test (Null MX) and nothing else.

    Keyword arguments are sections of the settings, laid over those of the lab.
    """
    peer = smtp_peers.add(scripts.good())
    dns_server.set("good.test", "MX", dns.mx((10, "mx.good.test.")))
    dns_server.set("mx.good.test", "A", dns.a(peer.address))
    dns_server.set("null.test", "MX", dns.mx((0, ".")))
    clients: list[Client] = []

    async def start(**sections: Any) -> Client:
        lab: dict[str, Any] = {
            "dns": {"nameservers": [dns_server.nameserver]},
            "mx_check": {"test_mode": True, "port": smtp_peers.port},
        }
        tree = {name: lab.get(name, {}) | sections.get(name, {}) for name in lab.keys() | sections.keys()}
        settings = config.parse(tree).settings
        library, _ = await load_maps(settings)
        client: Client = TestClient(Server(application(settings, library, lambda: Loaded(settings)), settings.server))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()


@pytest.fixture
async def client(start: StartService) -> Client:
    """A client of a service with the lab's settings."""
    return await start()
