"""A primary is killed, of a cluster and of a service that sentinels watch, and the probe lock holds. What happens under
load: tests/hostile/test_faults_redis.py."""

import asyncio
from collections.abc import Callable

import pytest
import pytest_asyncio

from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.redis_cluster import RedisCluster
from tests.lab.redis_sentinel import RedisSentinel
from tests.lab.service import UNLIMITED, Service
from tests.lab.smtp import Peer, SmtpPeers
from tests.lab.smtp_scripts import Wait

Lab = RedisCluster | RedisSentinel


@pytest.fixture(params=["cluster", "sentinel"])
def lab(request: pytest.FixtureRequest) -> Lab:
    """Each of the two."""
    made: Lab = request.getfixturevalue(f"redis_{request.param}")
    return made


@pytest_asyncio.fixture
async def serving(lab: Lab, dns_server: DnsServer, smtp_peers: SmtpPeers) -> Callable[[], Service]:
    """Make a service that is patient with Redis for 300 ms a command."""
    settings = {
        "cache": {"url": lab.url, "timeout": 0.3},
        "dns": {"nameservers": [dns_server.nameserver]},
        "mx_check": {"test_mode": True, "port": smtp_peers.port, "verify_greeting": True},
        "improvements": UNLIMITED,
    }
    return lambda: Service(settings)


async def test_the_probe_lock_holds_before_and_after_a_failover(
    lab: Lab, serving: Callable[[], Service], dns_server: DnsServer, smtp_peers: SmtpPeers
) -> None:
    """Two services on one Redis: each address is probed once, whichever primary has its lock."""
    with serving() as one, serving() as two:
        for domain in ("a.test", "b.test", "c.test"):
            assert await probes(one, two, domain, dns_server, smtp_peers) == 1
        victim = lab.primary_of("rmx:d:a.test")
        victim.kill()
        await asyncio.to_thread(lab.wait_failed_over, victim)
        for domain in ("d.test", "e.test", "f.test"):
            assert await probes(one, two, domain, dns_server, smtp_peers) == 1


async def probes(one: Service, two: Service, domain: str, dns_server: DnsServer, smtp_peers: SmtpPeers) -> int:
    """Ask both services for a new domain while its peer holds its greeting back; return how often it was connected."""
    greet = asyncio.Event()
    peer: Peer = smtp_peers.add((Wait(greet), *scripts.good()))
    dns_server.set(domain, "A", dns.a(peer.address))
    asking = [asyncio.create_task(service.check({"sender": f"user@{domain}"})) for service in (one, two)]
    await peer.wait_connected()
    greet.set()
    replies = await asyncio.gather(*asking)
    assert [list(reply.body["symbols"]) for reply in replies] == [["MX_A_GOOD"]] * 2
    return peer.connections
