"""GET /v1/stats of several workers: whichever answers tells of all, and what a killed one has told is not lost."""

import asyncio
import os
import signal
from typing import Any

from tests.e2e.test_processes import PROMPTLY, until
from tests.e2e.test_workers import CONNECTIONS, WORKERS, connections, get, serving, settings, workers
from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.service import Service

__all__ = ["settings"]  # the fixture


async def all_workers_tell(service: Service, domains: set[str]) -> None:
    """Wait until every answer of many, whoever gives it, has these domains and counts them."""
    async with asyncio.timeout(PROMPTLY):
        while True:
            told = [(await service.get("/v1/stats")).body for _ in range(CONNECTIONS)]
            if all(
                {each["domain"] for each in one["recent"]} == domains and one["hour"]["checks"] >= CONNECTIONS
                for one in told
            ):
                break
            await asyncio.sleep(0.05)  # others publish once a second
    assert {one["hour"]["verdicts"]["null"] for one in told} == {CONNECTIONS}
    assert {one["workers"] for one in told} == {WORKERS}


async def test_any_worker_tells_of_all_and_a_dead_one_is_not_forgotten(
    settings: dict[str, Any], dns_server: DnsServer
) -> None:
    domains = {f"d{number}.null.test" for number in range(CONNECTIONS)}
    for domain in domains:
        dns_server.set(domain, "MX", dns.mx((0, ".")))
    lab = settings | {"dns": {"nameservers": [dns_server.nameserver]}}
    async with serving(lab) as service, connections(CONNECTIONS) as sessions:
        await asyncio.gather(
            *(
                get(session, f"{service.url}/v1/check?sender=a@{domain}")
                for session, domain in zip(sessions, sorted(domains), strict=True)
            )
        )
        await all_workers_tell(service, domains)
        before = workers(service)
        os.kill(min(before), signal.SIGKILL)
        await until(lambda: len(workers(service) - before) == 1, "another worker is there")
        await all_workers_tell(service, domains)
