"""More connections than there may be: who comes back is served, and a crowd that only connects is in its own way."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.hostile.callers import Caller, Honest, crowd, post
from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.service import Service

MOST = 32


@pytest.fixture
def service(dns_server: DnsServer) -> Iterator[Service]:
    settings = {
        "dns": {"nameservers": [dns_server.nameserver]},
        "mx_check": {"test_mode": True},
        "server": {"max_connections": MOST},
    }
    with Service(settings) as service:
        yield service


async def ended(caller: Caller) -> bytes:
    octets = await caller.rest()
    caller.leave()
    return octets


async def test_a_crowd_that_only_connects_is_in_its_own_way(service: Service) -> None:
    async with Honest(service).asking() as honest, crowd(service.url, 10 * MOST) as callers:
        over = [asyncio.create_task(caller.rest(30)) for caller in callers]
        async with asyncio.timeout(10):
            while sum(task.done() for task in over) < 9 * MOST:  # noqa: ASYNC110 - each ends by itself
                await asyncio.sleep(0.01)
        metrics = await service.metrics()
        assert metrics.value("mxcheck_connections") <= MOST
        assert metrics.value("mxcheck_connections_displaced_total") > 0
        for task in over:
            task.cancel()
    honest.assert_served(crowded=True)
    assert "too many connections" in service.log


async def test_of_idle_connections_that_were_of_use_the_oldest_makes_room(service: Service) -> None:
    async with crowd(service.url, MOST) as callers:
        others = (callers[0], *callers[2:])
        for caller in (*callers, *others):  # so the second is the one that was idle for longest
            await caller.send(post(b"{}"))
            assert (await caller.reply()).status == 200
        new = await Caller.to(service.url)
        await new.send(post(b"{}"))
        assert (await new.reply()).status == 200
        new.leave()
        assert await callers[1].rest() == b""
        for caller in others:
            await caller.send(post(b"{}"))
            assert (await caller.reply()).status == 200


async def test_when_every_connection_is_at_work_a_new_one_is_refused(service: Service, dns_server: DnsServer) -> None:
    answer = asyncio.Event()
    async with crowd(service.url, MOST) as callers:
        for number, caller in enumerate(callers):
            dns_server.set(f"slow{number}.test", "MX", dns.Delayed(dns.NXDOMAIN, until=answer))
            await caller.send(post(b'{"sender": "a@slow%d.test"}' % number))
        for number in range(MOST):
            await dns_server.wait_asked(f"slow{number}.test", "MX")
        refused = await Caller.to(service.url)
        reply = await refused.reply()
        assert (reply.status, reply.fields["retry-after"]) == (503, "1")
        assert "too many connections" in reply.problem["detail"]
        assert await ended(refused) == b""
        answer.set()
        assert {(await caller.reply()).status for caller in callers} == {200}
