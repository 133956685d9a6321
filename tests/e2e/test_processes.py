"""Processes that share a Redis, die, are told to stop, or cannot start."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.redis import RedisServer
from tests.lab.service import Reply, Service, mxcheck, write_config
from tests.lab.smtp import Peer, SmtpPeers
from tests.lab.smtp_scripts import Script, Wait
from tests.lab.sockets import free_port
from tests.lab.waiting import poll_until

LOCK_TTL = 4
"""Seconds a probe lock lives under the settings of `processes`: connect + read + 1, rounded up."""
PROMPTLY = 15.0
"""Far below drain_seconds, and enough for an interpreter to end on a busy machine."""
QUESTION = {"sender": "user@target.test"}

NewService = Callable[..., Service]


def held_back(go_on: asyncio.Event) -> Script:
    """A good peer that greets once the event is set."""
    return (Wait(go_on), *scripts.good())


@pytest.fixture
def new_service(dns_server: DnsServer, smtp_peers: SmtpPeers, redis_server: RedisServer) -> NewService:
    """Make a service that reads greetings; keyword arguments are laid over the sections of its settings."""

    def new_service(*, preset: str = "recommended", **sections: dict[str, Any]) -> Service:
        lab: dict[str, dict[str, Any]] = {
            "cache": {"url": redis_server.url},
            "dns": {"nameservers": [dns_server.nameserver]},
            "mx_check": {
                "test_mode": True,
                "port": smtp_peers.port,
                "verify_greeting": True,
                "connect_timeout": 1.0,
                "read_timeout": 2.0,
            },
        }
        tree = {name: lab.get(name, {}) | sections.get(name, {}) for name in lab | sections}
        return Service({"preset": preset} | tree)

    return new_service


@pytest.fixture
def target(dns_server: DnsServer, smtp_peers: SmtpPeers) -> Callable[..., Peer]:
    """Put target.test into DNS, its one MX host playing these scripts, and return that host."""

    def target(*play: Script) -> Peer:
        peer = smtp_peers.add(*play)
        dns_server.set("target.test", "MX", dns.mx((10, "mx.target.test")))
        dns_server.set("mx.target.test", "A", dns.a(peer.address))
        return peer

    return target


def names(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    return sorted(reply.body["symbols"])


def entry(redis_server: RedisServer, peer: Peer) -> str | None:
    with redis_server.client() as client:
        value: Any = client.get(f"rmx:i:{peer.address}")
        return None if value is None else str(value)


def reads(redis_server: RedisServer) -> int:
    """How many keys have been looked up in Redis, found or not."""
    with redis_server.client() as client:
        stats: Any = client.info("stats")
        return int(stats["keyspace_hits"]) + int(stats["keyspace_misses"])


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what other processes do, while the lab in this one goes on."""
    await asyncio.to_thread(poll_until, condition, 30, what)


class TestOneLock:
    async def test_two_processes_make_one_connection_and_both_know(
        self, new_service: NewService, target: Callable[..., Peer], redis_server: RedisServer
    ) -> None:
        greet = asyncio.Event()
        peer = target(held_back(greet))
        with new_service() as one, new_service() as two:
            asking = [asyncio.create_task(one.check(QUESTION))]
            await peer.wait_connected()
            before = reads(redis_server)
            asking.append(asyncio.create_task(two.check(QUESTION)))
            # The domain, its host, its address, and the address again: the lock stands, and two waits to be told.
            await until(lambda: reads(redis_server) >= before + 4, "the other process looks for the verdict")
            assert [task.done() for task in asking] == [False, False]
            greet.set()
            replies = await asyncio.gather(*asking)
            assert [names(reply) for reply in replies] == [["MX_GOOD"], ["MX_GOOD"]]
            assert sorted(reply.body["domains"][0]["cached"] for reply in replies) == [False, True]
            assert peer.connections == 1

    async def test_in_the_reference_the_second_one_does_not_wait(
        self, new_service: NewService, target: Callable[..., Peer]
    ) -> None:
        greet = asyncio.Event()
        peer = target(held_back(greet))
        with new_service(preset="reference") as one, new_service(preset="reference") as two:
            asking = [asyncio.create_task(service.check(QUESTION)) for service in (one, two)]
            (first,), (last,) = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            assert names(await first) == ["MX_INFLIGHT"]
            assert (await first).body["symbols"]["MX_INFLIGHT"]["options"] == ["mx.target.test"]
            greet.set()
            assert names(await last) == ["MX_GOOD"]
            assert [names(await service.check(QUESTION)) for service in (one, two)] == [["MX_GOOD"], ["MX_GOOD"]]
            assert peer.connections == 1

    async def test_many_requests_to_two_processes_make_one_connection(
        self, new_service: NewService, target: Callable[..., Peer]
    ) -> None:
        peer = target(scripts.good())
        with new_service() as one, new_service() as two:
            replies = await asyncio.gather(*(service.check(QUESTION) for service in (one, two) * 20))
        assert [names(reply) for reply in replies] == [["MX_GOOD"]] * 40
        assert peer.connections == 1

    async def test_a_lock_whose_holder_was_killed_is_taken_over_once_it_expires(
        self, new_service: NewService, target: Callable[..., Peer], redis_server: RedisServer
    ) -> None:
        peer = target(scripts.silent(), scripts.good())
        with new_service() as victim, new_service() as heir:
            asking = asyncio.create_task(victim.check(QUESTION))
            await peer.wait_connected()
            victim.kill()
            with pytest.raises(aiohttp.ClientError):
                await asking
            with redis_server.client() as client:
                assert client.get(f"rmx:i:{peer.address}") == "l"
                lifetime: Any = client.pttl(f"rmx:i:{peer.address}")
                assert 0 < lifetime <= LOCK_TTL * 1000
            reply = await heir.check(QUESTION)
            assert names(reply) == ["MX_GOOD"]
            assert not reply.body["partial"]
            assert peer.connections == 2
            await until(lambda: entry(redis_server, peer) == "gd", "the verdict is written")

    async def test_in_the_reference_a_killed_holder_blocks_its_target_for_the_lifetime_of_the_lock(
        self, new_service: NewService, target: Callable[..., Peer], redis_server: RedisServer
    ) -> None:
        peer = target(scripts.silent(), scripts.good())
        with new_service(preset="reference") as victim, new_service(preset="reference") as heir:
            asking = asyncio.create_task(victim.check(QUESTION))
            await peer.wait_connected()
            victim.kill()
            with pytest.raises(aiohttp.ClientError):
                await asking
            assert names(await heir.check(QUESTION)) == ["MX_INFLIGHT"]
            with redis_server.client() as client:
                # Redis keeps its own time, which cannot be moved on; what that would do is let the key expire.
                assert client.pexpire(f"rmx:i:{peer.address}", 1)
            await until(lambda: entry(redis_server, peer) is None, "the lock has expired")
            assert names(await heir.check(QUESTION)) == ["MX_GOOD"]
            assert peer.connections == 2


class TestDeadline:
    async def test_the_answer_comes_in_time_and_the_verdict_lands_in_the_cache_later(
        self, new_service: NewService, target: Callable[..., Peer], redis_server: RedisServer
    ) -> None:
        greet = asyncio.Event()
        peer = target(held_back(greet))
        with new_service() as service:
            reply = await service.check(QUESTION | {"deadline_ms": 200})
            assert names(reply) == ["MX_INFLIGHT"]
            assert reply.body["partial"]
            assert 0.19 <= reply.body["time_real"] < 1.0
            greet.set()
            await until(lambda: entry(redis_server, peer) == "gd", "the verdict is cached")
            reply = await service.check(QUESTION)
            assert names(reply) == ["MX_GOOD"]
            assert reply.body["domains"][0]["cached"]
            assert peer.connections == 1


class TestStop:
    async def test_a_request_under_way_is_finished_and_new_ones_are_turned_away(
        self, new_service: NewService, target: Callable[..., Peer]
    ) -> None:
        greet = asyncio.Event()
        peer = target(held_back(greet))
        with new_service() as service:
            asking = asyncio.create_task(service.check(QUESTION))
            await peer.wait_connected()
            service.terminate()
            async with asyncio.timeout(5):
                while (ready := await service.get("/readyz")).status != 503:
                    pass
            assert ready.body["status"] == "draining"
            assert "Retry-After" in ready.headers
            refused = await service.check({"sender": "user@other.test"})
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.headers["Connection"] == "close"
            assert (await service.get("/healthz")).status == 200
            assert not asking.done()
            greet.set()
            assert names(await asking) == ["MX_GOOD"]
            assert await service.ended() == 0
            assert "Traceback" not in service.log

    async def test_with_nothing_under_way_it_ends_at_once_even_with_idle_clients(self, new_service: NewService) -> None:
        with new_service(server={"drain_seconds": 60}) as service:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{service.url}/healthz") as response:
                    assert response.status == 200
                started = time.monotonic()
                assert await service.stop() == 0
                assert time.monotonic() - started < PROMPTLY
            assert "Traceback" not in service.log

    async def test_drain_seconds_bounds_the_wait_for_a_peer_that_never_answers(
        self, new_service: NewService, target: Callable[..., Peer]
    ) -> None:
        peer = target(scripts.silent())
        patient = {"read_timeout": 60.0}
        with new_service(server={"drain_seconds": 2.0, "deadline": 60.0}, mx_check=patient) as service:
            asking = asyncio.create_task(service.check(QUESTION))
            await peer.wait_connected()
            started = time.monotonic()
            assert await service.stop(within=20) == 0
            took = time.monotonic() - started
            # Its client is not left hanging: it gets an answer, or the end of the connection.
            (answer,) = await asyncio.wait_for(asyncio.gather(asking, return_exceptions=True), 1)
            assert isinstance(answer, Reply | aiohttp.ClientError)
            assert took < 2.0 + 1.5
            assert "Traceback" not in service.log

    async def test_a_probe_in_the_background_still_publishes_its_verdict(
        self, new_service: NewService, target: Callable[..., Peer], redis_server: RedisServer
    ) -> None:
        greet = asyncio.Event()
        peer = target(held_back(greet))
        with new_service() as service:
            assert (await service.check(QUESTION | {"deadline_ms": 200})).body["partial"]
            await peer.wait_connected()
            service.terminate()
            greet.set()
            assert await service.ended() == 0
        assert entry(redis_server, peer) == "gd"

    async def test_a_second_signal_changes_nothing(self, new_service: NewService, target: Callable[..., Peer]) -> None:
        greet = asyncio.Event()
        peer = target(held_back(greet))
        with new_service() as service:
            asking = asyncio.create_task(service.check(QUESTION))
            await peer.wait_connected()
            service.terminate()
            service.terminate()
            greet.set()
            assert names(await asking) == ["MX_GOOD"]
            assert await service.ended() == 0

    async def test_it_starts_again_on_the_same_port_at_once(self, new_service: NewService) -> None:
        with new_service() as service:
            await service.check({})
            assert await service.stop() == 0
            service.start()
            assert (await service.check({})).status == 200


class TestStart:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_the_log_names_its_url(self, host: str) -> None:
        with Service({"server": {"host": host}}) as service:
            assert f"listening on {service.url}, cache memory://" in service.log

    async def test_a_port_in_use_is_told_in_one_line(self, new_service: NewService, tmp_path: Path) -> None:
        with new_service() as service:
            port = service.url.rpartition(":")[2]
            config = write_config(tmp_path, {"server": {"port": int(port)}})
            code, out, err = await mxcheck("serve", "--config", str(config))
        assert code == 2
        assert out == ""
        assert len(err.splitlines()) == 1, err
        assert port in err
        assert "address already in use" in err.lower()

    async def test_host_and_port_of_the_command_line_win(self, tmp_path: Path) -> None:
        config = write_config(tmp_path, {"server": {"host": "127.0.0.3", "port": free_port()}})
        with Service({"server": {"port": free_port()}}) as service:
            port = service.url.rpartition(":")[2]
            code, _, err = await mxcheck("serve", "--config", str(config), "--host", "127.0.0.1", "--port", port)
        assert code == 2
        assert f"127.0.0.1', {port}" in err or f"127.0.0.1:{port}" in err

    @pytest.mark.parametrize("port", ["99999", "-1"])
    async def test_a_port_that_is_none_is_told_in_one_line(self, port: str) -> None:
        code, out, err = await mxcheck("serve", f"--port={port}")
        assert (code, out) == (2, "")
        assert "port" in err
        assert port in err
        assert "Traceback" not in err

    async def test_every_mistake_in_the_settings_is_named_with_its_line(self, tmp_path: Path) -> None:
        lines = [
            "server:",
            "  prot: 1",
            "cache:",
            "  url: http://nowhere",
            "dns:",
            "  nameservers: [localhost]",
            "mx_check:",
            "  expire: 0",
            "  probe_ipv4: false",
            "colour: red",
        ]
        config = write_config(tmp_path, lines)
        code, out, err = await mxcheck("serve", "--config", str(config))
        assert code == 2
        assert out == ""
        told = {line.split(": ")[0].removeprefix(f"{config}:"): line for line in err.splitlines()}
        assert sorted(map(int, told)) == [2, 4, 6, 8, 9, 10], err
        assert "did you mean port" in told["2"]
        assert "mx_check.expire" in told["8"]

    async def test_a_map_that_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        gone = tmp_path / "gone.map"
        config = write_config(tmp_path, {"server": {"port": free_port()}, "mx_check": {"bad_mxs": str(gone)}})
        code, _, err = await mxcheck("serve", "--config", str(config))
        assert code == 2
        assert len(err.splitlines()) == 1, err
        assert "mx_check.bad_mxs" in err
        assert str(gone) in err


def test_many_callers_at_once_find_room_before_they_are_accepted() -> None:
    """The system's queue holds them, though the service accepts none now."""
    with Service({}) as service:
        port = URL(service.url).port
        os.kill(service.pid, signal.SIGSTOP)
        try:
            with ExitStack() as stack:
                for _ in range(400):
                    stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.5))
        finally:
            os.kill(service.pid, signal.SIGCONT)
