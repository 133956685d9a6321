"""A thousand requests for one cold domain while it is being looked up: its servers are asked as if it had been one."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.e2e.test_processes import held_back
from tests.e2e.test_workers import WORKERS, serving
from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.redis import RedisServer
from tests.lab.service import Service
from tests.lab.smtp import Peer, SmtpPeers

REQUESTS = 1000
AT_ONCE = 200
"""So many come in the same moment: more of them may keep the service so busy that it takes on no more of anything."""
PATIENCE = 60.0
"""Seconds for every limit on the way, so that nothing but the lab decides when an answer comes."""


class Crowd:
    """The cold domain: its MX answer and its peer's greeting are held back until the test lets them go."""

    def __init__(self, dns_server: DnsServer, smtp_peers: SmtpPeers) -> None:
        self.answer, self.greet = asyncio.Event(), asyncio.Event()
        self.peer: Peer = smtp_peers.add(held_back(self.greet))
        self.dns = dns_server
        dns_server.set("cold.test", "MX", dns.Delayed(dns.mx((10, "mx.cold.test")), until=self.answer))
        dns_server.set("mx.cold.test", "A", dns.a(self.peer.address))
        self.settings: dict[str, Any] = {
            "cache": {"timeout": PATIENCE},
            # Of so many, none is too many however busy this machine is.
            "server": {"deadline": PATIENCE, "max_concurrent_requests": 10 * REQUESTS},
            "dns": {"nameservers": [dns_server.nameserver], "timeout": PATIENCE, "tries": 1},
            "mx_check": {
                "test_mode": True,
                "port": smtp_peers.port,
                "verify_greeting": True,
                "read_timeout": PATIENCE,
            },
        }

    async def ask(self, service: Service) -> None:
        """Send the requests and let the servers answer once every one of them is being looked up."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=PATIENCE)
        ) as session:

            async def verdict() -> str:
                async with session.post(f"{service.url}/v1/check", json={"sender": "a@cold.test"}) as response:
                    assert response.status == 200, await response.text()
                    return str((await response.json())["domains"][0]["verdict"])

            asking = list[asyncio.Task[str]]()
            async with asyncio.timeout(PATIENCE):
                while len(asking) < REQUESTS:
                    asking += [asyncio.create_task(verdict()) for _ in range(AT_ONCE)]
                    while (await service.metrics()).value("mxcheck_background_tasks") != len(asking):
                        assert not any(task.done() for task in asking)
            self.answer.set()
            await self.peer.wait_connected(within=PATIENCE)
            self.greet.set()
            assert await asyncio.gather(*asking) == ["gd"] * REQUESTS
        told = await service.metrics()
        assert told.value("mxcheck_requests_total", endpoint="/v1/check", code="200") == REQUESTS


@pytest.fixture
async def crowd(dns_server: DnsServer, smtp_peers: SmtpPeers) -> Crowd:
    return Crowd(dns_server, smtp_peers)


@pytest.mark.parametrize("cache", ["memory", "redis"])
async def test_one_process_asks_once_and_probes_once(crowd: Crowd, cache: str, request: pytest.FixtureRequest) -> None:
    crowd.settings["cache"]["url"] = "memory://" if cache == "memory" else request.getfixturevalue("redis_server").url
    with Service(crowd.settings) as service:
        await crowd.ask(service)
    assert crowd.dns.count("cold.test", "MX") == 1
    assert crowd.dns.count("mx.cold.test", "A") == 1
    assert crowd.peer.connections == 1


async def test_two_workers_ask_once_and_probe_once_between_them(crowd: Crowd, redis_server: RedisServer) -> None:
    crowd.settings["cache"]["url"] = redis_server.url
    crowd.settings["server"]["workers"] = WORKERS
    async with serving(crowd.settings) as service:
        await crowd.ask(service)
    assert crowd.dns.count("cold.test", "MX") == 1
    assert crowd.dns.count("mx.cold.test", "A") == 1
    assert crowd.peer.connections == 1
