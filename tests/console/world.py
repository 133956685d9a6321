"""What the console looks at in its tests: mail domains of every kind, and services that ask for them.

async with World() as world:
    with world.service() as service:
        ...
"""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

import dnslib

from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.service import UNLIMITED, Service
from tests.lab.smtp import Peer, SmtpPeers

HOSTILE: Final = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\x1b[31m"
"""What would be markup, or turn text around, if it reached the page as it is."""
SHOWN: Final = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\\u202e\\u001b[31m"
"""How the page shows it."""


class World:
    """DNS and mail hosts of the domains under `.test`; serves one event loop.

    good.test answers at the first of its hosts, bad.test refuses, upset.test turns everybody away with a hostile
    greeting, hostile.test has an MX host with a hostile name, mixed.test one with a private address besides,
    implicit.test has addresses only, null.test says it receives no mail; and other names do not exist.
    """

    def __init__(self) -> None:
        self.dns = DnsServer()
        self.peers = SmtpPeers()
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._resources.enter_async_context(self.dns)
        await self._resources.enter_async_context(self.peers)
        self.good = self._answering("mx1.good.test", scripts.good())
        self.upset = self._answering("mx.upset.test", scripts.banner(b"554 " + HOSTILE.encode()))
        self._answering("implicit.test", scripts.good_multi_line())
        refused = self.peers.add_refused()
        for name in ("mx2.good.test", "mx.bad.test"):
            self.dns.set(name, "A", dns.a(refused))
        self.dns.set("good.test", "MX", dns.mx((20, "mx2.good.test"), (10, "mx1.good.test")))
        self.dns.set("mixed.test", "MX", dns.mx((10, "mx.mixed.test")))
        self.dns.set("mx.mixed.test", "A", dns.a(self.good.address, "10.1.2.3"))
        for name in ("bad.test", "upset.test"):
            self.dns.set(name, "MX", dns.mx((10, f"mx.{name}")))
        target = dnslib.DNSLabel([b"<script>alert(3)</script>", "\u202e".encode(), b"test"])
        self.dns.set("hostile.test", "MX", dns.Answer((dns.Row(dnslib.MX(target, 10)),)))
        self.dns.set("null.test", "MX", dns.mx((0, ".")))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    def service(self, **sections: dict[str, Any]) -> Service:
        """A service in this world; keyword arguments are sections of settings, laid over those it needs."""
        own: dict[str, dict[str, Any]] = {
            "dns": {"nameservers": [self.dns.nameserver]},
            "mx_check": {"test_mode": True, "port": self.peers.port, "verify_greeting": True},
            "improvements": dict(UNLIMITED),
        }
        return Service({name: own.get(name, {}) | sections.get(name, {}) for name in own | sections})

    def _answering(self, host: str, script: scripts.Script) -> Peer:
        peer = self.peers.add(script)
        self.dns.set(host, "A", dns.a(peer.address))
        return peer
