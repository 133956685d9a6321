"""The lab as pytest fixtures.

External processes start once a session (once a worker, with xdist); what one test does to them is undone before
the next. The scripted servers live in the test's event loop and start with it.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.lab.dnsd import DnsServer
from tests.lab.knot import KnotServer
from tests.lab.mta import Exim, Postfix
from tests.lab.redis import RedisServer
from tests.lab.redis_cluster import RedisCluster
from tests.lab.redis_sentinel import RedisSentinel
from tests.lab.smtp import SmtpPeers
from tests.lab.sockets import free_port

# Above the addresses that SmtpPeers gives out, so that scripted and real peers can share one port.
POSTFIX_ADDRESS = "127.0.0.251"
EXIM_ADDRESS = "127.0.0.252"


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    """One redis-server with TCP, TLS and a unix socket; tests take `redis_server`."""
    with RedisServer(tls=True, unix=True) as server:
        yield server


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """A running, empty Redis; a test may stop, kill, pause and restart it."""
    if redis_process.running:
        redis_process.flush()
    else:
        redis_process.start()
    return redis_process


@pytest.fixture(scope="session")
def redis_with_password() -> Iterator[RedisServer]:
    """A Redis that asks for a password with characters that a URL has to quote."""
    with RedisServer(tls=True, unix=True, password="p@ss/w:rd %") as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster_processes() -> Iterator[RedisCluster]:
    """Six redis-servers as a cluster; tests take `redis_cluster`."""
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def redis_cluster(redis_cluster_processes: RedisCluster) -> RedisCluster:
    """A healthy, empty cluster; a test may kill and pause its nodes."""
    redis_cluster_processes.wait_healthy()
    redis_cluster_processes.flush()
    return redis_cluster_processes


@pytest.fixture(scope="session")
def redis_sentinel_processes() -> Iterator[RedisSentinel]:
    """A primary, a replica and three sentinels; tests take `redis_sentinel`."""
    with RedisSentinel() as watched:
        yield watched


@pytest.fixture
def redis_sentinel(redis_sentinel_processes: RedisSentinel) -> RedisSentinel:
    """An empty Redis under the sentinels' eyes; a test may kill and pause the primary."""
    redis_sentinel_processes.start_over()
    return redis_sentinel_processes


@pytest.fixture(scope="session")
def knot() -> Iterator[KnotServer]:
    """A real DNS server; tests add zones of their own with `set_zone`."""
    with KnotServer({"lab.test": "@ MX 10 mx\nmx A 127.0.0.2\n"}) as server:
        yield server


@pytest_asyncio.fixture
async def dns_server() -> AsyncIterator[DnsServer]:
    """A programmable DNS server that knows no name yet."""
    async with DnsServer() as server:
        yield server


@pytest.fixture(scope="session")
def smtp_port() -> int:
    """The port of all SMTP peers, scripted and real: the service under test probes one port only."""
    return free_port()


@pytest_asyncio.fixture
async def smtp_peers(smtp_port: int) -> AsyncIterator[SmtpPeers]:
    """Scripted SMTP peers at `smtp_port`; none yet."""
    async with SmtpPeers(smtp_port) as peers:
        yield peers


@pytest.fixture(scope="session")
def postfix(smtp_port: int) -> Iterator[Postfix]:
    """A real Postfix with postscreen, at `smtp_port`; its final greeting line comes after 2 seconds."""
    with Postfix([POSTFIX_ADDRESS], smtp_port, greet_wait=2) as mta:
        yield mta


@pytest.fixture(scope="session")
def exim(smtp_port: int) -> Iterator[Exim]:
    """A real Exim, at `smtp_port`."""
    with Exim([EXIM_ADDRESS], smtp_port) as mta:
        yield mta
