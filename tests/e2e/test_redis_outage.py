"""Redis goes away and comes back between checks. What happens under load: tests/hostile/test_faults_redis.py."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.redis import RedisServer
from tests.lab.service import UNLIMITED, Reply, Service
from tests.lab.smtp import SmtpPeers

TIMEOUT = 0.5
"""Seconds that a command may take; a check has five of them at least."""


@pytest_asyncio.fixture
async def service(dns_server: DnsServer, smtp_peers: SmtpPeers, redis_server: RedisServer) -> AsyncIterator[Service]:
    """A service that connects only and is patient with Redis for TIMEOUT a command; warm.test is good."""
    peer = smtp_peers.add(scripts.good())
    dns_server.set("warm.test", "MX", dns.mx((10, "mx.warm.test")))
    dns_server.set("mx.warm.test", "A", dns.a(peer.address))
    settings = {
        "cache": {"url": redis_server.url, "timeout": TIMEOUT},
        "dns": {"nameservers": [dns_server.nameserver]},
        "mx_check": {"test_mode": True, "port": smtp_peers.port},
        "improvements": UNLIMITED,
    }
    with Service(settings) as running:
        yield running


def cached(reply: Reply) -> tuple[str, bool]:
    assert reply.status == 200, reply.body
    (symbol,) = reply.body["symbols"]
    return symbol, reply.body["domains"][0]["cached"]


async def test_a_restart_between_two_checks_costs_nobody_an_error(service: Service, redis_server: RedisServer) -> None:
    """The connection of the first check is dead by the time of the second one, which notices."""
    for _ in range(2):
        assert cached(await service.check({"sender": "user@warm.test"})) == ("MX_GOOD", False)
        redis_server.restart()


async def test_with_time_enough_a_hanging_redis_is_a_redis_error(
    service: Service, dns_server: DnsServer, smtp_peers: SmtpPeers, redis_server: RedisServer
) -> None:
    """One command waits for cache.timeout, and the others of the check for none."""
    with redis_server.paused():
        reply = await service.check({"sender": "user@warm.test"})
        assert cached(reply) == ("MX_REDIS_ERROR", False)
        assert not reply.body["partial"]
        ready = await service.get("/readyz")
        assert ready.status == 200
        assert ready.body["components"]["cache"]["status"] == "down"
        assert reply.body["time_real"] < 3 * TIMEOUT
    async with asyncio.timeout(30):
        while (await service.get("/readyz")).body["components"]["cache"]["status"] != "ok":
            pass
    assert cached(await service.check({"sender": "user@warm.test"})) == ("MX_GOOD", False)


async def test_the_log_tells_once_that_redis_went_and_once_that_it_is_back(
    service: Service, redis_server: RedisServer
) -> None:
    redis_server.stop()
    for _ in range(3):
        await service.check({"sender": "user@warm.test"})
    redis_server.start()
    for _ in range(3):
        await service.check({"sender": "user@warm.test"})
    lines = service.log.splitlines()
    assert [sum(text in line for line in lines) for text in ("Redis is lost", "Redis is back")] == [1, 1]


async def test_it_starts_without_redis_and_finds_it_later(
    dns_server: DnsServer, smtp_peers: SmtpPeers, redis_server: RedisServer
) -> None:
    peer = smtp_peers.add(scripts.good())
    dns_server.set("late.test", "A", dns.a(peer.address))
    redis_server.stop()
    settings = {
        "cache": {"url": redis_server.url},
        "dns": {"nameservers": [dns_server.nameserver]},
        "mx_check": {"test_mode": True, "port": smtp_peers.port},
    }
    with Service(settings) as service:
        assert cached(await service.check({"sender": "user@late.test"})) == ("MX_REDIS_ERROR", False)
        redis_server.start()
        assert cached(await service.check({"sender": "user@late.test"})) == ("MX_A_GOOD", False)
        assert cached(await service.check({"sender": "user@late.test"})) == ("MX_A_GOOD", True)


async def test_a_redis_that_refuses_the_password_is_a_lost_one(
    dns_server: DnsServer, smtp_peers: SmtpPeers, redis_with_password: RedisServer
) -> None:
    dns_server.set("locked.test", "A", dns.a(smtp_peers.add(scripts.good()).address))
    settings = {
        "cache": {"url": f"redis://:wr0ng-word@127.0.0.1:{redis_with_password.port}/0"},
        "dns": {"nameservers": [dns_server.nameserver]},
        "mx_check": {"test_mode": True, "port": smtp_peers.port},
    }
    with Service(settings) as service:
        assert cached(await service.check({"sender": "user@locked.test"})) == ("MX_REDIS_ERROR", False)
        ready = await service.get("/readyz")
        assert (ready.status, ready.body["components"]["cache"]["status"]) == (200, "down")
        assert "wr0ng-word" not in service.log + str(ready.body)
