"""Domains whose mail hosts are hostile, and a service that is asked about them."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.service import Service
from tests.lab.smtp_farm import SmtpFarm
from tests.lab.waiting import poll_until

DEADLINE: Final = 10.0


class Lab:
    """Domains with one mail host each, and the service that checks them."""

    def __init__(self, farm: SmtpFarm, dns_server: DnsServer) -> None:
        self.farm = farm
        self._dns = dns_server

    def domain(self, kind: str, number: int = 0) -> str:
        """A domain whose mail host is of this kind."""
        name = f"{kind.lower().replace(' ', '-')}-{number}.test"
        self._dns.set(name, "MX", dns.mx((10, f"mx.{name}")))
        self._dns.set(f"mx.{name}", "A", dns.a(self.farm.address(kind, number)))
        return name

    @asynccontextmanager
    async def service(
        self,
        preset: str,
        improvements: Mapping[str, Any],
        *,
        verify: bool,
        quit_after: bool,
        under: Sequence[str] = (),
        read_timeout: float = 1.0,
    ) -> AsyncIterator["Asked"]:
        """A service that has made its first check."""
        settings = {
            "preset": preset,
            "server": {"deadline": DEADLINE, "log_level": "warning"},
            "dns": {"nameservers": [self._dns.nameserver]},
            "mx_check": {
                "test_mode": True, "port": self.farm.port, "connect_timeout": 2.0, "read_timeout": read_timeout,
                "verify_greeting": verify, "send_quit": quit_after,
            },
            "improvements": improvements,
        }  # fmt: skip
        with Service(settings, under=under) as service:
            # No connection of ours stays open when it has been answered.
            calls = aiohttp.TCPConnector(limit=0, force_close=True)
            async with aiohttp.ClientSession(connector=calls, timeout=aiohttp.ClientTimeout(total=60)) as session:
                asked = Asked(service, session)
                # What it opens for good, it has open now.
                assert await asked.verdict(self.domain("good", 250)) == "gd"
                await asyncio.to_thread(poll_until, lambda: asked.sockets() <= 6, 30, "the first check over")
                yield asked


class Asked:
    """A running service that is asked."""

    def __init__(self, service: Service, session: aiohttp.ClientSession) -> None:
        self.service = service
        self._session = session

    async def domains(self, *names: str) -> list[dict[str, Any]]:
        """Check domains with one message, and return what is said of each."""
        body = {"mime_from": [f"x@{name}" for name in names]}
        async with self._session.post(f"{self.service.url}/v1/check", json=body) as response:
            reply = await response.json()
            assert response.status == 200, reply
        return list(reply["domains"])

    async def verdict(self, name: str) -> str:
        """Check a domain and return its verdict."""
        (found,) = await self.domains(name)
        return str(found["verdict"])

    def files(self) -> list[str]:
        """What the process has open."""
        folder = f"/proc/{self.service.pid}/fd"
        found = []
        for name in os.listdir(folder):
            try:
                found.append(os.readlink(f"{folder}/{name}"))
            except FileNotFoundError:
                continue  # closed meanwhile
        return found

    def sockets(self) -> int:
        """How many sockets the process has open."""
        return sum(name.startswith("socket:") for name in self.files())

    def resident(self) -> int:
        """Bytes of memory."""
        with open(f"/proc/{self.service.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
