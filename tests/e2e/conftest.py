"""What several end-to-end tests need."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.service import Service, write_config
from tests.lab.smtp import SmtpPeers
from tests.lab.smtp_scripts import Wait
from tests.lab.sockets import free_port

LoggingService = Callable[..., Service]
HOSTILE = "a\r\n2026-01-01T00:00:00.000Z error forged \x1b[31m\x9b\x85\u2028\u2029\x00 action=reject"
"""What would be a line of its own, or get at a terminal, if it reached the log as it is."""
FEW_REQUESTS = 10
"""Few enough for any machine's limit of open files."""


@pytest.fixture
async def logging_service(dns_server: DnsServer, smtp_peers: SmtpPeers) -> LoggingService:
    """Make a service that knows good.test, null.test (rejected) and late.test (see `late`), in a form of the log."""
    for name, play in (("good.test", scripts.good()), ("hostile.test", scripts.banner(b"554 " + HOSTILE.encode()))):
        dns_server.set(name, "MX", dns.mx((10, f"mx.{name}")))
        dns_server.set(f"mx.{name}", "A", dns.a(smtp_peers.add(play).address))
    dns_server.set("null.test", "MX", dns.mx((0, ".")))

    def logging_service(form: str = "json", **sections: dict[str, Any]) -> Service:
        lab: dict[str, dict[str, Any]] = {
            "server": {"log_format": form},
            "dns": {"nameservers": [dns_server.nameserver]},
            "mx_check": {
                "test_mode": True, "port": smtp_peers.port, "verify_greeting": True, "reject_null_mx": True,
            },
        }  # fmt: skip
        return Service({name: lab.get(name, {}) | sections.get(name, {}) for name in lab | sections})

    return logging_service


@pytest.fixture
async def late(dns_server: DnsServer, smtp_peers: SmtpPeers) -> asyncio.Event:
    """Set it and late.test's only host greets."""
    greet = asyncio.Event()
    dns_server.set("late.test", "MX", dns.mx((10, "mx.late.test")))
    dns_server.set("mx.late.test", "A", dns.a(smtp_peers.add((Wait(greet), *scripts.good())).address))
    return greet


@pytest_asyncio.fixture
async def resolver(dns_server: DnsServer) -> AsyncIterator[DnsServer]:
    """A resolver that is well."""
    dns_server.set("example.com", "A", dns.a("192.0.2.80"))
    yield dns_server


@pytest_asyncio.fixture
async def well(resolver: DnsServer, tmp_path: Path) -> Callable[..., Path]:
    """Write settings under which the doctor finds nothing wrong, but for what a test says."""

    def settings(**sections: Mapping[str, Any]) -> Path:
        fine: dict[str, Mapping[str, Any]] = {
            "server": {"port": free_port(), "max_concurrent_requests": FEW_REQUESTS},
            "dns": {"nameservers": [resolver.nameserver], "timeout": 1, "tries": 1},
        }
        return write_config(
            tmp_path, {name: {**fine.get(name, {}), **sections.get(name, {})} for name in fine | sections}
        )

    return settings
