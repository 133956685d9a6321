"""Several processes on one port: they share the work and the counts, are replaced, and end together."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.e2e.test_processes import PROMPTLY, held_back, until
from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.exposition import Exposition
from tests.lab.process import Child
from tests.lab.redis import RedisServer
from tests.lab.service import COMMAND, Service, mxcheck, write_config
from tests.lab.smtp import SmtpPeers
from tests.lab.sockets import accepts_connections, free_port, is_free

WORKERS = 2
CONNECTIONS = 40
"""The kernel spreads connections by a hash; that so many go to one worker of two happens once in 2**39 runs."""


@pytest.fixture
def settings(redis_server: RedisServer) -> dict[str, Any]:
    return {"server": {"workers": WORKERS}, "cache": {"url": redis_server.url}}


def workers(service: Service) -> set[int]:
    """The workers that accept connections, by process id."""
    port = int(service.url.rpartition(":")[2])
    return {child.pid for child in psutil.Process(service.pid).children() if port in ports(child)}


def ports(process: psutil.Process) -> set[int]:
    """The TCP ports at which a process accepts connections; none when it is no more."""
    try:
        return {
            connection.laddr.port
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
    except psutil.NoSuchProcess:
        return set()


def has_ended(pid: int) -> bool:
    """Whether the process is no more; what nobody waited for counts as ended too."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@asynccontextmanager
async def connections(count: int) -> AsyncIterator[list[aiohttp.ClientSession]]:
    """Sessions that have, once used, a connection each, and keep it."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=1),
                    timeout=aiohttp.ClientTimeout(total=30),
                    raise_for_status=True,
                )
            )
            for _ in range(count)
        ]


async def get(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as response:
        await response.read()


@asynccontextmanager
async def serving(settings: dict[str, Any]) -> AsyncIterator[Service]:
    """A service all of whose workers accept connections."""
    with Service(settings) as service:
        await until(lambda: len(workers(service)) == WORKERS, "every worker listens")
        yield service


class TestTogether:
    async def test_every_worker_answers_and_any_of_them_tells_the_counts_of_all(self, settings: dict[str, Any]) -> None:
        async with serving(settings) as service, connections(CONNECTIONS) as sessions:
            before = (await service.metrics()).value("mxcheck_requests_total", endpoint="/healthz", code="200")
            await asyncio.gather(*(get(session, f"{service.url}/healthz") for session in sessions))
            served = {
                pid
                for pid in workers(service)
                for connection in psutil.Process(pid).net_connections("tcp")
                if connection.status == psutil.CONN_ESTABLISHED
            }
            assert served == workers(service)
            assert len(served) == WORKERS
            for session in sessions:
                async with session.get(f"{service.url}/metrics") as response:
                    line = f'mxcheck_requests_total{{code="200",endpoint="/healthz"}} {CONNECTIONS + before:.1f}'
                    assert line in (await response.text()).splitlines()
            told = await service.metrics()
            assert told.value("mxcheck_requests_total", endpoint="/metrics", code="200") == CONNECTIONS + 1
            assert told.value("mxcheck_request_duration_seconds_count", endpoint="/healthz") == CONNECTIONS + before

    async def test_what_workers_have_now_adds_up_too(
        self, settings: dict[str, Any], dns_server: DnsServer, smtp_peers: SmtpPeers
    ) -> None:
        answer = asyncio.Event()
        dns_server.set("slow.test", "MX", dns.Delayed(dns.NXDOMAIN, until=answer))
        lab = {"dns": {"nameservers": [dns_server.nameserver], "timeout": 30.0}}
        async with serving(settings | lab) as service, connections(CONNECTIONS) as sessions:
            url = f"{service.url}/v1/check?sender=a@slow.test&deadline_ms=30000"
            asking = [asyncio.create_task(get(session, url)) for session in sessions]
            # Over one connection, so that one worker alone is scraped; the other one tells by itself.
            async with connections(1) as (scraper,):

                async def until_there_are(tasks: int) -> None:
                    async with asyncio.timeout(30):
                        told = None
                        while told is None or told.value("mxcheck_background_tasks") != tasks:
                            async with scraper.get(f"{service.url}/metrics") as response:
                                told = Exposition(await response.text())

                await until_there_are(CONNECTIONS)
                answer.set()
                await asyncio.gather(*asking)
                await until_there_are(0)

    async def test_port_0_is_one_free_port_for_all(self, settings: dict[str, Any], tmp_path: Path) -> None:
        settings["server"] |= {"port": 0}
        config = write_config(tmp_path, settings)
        child = Child("mxcheck", [*COMMAND, "serve", "--config", str(config)], tmp_path / "log")
        child.start(lambda: "listening on" in child.log)
        try:
            listening = [line for line in child.log.splitlines() if "listening on" in line]
            assert len(listening) == 1
            port = int(listening[0].partition("127.0.0.1:")[2].partition(",")[0])
            assert [ports(process) for process in psutil.Process(child.pid).children()] == [{port}] * WORKERS
        finally:
            child.stop()


class TestDeath:
    async def test_a_killed_worker_is_replaced_and_no_counter_goes_back(self, settings: dict[str, Any]) -> None:
        async with serving(settings) as service:
            async with connections(CONNECTIONS) as sessions:
                await asyncio.gather(*(get(session, f"{service.url}/healthz") for session in sessions))
            before = (await service.metrics()).counters()
            first = workers(service)
            victim = min(first)
            os.kill(victim, signal.SIGKILL)
            await until(lambda: len(workers(service) - {victim}) == WORKERS, "another worker is there")
            assert len(workers(service) & first) == WORKERS - 1
            async with connections(CONNECTIONS) as sessions:
                await asyncio.gather(*(get(session, f"{service.url}/healthz") for session in sessions))
            after = (await service.metrics()).counters()
            assert {series for series, value in before.items() if after.get(series, 0) < value} == set()
            healthz = "mxcheck_requests_total", frozenset({("endpoint", "/healthz"), ("code", "200")})
            assert after[healthz] == before[healthz] + CONNECTIONS
            assert f"(pid {victim}) was killed by SIGKILL" in service.log
            assert service.log.count("listening on") == 1

    async def test_no_worker_outlives_a_killed_parent(self, settings: dict[str, Any]) -> None:
        with Service(settings) as service:
            await until(lambda: len(workers(service)) == WORKERS, "every worker listens")
            port = int(service.url.rpartition(":")[2])
            orphans = workers(service)
            async with connections(CONNECTIONS) as sessions:
                await asyncio.gather(*(get(session, f"{service.url}/healthz") for session in sessions))
                os.kill(service.pid, signal.SIGKILL)
                await until(lambda: all(map(has_ended, orphans)), "the workers have ended")
            assert not accepts_connections("127.0.0.1", port)
            await service.ended()
            service.start()
            await until(lambda: len(workers(service)) == WORKERS, "it starts again on the same port")

    @pytest.mark.parametrize(
        ("fault", "last_words", "in_log"),
        [
            ("async def fail(*_): raise RuntimeError('no luck')\nworkers.serve = fail",
             r"ended with exit code 1 after [01] s", "RuntimeError: no luck"),
            ("def fail(): raise BlockingIOError(11, 'no room')\nworkers.os.fork = fail",
             r"cannot be started \(\[Errno 11\] no room\)", "it is started again in 0.1 s"),
        ],
        ids=["it fails", "there is no room for it"],
    )  # fmt: skip
    async def test_workers_that_never_come_to_listen_end_the_service(
        self, settings: dict[str, Any], tmp_path: Path, fault: str, last_words: str, in_log: str
    ) -> None:
        settings["server"] |= {"port": free_port()}
        config = write_config(tmp_path, settings)
        program = (
            "import sys\n"
            "from mxcheck_service import cli, workers\n"
            f"{fault}\n"
            f"sys.exit(cli.main(['serve', '--config', {str(config)!r}]))\n"
        )
        child = Child("mxcheck", [sys.executable, "-c", program], tmp_path / "log")
        # Nothing to wait for: it is to end by itself.
        child.start(lambda: True)
        assert await asyncio.to_thread(child.wait) == 2
        last = child.log.splitlines()[-1]
        assert last.startswith("mxcheck: 5 workers in a row did not come to listen; the last, worker ")
        assert re.search(f"{last_words}$", last), last
        assert in_log in child.log
        assert is_free(settings["server"]["port"])


class TestStop:
    async def test_a_signal_lets_all_workers_finish_what_they_have(
        self, settings: dict[str, Any], dns_server: DnsServer, smtp_peers: SmtpPeers
    ) -> None:
        greet = asyncio.Event()
        peer = smtp_peers.add(held_back(greet))
        dns_server.set("target.test", "MX", dns.mx((10, "mx.target.test")))
        dns_server.set("mx.target.test", "A", dns.a(peer.address))
        settings["server"] |= {"drain_seconds": 30.0, "deadline": 30.0}
        settings |= {
            "dns": {"nameservers": [dns_server.nameserver]},
            "mx_check": {
                "test_mode": True, "port": smtp_peers.port, "verify_greeting": True, "read_timeout": 30.0,
            },
            "improvements": {"slow_greeting": None},
        }  # fmt: skip
        async with serving(settings) as service, connections(CONNECTIONS) as sessions:
            processes = {service.pid, *workers(service)}

            async def ask(session: aiohttp.ClientSession) -> str:
                async with session.post(f"{service.url}/v1/check", json={"sender": "a@target.test"}) as response:
                    (symbol,) = (await response.json())["symbols"]
                    return str(symbol)

            async def ask_until_turned_away() -> list[int]:
                told: list[int] = []
                async with aiohttp.ClientSession() as session:
                    while not told or told[-1] == 200:
                        async with session.post(f"{service.url}/v1/check", json={}) as response:
                            told.append(response.status)
                            await response.read()
                return told

            asking = [asyncio.create_task(ask(session)) for session in sessions]
            pressing = [asyncio.create_task(ask_until_turned_away()) for _ in range(8)]
            async with asyncio.timeout(20):
                while (await service.metrics()).value("mxcheck_background_tasks") != 2 * CONNECTIONS:
                    pass  # lookups, each with its attempt
            service.terminate()
            turned_away = await asyncio.wait_for(asyncio.gather(*pressing), 10)
            assert {told[-1] for told in turned_away} == {503}
            assert not any(task.done() for task in asking)
            greet.set()
            assert set(await asyncio.gather(*asking)) == {"MX_GOOD"}
            assert await service.ended() == 0
            assert all(map(has_ended, processes))
            assert peer.connections == 1
            assert "Traceback" not in service.log

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_with_nothing_under_way_it_ends_at_once(
        self, settings: dict[str, Any], number: signal.Signals
    ) -> None:
        settings["server"] |= {"drain_seconds": 60.0}
        async with serving(settings) as service:
            os.kill(service.pid, number)
            assert await service.ended(within=PROMPTLY) == 0

    async def test_a_signal_before_the_workers_are_up_ends_it_too(
        self, settings: dict[str, Any], tmp_path: Path
    ) -> None:
        config = write_config(
            tmp_path, settings | {"server": {"workers": 8, "port": free_port(), "drain_seconds": 60.0}}
        )
        child = Child("mxcheck", [*COMMAND, "serve", "--config", str(config)], tmp_path / "log")
        child.start(lambda: bool(psutil.Process(child.pid).children()))
        processes = [process.pid for process in psutil.Process(child.pid).children()]
        try:
            child.terminate()
            assert await asyncio.to_thread(child.wait, PROMPTLY) == 0
        finally:
            child.kill()
        assert all(map(has_ended, processes))

    async def test_a_stuck_worker_is_killed_when_its_time_is_over(self, settings: dict[str, Any]) -> None:
        settings["server"] |= {"drain_seconds": 0.0}
        async with serving(settings) as service:
            stuck = min(workers(service))
            os.kill(stuck, signal.SIGSTOP)
            assert await service.stop() == 0
            assert has_ended(stuck)
            assert f"a worker (pid {stuck}) did not end and is killed" in service.log

    async def test_it_starts_again_on_the_same_port_at_once(self, settings: dict[str, Any]) -> None:
        async with serving(settings) as service:
            # The side that closes first keeps the port in TIME_WAIT: here the service.
            async with connections(1) as (session,):
                await get(session, f"{service.url}/healthz")
                assert await service.stop() == 0
            service.start()
            assert (await service.get("/healthz")).status == 200


class TestPortTaken:
    @pytest.fixture(params=["a plain program", "one that shares its port", "one worker", "several workers"])
    def taken(self, request: pytest.FixtureRequest, settings: dict[str, Any]) -> Any:
        """A port that somebody listens at."""
        if request.param.endswith("worker") or request.param.endswith("workers"):
            with Service(settings | {"server": {"workers": 1 if request.param == "one worker" else 2}}) as service:
                yield int(service.url.rpartition(":")[2])
        else:
            with socket.create_server(("127.0.0.1", free_port()), reuse_port="shares" in request.param) as server:
                yield server.getsockname()[1]

    async def test_several_workers_say_so_in_one_line(
        self, taken: int, settings: dict[str, Any], tmp_path: Path
    ) -> None:
        settings["server"] |= {"port": taken}
        code, out, err = await mxcheck("serve", "--config", str(write_config(tmp_path, settings)))
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1, err
        assert f"('127.0.0.1', {taken})" in err
        assert "address already in use" in err

    async def test_one_worker_does_not_join_several(self, settings: dict[str, Any], tmp_path: Path) -> None:
        with Service(settings) as service:
            code, _, err = await mxcheck("serve", "--port", service.url.rpartition(":")[2])
        assert code == 2
        assert "address already in use" in err.lower()


class TestRefused:
    async def test_the_cache_in_the_process_is_not_shared(self, tmp_path: Path) -> None:
        lines = ["server:", "  workers: 2", "  prot: 1"]
        config = write_config(tmp_path, lines)
        code, out, err = await mxcheck("serve", "--config", str(config))
        assert (code, out) == (2, "")
        assert sorted(line.partition(": ")[0] for line in err.splitlines()) == [f"{config}:2", f"{config}:3"]
        assert "server.workers: 2 workers need a cache that they share" in err
        assert "set cache.url to a Redis, or server.workers to 1" in err
