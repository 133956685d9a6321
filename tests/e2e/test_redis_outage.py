"""Redis goes away under traffic and comes back: every check is answered in time, and the cache is used again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.redis import RedisServer
from tests.lab.service import UNLIMITED, Reply, Service
from tests.lab.smtp import SmtpPeers
from tests.lab.waiting import Changes

CLIENTS = 6
ENOUGH = 60
"""Replies to see in each phase, from all clients together."""
SLACK = 1.0
"""Seconds that a reply may take beyond its deadline on a busy machine, client and lab included."""


@dataclass(frozen=True)
class Seen:
    """One request of the stream: when it was sent and answered, to which kind of domain, and what came of it."""

    began: float
    ended: float
    cold: bool
    status: int
    body: Any


@dataclass
class Traffic:
    """A steady stream of checks from several clients, every other one for a domain that was never asked for before."""

    url: str
    dns: DnsServer
    peers: SmtpPeers
    deadline_ms: int
    seen: list[Seen] = field(default_factory=list)
    _changes: Changes = field(default_factory=Changes)
    _cold: int = 0

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Keep the stream up within the block; on leaving, the requests under way are seen to their end."""
        stop = asyncio.Event()
        clients = [asyncio.create_task(self._client(stop)) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*clients)

    async def more(self, replies: int = ENOUGH) -> None:
        """Return once so many requests were sent from now on, and answered."""
        since = time.monotonic()
        await self._changes.wait_until(
            lambda: sum(one.began >= since for one in self.seen) >= replies,
            30,
            lambda: f"{replies} replies since {since}: {self.seen[-5:]}",
        )

    def between(self, start: float, end: float, *, cold: bool) -> list[Seen]:
        """The requests that began and ended in this time."""
        return [one for one in self.seen if start <= one.began and one.ended <= end and one.cold is cold]

    async def _client(self, stop: asyncio.Event) -> None:
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            cold = False
            while not stop.is_set():
                cold = not cold
                body = {
                    "sender": f"user@{self.new_domain() if cold else 'warm.test'}",
                    "deadline_ms": self.deadline_ms,
                }
                began = time.monotonic()
                async with session.post(f"{self.url}/v1/check", json=body) as response:
                    answer = await response.json()
                    self.seen.append(Seen(began, time.monotonic(), cold, response.status, answer))
                self._changes.notify()

    def new_domain(self) -> str:
        """Put a domain into DNS with a peer of its own."""
        self._cold += 1
        number = self._cold
        peer = self.peers.add(scripts.good(), address=f"127.9.{number // 250}.{number % 250 + 1}")
        self.dns.set(f"cold{number}.test", "MX", dns.mx((10, f"mx.cold{number}.test")))
        self.dns.set(f"mx.cold{number}.test", "A", dns.a(peer.address))
        return f"cold{number}.test"


@pytest_asyncio.fixture
async def service(dns_server: DnsServer, smtp_peers: SmtpPeers, redis_server: RedisServer) -> AsyncIterator[Service]:
    """A service that connects only and is patient with Redis for 300 ms a command; warm.test is good."""
    peer = smtp_peers.add(scripts.good())
    dns_server.set("warm.test", "MX", dns.mx((10, "mx.warm.test")))
    dns_server.set("mx.warm.test", "A", dns.a(peer.address))
    settings = {
        "cache": {"url": redis_server.url, "timeout": 0.3},
        "dns": {"nameservers": [dns_server.nameserver]},
        "mx_check": {"test_mode": True, "port": smtp_peers.port},
        "improvements": UNLIMITED,
    }
    with Service(settings) as running:
        yield running


def symbols(seen: list[Seen]) -> set[str]:
    return {"+".join(sorted(one.body["symbols"])) for one in seen}


def in_time(traffic: Traffic) -> None:
    assert {one.status for one in traffic.seen} == {200}
    late = [one for one in traffic.seen if one.ended - one.began > traffic.deadline_ms / 1000 + SLACK]
    assert late == []


async def is_cached_again(service: Service, traffic: Traffic, redis_server: RedisServer) -> None:
    """A domain never asked for is probed and written; the second request finds it."""
    domain = traffic.new_domain()
    first, second = [await service.check({"sender": f"user@{domain}"}) for _ in range(2)]
    assert [cached(first), cached(second)] == [("MX_GOOD", False), ("MX_GOOD", True)]
    with redis_server.client() as client:
        assert client.get(f"rmx:d:{domain}") == f"mx:mx.{domain}:10"
        assert client.exists(f"rmx:m:mx.{domain}")


def cached(reply: Reply) -> tuple[str, bool]:
    assert reply.status == 200, reply.body
    (symbol,) = reply.body["symbols"]
    return symbol, reply.body["domains"][0]["cached"]


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_redis_is_stopped_and_started_again(
    service: Service, dns_server: DnsServer, smtp_peers: SmtpPeers, redis_server: RedisServer, how: str
) -> None:
    traffic = Traffic(service.url, dns_server, smtp_peers, deadline_ms=3000)
    async with traffic.flowing():
        await traffic.more()
        stopping = time.monotonic()
        await asyncio.to_thread(getattr(redis_server, how))
        down = time.monotonic()
        await traffic.more()
        starting = time.monotonic()
        await asyncio.to_thread(redis_server.start)
        up = time.monotonic()
        await traffic.more()
        end = time.monotonic()
    in_time(traffic)
    assert symbols(traffic.between(0, stopping, cold=True)) == {"MX_GOOD"}
    assert symbols(traffic.between(down, starting, cold=True)) == {"MX_REDIS_ERROR"}
    assert symbols(traffic.between(down, starting, cold=False)) <= {"MX_REDIS_ERROR", "MX_GOOD"}
    assert symbols(traffic.between(up, end, cold=True)) == {"MX_GOOD"}
    assert symbols(traffic.seen) == {"MX_GOOD", "MX_REDIS_ERROR"}, "also while it went and came"
    assert all(one.body["action"] == "no action" for one in traffic.seen), "nobody pays for it"
    await is_cached_again(service, traffic, redis_server)
    assert service.running
    assert (await service.get("/readyz")).body["components"]["cache"] == {"status": "ok"}


async def test_a_restart_between_two_checks_costs_nobody_an_error(service: Service, redis_server: RedisServer) -> None:
    """The connection of the first check is dead by the time of the second one, which notices."""
    for _ in range(2):
        assert cached(await service.check({"sender": "user@warm.test"})) == ("MX_GOOD", False)
        redis_server.restart()


async def test_redis_hangs_and_goes_on(
    service: Service, dns_server: DnsServer, smtp_peers: SmtpPeers, redis_server: RedisServer
) -> None:
    traffic = Traffic(service.url, dns_server, smtp_peers, deadline_ms=800)
    async with traffic.flowing():
        await traffic.more()
        with redis_server.paused():
            paused = time.monotonic()
            await traffic.more(3 * CLIENTS)
            resumed = time.monotonic()
        await traffic.more()
    in_time(traffic)
    meanwhile = traffic.between(paused, resumed, cold=True)
    assert meanwhile
    assert symbols(meanwhile) <= {"MX_INFLIGHT", "MX_REDIS_ERROR"}
    assert all(one.body["partial"] == ("MX_INFLIGHT" in one.body["symbols"]) for one in meanwhile)
    assert all(one.body["action"] == "no action" for one in traffic.seen)
    await is_cached_again(service, traffic, redis_server)


async def test_with_time_enough_a_hanging_redis_is_a_redis_error(
    service: Service, dns_server: DnsServer, smtp_peers: SmtpPeers, redis_server: RedisServer
) -> None:
    """Each command waits for cache.timeout, and together they stay within the default deadline."""
    with redis_server.paused():
        reply = await service.check({"sender": "user@warm.test"})
        assert cached(reply) == ("MX_REDIS_ERROR", False)
        assert not reply.body["partial"]
        ready = await service.get("/readyz")
        assert ready.status == 200
        assert ready.body["components"]["cache"]["status"] == "down"
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
