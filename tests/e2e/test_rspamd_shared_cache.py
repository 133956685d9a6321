"""The service and the reference plugin in rspamd use each other's entries and locks in one Redis.

In rspamd 3.4 the reference's cache, lock and DNS steps work and its TCP probe does not: it takes the lock, and then
never has a verdict.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.knot import KnotServer
from tests.lab.redis import RedisServer
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import found
from tests.lab.service import Service
from tests.lab.smtp import SmtpPeers
from tests.lab.smtp_scripts import Wait, good
from tests.parity.lua_rspamd import reference_path

pytestmark = [
    pytest.mark.usefixtures("redis_server"),
    pytest.mark.skipif(
        not reference_path().exists(),
        reason="the reference is not there: set MXCHECK_REFERENCE to the path of mx_check.lua",
    ),
]

MESSAGE = b"To: kim@rcpt.test\nSubject: hello\nMessage-ID: <1@sender.test>\n\nhi\n"
ADDRESS = "127.0.0.9"
LOCK = f"rmx:i:{ADDRESS}"
# A domain for each test: what the service's resolver remembers would hide queries.
DOMAINS = [f"d{number}" for number in range(4)]
ZONE = "\n".join(
    [*(f"{domain} MX 10 mx.{domain}\nmx.{domain} A {ADDRESS}" for domain in DOMAINS), "null MX 0 .", "void MX 0 ."]
)


@pytest.fixture(scope="module")
def service(knot: KnotServer, redis_process: RedisServer, smtp_port: int) -> Iterator[Service]:
    """The service in preset `reference`; its senders are below shared.test."""
    knot.set_zone("shared.test", ZONE)
    with Service(
        {
            "preset": "reference",
            "cache": {"url": redis_process.url},
            "dns": {"nameservers": [knot.nameserver]},
            "mx_check": {"test_mode": True, "port": smtp_port, "verify_greeting": True, "read_timeout": 3.0},
        }
    ) as service:
        yield service


@pytest.fixture(scope="module")
def reference(service: Service, knot: KnotServer, redis_process: RedisServer, smtp_port: int) -> Iterator[Rspamd]:
    """rspamd with the reference plugin, on the same Redis and nameserver."""
    with Rspamd(
        plugins={"mx_check.lua": reference_path()},
        local_d={"mx_check.conf": f"enabled = true; test_mode = true; port = {smtp_port};"},
        redis_url=redis_process.url,
        nameserver=knot.nameserver,
    ) as server:
        yield server


async def by_reference(rspamd: Rspamd, name: str) -> dict[str, Any]:
    """The options of the reference's symbols for a sender below shared.test."""
    reply = await rspamd.scan(MESSAGE, sender=f"jo@{name}.shared.test", ip="198.51.100.7")
    return {symbol: reply["symbols"][symbol].get("options", []) for symbol in found(reply)}


async def by_service(service: Service, name: str) -> dict[str, Any]:
    """The options of the service's symbols for the same."""
    reply = await service.check({"sender": f"jo@{name}.shared.test", "client_ip": "198.51.100.7"})
    return {symbol: row["options"] for symbol, row in reply.body["symbols"].items()}


def entries(redis_server: RedisServer) -> dict[str, str]:
    """What the checks have stored."""
    with redis_server.client() as client:
        return {key: str(client.get(key)) for key in client.scan_iter("rmx:*")}


def queries(knot: KnotServer) -> Counter[str]:
    """How often each type was asked."""
    return knot.queries("shared.test")


class TestServiceFirst:
    async def test_the_reference_takes_the_verdict_of_a_good_host(
        self, service: Service, reference: Rspamd, knot: KnotServer, redis_server: RedisServer, smtp_peers: SmtpPeers
    ) -> None:
        peer = smtp_peers.add(good(), address=ADDRESS)
        assert await by_service(service, "d0") == {"MX_GOOD": ["mx.d0.shared.test"]}
        assert entries(redis_server) == {
            "rmx:d:d0.shared.test": "mx:mx.d0.shared.test:10",
            "rmx:m:mx.d0.shared.test": f"v4:{ADDRESS}",
            LOCK: "gd",
        }
        before = queries(knot)
        assert await by_reference(reference, "d0") == {"MX_GOOD": ["mx.d0.shared.test"]}
        assert (queries(knot), peer.connections) == (before, 1)

    async def test_the_reference_takes_the_verdict_of_a_refusing_host(
        self, service: Service, reference: Rspamd, knot: KnotServer, smtp_peers: SmtpPeers
    ) -> None:
        smtp_peers.add_refused(ADDRESS)
        expected = await by_service(service, "d1")
        before = queries(knot)
        assert await by_reference(reference, "d1") == expected
        assert expected.keys() == {"MX_REFUSED"}
        assert queries(knot) == before

    @pytest.mark.parametrize(("name", "symbol"), [("null", "MX_NULL"), ("gone", "MX_NONE")])
    async def test_the_reference_takes_what_dns_said(
        self, service: Service, reference: Rspamd, knot: KnotServer, name: str, symbol: str
    ) -> None:
        expected = await by_service(service, name)
        before = queries(knot)
        assert await by_reference(reference, name) == expected
        assert expected.keys() == {symbol}
        assert queries(knot) == before

    async def test_the_reference_leaves_a_host_alone_that_the_service_is_probing(
        self, service: Service, reference: Rspamd, smtp_peers: SmtpPeers
    ) -> None:
        greet = asyncio.Event()
        peer = smtp_peers.add((Wait(greet), *good()), address=ADDRESS)
        probing = asyncio.create_task(by_service(service, "d2"))
        await peer.wait_connected()
        assert await by_reference(reference, "d2") == {"MX_INFLIGHT": ["mx.d2.shared.test"]}
        greet.set()
        assert await probing == {"MX_GOOD": ["mx.d2.shared.test"]}
        assert await by_reference(reference, "d2") == {"MX_GOOD": ["mx.d2.shared.test"]}
        assert peer.connections == 1


class TestReferenceFirst:
    async def test_the_service_asks_dns_nothing_and_respects_the_lock(
        self, service: Service, reference: Rspamd, knot: KnotServer, redis_server: RedisServer, smtp_peers: SmtpPeers
    ) -> None:
        """The lock is the one that the reference took for a probe of its own; without it, the service probes."""
        peer = smtp_peers.add(good(), address=ADDRESS)
        await by_reference(reference, "d3")
        assert entries(redis_server) == {
            "rmx:d:d3.shared.test": "mx:mx.d3.shared.test:10",
            "rmx:m:mx.d3.shared.test": f"v4:{ADDRESS}",
            LOCK: "l",
        }
        before = queries(knot)
        assert await by_service(service, "d3") == {"MX_INFLIGHT": ["mx.d3.shared.test"]}
        own_probes = peer.connections
        with redis_server.client() as client:
            client.delete(LOCK)
        assert await by_service(service, "d3") == {"MX_GOOD": ["mx.d3.shared.test"]}
        assert (queries(knot), peer.connections) == (before, own_probes + 1)

    @pytest.mark.parametrize(("name", "symbol"), [("void", "MX_NULL"), ("lost", "MX_NONE")])
    async def test_the_service_takes_what_dns_said(
        self, service: Service, reference: Rspamd, knot: KnotServer, name: str, symbol: str
    ) -> None:
        expected = await by_reference(reference, name)
        before = queries(knot)
        assert await by_service(service, name) == expected
        assert expected.keys() == {symbol}
        assert queries(knot) == before
