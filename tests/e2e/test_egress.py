"""Our own network fails under a running service: no sender is blamed for it, and it recovers by itself.

Every host has a /24 of its own. One whose listener has a full backlog does not answer, one without a listener refuses.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mxcheck_service.core.breaker import ENOUGH, RECENT
from mxcheck_service.core.model import Family
from mxcheck_service.dns import AresResolver
from mxcheck_service.ports import DnsFailure
from tests.e2e.doctoring import FAILURES, GOOD, examine
from tests.e2e.test_reload import config_of, eventually
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.redis import RedisServer
from tests.lab.service import Reply, Service, write_config
from tests.lab.smtp import SmtpPeers


def address(number: int) -> str:
    return f"127.20.{number}.1"


class World:
    """Mail domains d<number>.test, each with a host in a network of its own, and whether the way there is open."""

    def __init__(self, dns_server: DnsServer, port: int, redis: RedisServer) -> None:
        self.dns, self.port, self.redis = dns_server, port, redis
        self.peers = SmtpPeers(port)

    async def refuse(self) -> None:
        """Close everything: whoever connects now is refused."""
        await self.peers.__aexit__(None, None, None)
        self.peers = SmtpPeers(self.port)

    async def silence(self, *numbers: int) -> None:
        """Let nobody answer who connects to these from now on."""
        await self.refuse()
        for number in numbers:
            self.domain(number)
            await self.peers.add_connect_timeout(address(number))

    def open(self, *numbers: int) -> None:
        for number in numbers:
            self.domain(number)
            self.peers.add(scripts.good(), address=address(number))

    def domain(self, number: int) -> None:
        self.dns.set(f"d{number}.test", "MX", dns.mx((10, f"mx.d{number}.test")))
        self.dns.set(f"mx.d{number}.test", "A", dns.a(address(number)))

    def settings(self, **improvements: Any) -> dict[str, Any]:
        return {
            "cache": {"url": self.redis.url},
            "dns": {"nameservers": [self.dns.nameserver]},
            "mx_check": {"test_mode": True, "port": self.port, "connect_timeout": 0.3},
            "improvements": improvements,
        }

    def cached(self) -> dict[str, str]:
        """What Redis holds about addresses."""
        with self.redis.client() as client:
            return {str(key).removeprefix("rmx:i:"): str(client.get(key)) for key in client.keys("rmx:i:*")}


@pytest_asyncio.fixture
async def world(dns_server: DnsServer, smtp_port: int, redis_server: RedisServer) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        built = World(dns_server, smtp_port, redis_server)
        stack.push_async_callback(lambda: built.peers.__aexit__(None, None, None))
        yield built


async def ask(service: Service, number: int, *, explain: bool = False) -> Reply:
    query = f"/v1/check?sender=a@d{number}.test" + ("&explain=1" if explain else "")
    return await service.get(query)


async def verdict(service: Service, number: int) -> str:
    (domain,) = (await ask(service, number)).body["domains"]
    return str(domain["verdict"])


async def verdicts(service: Service, numbers: range) -> list[str]:
    return [await verdict(service, number) for number in numbers]


async def component(service: Service) -> dict[str, str]:
    reply = await service.get("/readyz")
    assert (reply.status, reply.body["status"]) == (200, "ready"), "it degrades, it does not become unready"
    return dict(reply.body["components"]["egress"])


async def up(service: Service) -> bool:
    return (await component(service))["status"] == "ok"


async def test_a_service_that_reaches_nobody_blames_nobody(world: World) -> None:
    await world.silence(*range(9))
    with Service(world.settings()) as service:
        assert await verdicts(service, range(ENOUGH - 1)) == ["tc"] * (ENOUGH - 1), "nobody can know yet"
        assert set(world.cached().values()) == {"tc"}
        reply = await ask(service, ENOUGH - 1)
        (symbol,) = reply.body["symbols"].values()
        assert (symbol["name"], symbol["score"], symbol["options"]) == ("MX_PROBE_UNAVAILABLE", 0.0, ["mx.d4.test"])
        assert reply.body["action"] == "no action"
        await eventually(lambda: asyncio.to_thread(lambda: not world.cached()), "the timeouts are taken back")

        found = await component(service)
        assert (found["status"], "over IPv4 nobody answers" in found["detail"]) == ("down", True)
        (domain,) = (await ask(service, 5, explain=True)).body["domains"]
        assert domain["verdict"] == "unavailable"
        (reason,) = [step["local_fault"] for step in domain["trace"] if step["step"] == "probe"]
        assert reason.startswith("DNS-only mode: over IPv4 nobody answers")
        assert await verdicts(service, range(5, 9)) == ["unavailable"] * 4
        assert not world.cached(), "nothing is cached, and no lock stays"
        told = await service.metrics()
        assert told.value("mxcheck_egress_up", family="v4") == 0
        assert told.value("mxcheck_egress_openings_total", family="v4") == 1
        assert told.value("mxcheck_probes_withheld_total", family="v4") >= 1
        assert not [labels for labels in told.series("mxcheck_egress_up") if ("family", "v6") in labels], "not probed"

        await world.refuse()
        world.open(*range(9))

        async def probed() -> bool:
            return await verdict(service, 5) == "gd"

        await eventually(probed, "a trial finds that the way out is open")
        assert await component(service) == {"status": "ok"}
        assert await verdicts(service, range(9)) == ["gd"] * 9
        assert (await service.metrics()).value("mxcheck_egress_up", family="v4") == 1
        log = service.log
    assert log.count("DNS-only mode: over IPv4 nobody answers") == 1
    assert log.count("the way out over IPv4 is open again") == 1
    assert "4 verdicts tc of the last minutes are not believed any more: deleted" in log


async def test_a_burst_of_dead_domains_is_told_from_it_by_who_answered_before(world: World) -> None:
    await world.silence(*range(1, 3 * ENOUGH))
    world.open(0)
    with Service(world.settings()) as service:
        assert await verdict(service, 0) == "gd"
        assert await verdicts(service, range(1, 3 * ENOUGH)) == ["tc"] * (3 * ENOUGH - 1)
        assert await up(service)
    assert world.cached()[address(1)] == "tc"


async def test_with_a_check_not_even_the_first_sender_is_blamed(world: World) -> None:
    """The check is made at the start, and again by itself until it passes: no message is needed for that."""
    await world.silence(0, 100)
    with Service(world.settings(egress_check=[f"{address(100)}:{world.port}"])) as service:

        async def down() -> bool:
            return not await up(service)

        await eventually(down, "the check at the start fails")
        assert await verdict(service, 0) == "unavailable"
        assert not world.cached()
        await world.silence(0)
        world.open(100)
        await eventually(lambda: up(service), "the check passes")
        assert await verdict(service, 0) == "tc", "this one is dead"
        await world.silence(1, 100)

        async def doubted() -> bool:
            # The word of a check that has passed holds for some seconds.
            await asyncio.to_thread(world.redis.flush)
            return await verdict(service, 1) == "unavailable"

        await eventually(doubted, "the check fails again")


async def test_a_firewall_that_rejects_is_told_from_parked_domains(world: World) -> None:
    world.open(100, 101)
    for number in range(2 * RECENT):
        world.domain(number)
    with Service(world.settings()) as service:
        assert await verdicts(service, range(100, 102)) == ["gd"] * 2
        assert await verdicts(service, range(RECENT)) == ["rf"] * RECENT
        assert await up(service)
        await world.refuse()

        async def closed() -> bool:
            return not await up(service)

        for number in range(RECENT, 2 * RECENT):
            # The witnesses' word holds for some seconds; then they are asked again, and refuse.
            await verdict(service, number)

        async def noticed() -> bool:
            await asyncio.to_thread(world.redis.flush)
            return await verdict(service, RECENT) == "unavailable" and await closed()

        await eventually(noticed, "everybody refuses")
        assert "over IPv4 everybody refuses" in (await component(service))["detail"]


async def test_a_reload_does_not_forget_it(world: World) -> None:
    await world.silence(*range(ENOUGH + 1))
    with Service(world.settings()) as service:
        await verdicts(service, range(ENOUGH))
        assert not await up(service)
        changed = world.settings() | {"server": {"port": int(service.url.rpartition(":")[2])}}
        changed["mx_check"] = changed["mx_check"] | {"expire": 80000}
        config = write_config(config_of(service).parent, changed)
        ((status, text), *_) = (await examine(config)).of("egress")
        assert (status, "is in DNS-only mode over IPv4" in text) == ("warn", True)
        assert "mx_check.expire" in (await service.reload()).body["settings"]["changed"]
        assert not await up(service)
        changed["improvements"] = {"circuit_breaker": False}
        write_config(config_of(service).parent, changed)
        await service.reload()
        assert "egress" not in (await service.get("/readyz")).body["components"]
        assert await verdict(service, ENOUGH) == "tc", "switched off, the service decides as before"


async def test_the_reference_has_no_breaker(world: World) -> None:
    await world.silence(*range(ENOUGH + 2))
    with Service(world.settings() | {"preset": "reference"}) as service:
        assert await verdicts(service, range(ENOUGH + 2)) == ["tc"] * (ENOUGH + 2)


async def test_the_doctor_connects_to_the_same_hosts(
    well: Callable[..., Path], world: World, smtp_peers: SmtpPeers
) -> None:
    world.open(0, 1)
    checks = {"egress_check": [address(0), f"{address(1)}:{world.port}"]}
    found = await examine(well(mx_check={"port": world.port}, improvements=checks))
    assert [status for status, _ in found.of("egress")] == ["ok", "ok"]
    assert found.code == GOOD
    await world.silence(0, 1)
    found = await examine(well(mx_check={"port": world.port, "connect_timeout": 0.3}, improvements=checks))
    assert (found.code, found.bad()) == (FAILURES, {"egress": "port-25-is-blocked"})


@contextmanager
def no_file_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestNoFileDescriptorLeft:
    async def test_dns_says_nothing_about_the_name(self, dns_server: DnsServer) -> None:
        """c-ares cannot open a socket to ask with, and that is no answer."""
        dns_server.set("good.test", "MX", dns.mx((10, "mx.good.test")))
        resolver = AresResolver([dns_server.nameserver], timeout=0.5, tries=1)
        with no_file_descriptors():
            answers = [await resolver.mx("good.test"), await resolver.addresses("good.test", Family.V4)]
        await resolver.close()
        assert [type(answer) for answer in answers] == [DnsFailure, DnsFailure], answers
        assert dns_server.count("good.test", "MX") == 0

    async def test_a_channel_that_cannot_read_resolv_conf_is_not_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It would ask this host from then on, and every name would fail."""
        monkeypatch.setattr("mxcheck_service.dns._MOST_KEPT", 1)
        resolver = AresResolver([], timeout=0.2, tries=1)
        known = resolver.nameservers
        if known == ("127.0.0.1",):
            pytest.skip("the system's own nameserver is what c-ares takes without resolv.conf")
        with no_file_descriptors():
            for _ in range(3):
                assert isinstance(await resolver.mx("good.invalid"), DnsFailure)
        assert resolver.nameservers == known
        await resolver.close()
