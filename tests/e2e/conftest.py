"""What several end-to-end tests need: settings under which the doctor finds nothing wrong."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.service import write_config
from tests.lab.sockets import free_port

FEW_REQUESTS = 10
"""Few enough for any machine's limit of open files."""


@pytest_asyncio.fixture
async def resolver(dns_server: DnsServer) -> AsyncIterator[DnsServer]:
    """A resolver that is well."""
    dns_server.set("example.com", "A", dns.a("192.0.2.80"))
    yield dns_server


@pytest_asyncio.fixture
async def well(resolver: DnsServer, tmp_path: Path) -> Callable[..., Path]:
    """Write settings under which nothing is wrong, but for what a test says."""

    def settings(**sections: Mapping[str, Any]) -> Path:
        fine: dict[str, Mapping[str, Any]] = {
            "server": {"port": free_port(), "max_concurrent_requests": FEW_REQUESTS},
            "dns": {"nameservers": [resolver.nameserver], "timeout": 1, "tries": 1},
        }
        return write_config(
            tmp_path, {name: {**fine.get(name, {}), **sections.get(name, {})} for name in fine | sections}
        )

    return settings
