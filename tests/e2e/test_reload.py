"""A running service takes changed maps and settings: by itself, on SIGHUP, and on POST /-/reload to any worker."""

import asyncio
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import trustme

from tests.e2e.test_processes import PROMPTLY, until
from tests.e2e.test_workers import CONNECTIONS, connections, workers
from tests.lab.map_server import MapServer
from tests.lab.redis import RedisServer
from tests.lab.service import Service, mxcheck, write_config
from tests.lab.waiting import StillWaiting

NEVER = {"watch": 0, "interval": 0}
"""Maps are looked at when a reload is asked for, and not before."""


@pytest.fixture
def white(tmp_path: Path) -> Path:
    """A map of one domain."""
    file = tmp_path / "white"
    file.write_text("one.test\n")
    return file


def put(file: Path, text: str) -> None:
    file.write_text(text)


def remove(file: Path) -> None:
    file.unlink()


async def knows(session: aiohttp.ClientSession, service: Service, domain: str) -> bool:
    """Whether the worker at the other end of the session's connection has the domain in its map."""
    # Of a worker that has just begun, on a busy machine, an answer within 200 ms is too much to ask: it would refuse.
    asked = {"sender": f"a@{domain}", "deadline_ms": 1000}
    async with session.post(f"{service.url}/v1/check", json=asked) as response:
        return "MX_WHITE" in (await response.json())["symbols"]


async def eventually(condition: Callable[[], Any], what: str) -> None:
    """Wait until what is asked for over HTTP is so."""
    try:
        async with asyncio.timeout(20):
            while not await condition():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise StillWaiting(what) from None


async def everywhere(sessions: list[aiohttp.ClientSession], service: Service, domain: str) -> bool:
    return all([await knows(session, service, domain) for session in sessions])


async def reload(service: Service, session: aiohttp.ClientSession) -> tuple[int, Any]:
    async with session.post(f"{service.url}/-/reload", raise_for_status=False) as response:
        return response.status, json.loads(await response.read())


def config_of(service: Service) -> Path:
    """The settings file that the service was started with."""
    command = psutil.Process(service.pid).cmdline()
    return Path(command[command.index("--config") + 1])


@asynccontextmanager
async def one(settings: dict[str, Any]) -> AsyncIterator[tuple[Service, aiohttp.ClientSession]]:
    with ExitStack() as stack:
        # Elsewhere, so that a map server in this loop answers meanwhile.
        service = await asyncio.to_thread(stack.enter_context, Service(settings))
        async with connections(1) as (session,):
            yield service, session


async def test_changed_file_is_taken_without_being_told(white: Path) -> None:
    async with one({"mx_check": {"exclude_domains": str(white)}, "maps": {"watch": 0.05}}) as (service, session):
        assert await knows(session, service, "one.test")
        put(white, "two.test\n")
        await eventually(lambda: knows(session, service, "two.test"), "the change is seen")
        assert not await knows(session, service, "one.test")
        remove(white)
        await until(lambda: f"cannot read {white}: No such file" in service.log, "the log tells of the lost file")
        assert await knows(session, service, "two.test")
        told = await service.metrics()
        assert told.value("mxcheck_map_errors", map="exclude_domains") == 1
        assert told.value("mxcheck_map_entries", map="exclude_domains") == 1
        assert told.value("mxcheck_reloads_total", result="error") == 1


async def test_map_from_a_url_is_polled_and_its_loss_is_survived() -> None:
    async with (
        MapServer(b"one.test\n") as server,
        one({"mx_check": {"exclude_domains": server.url}, "maps": {"interval": 0.1, "watch": 0.05}}) as (
            service,
            session,
        ),
    ):
        assert await knows(session, service, "one.test")
        server.content = b"two.test\n"
        await eventually(lambda: knows(session, service, "two.test"), "the change is seen")
        await eventually(lambda: asyncio.sleep(0, 304 in server.answers), "the server is asked whether it has changed")
        server.status = 500
        await until(lambda: "the server answered 500" in service.log, "the log tells of it")
        assert await knows(session, service, "two.test")


async def test_url_that_is_not_there_at_the_start_is_had_later() -> None:
    async with MapServer(b"one.test\n") as server:
        server.status = 503
        settings = {"mx_check": {"exclude_domains": server.url}, "maps": {"interval": 0.1, "watch": 0.05}}
        async with one(settings) as (service, session):
            assert "it counts as empty until it can be had" in service.log
            assert not await knows(session, service, "one.test")
            server.status = 200
            await eventually(lambda: knows(session, service, "one.test"), "the map is fetched")


async def test_file_that_is_not_there_at_the_start_is_an_error(tmp_path: Path) -> None:
    config = write_config(tmp_path, {"mx_check": {"exclude_domains": "/nonexistent/map"}})
    finished = await mxcheck("serve", "--config", str(config))
    assert finished.code == 2
    assert "mx_check.exclude_domains: cannot read /nonexistent/map: No such file" in finished.err


async def test_redirect_out_of_tls_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a real TLS server, whose authority the command trusts as it trusts those of the system."""
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with MapServer(b"one.test\n", tls=tls) as secure, MapServer(b"evil.test\n") as plain:
        config = write_config(tmp_path, {"mx_check": {"exclude_domains": secure.url}})
        finished = await mxcheck("config", "check", "--config", str(config))
        assert (finished.code, finished.err) == (0, "")
        secure.status, secure.headers = 302, {"Location": secure.elsewhere}
        finished = await mxcheck("config", "check", "--config", str(config))
        assert (finished.code, finished.err) == (0, "")
        secure.headers = {"Location": plain.elsewhere}
        finished = await mxcheck("config", "check", "--config", str(config))
        assert finished.code == 0
        assert "redirects from https to http://127.0.0.1" in finished.err


async def test_sighup_reads_settings_and_maps(white: Path) -> None:
    settings: dict[str, Any] = {"mx_check": {"exclude_domains": str(white)}, "maps": NEVER}
    async with one(settings) as (service, session):
        put(white, "two.test\n")
        settings["mx_check"]["symbol_white_mx"] = "FINE"
        settings["server"] = {"host": "127.0.0.1", "port": 1, "log_level": "debug"}
        write_config(config_of(service).parent, settings)
        os.kill(service.pid, signal.SIGHUP)
        await until(lambda: "reload: done" in service.log, "the reload is over")
        async with session.post(f"{service.url}/v1/check", json={"sender": "a@two.test"}) as response:
            assert list((await response.json())["symbols"]) == ["FINE"]
        assert "reload: a restart is needed for changes of server.port" in service.log
        assert f"changed: server.log_level, mx_check.symbol_white_mx, {white}" in service.log


async def test_changed_log_level_is_that_of_the_line_of_each_check() -> None:
    settings: dict[str, Any] = {"mx_check": {"exclude_domains": ["*.test"]}, "server": {"log_level": "warning"}}
    async with one(settings) as (service, session):
        assert await knows(session, service, "before.test")
        settings["server"] = {"host": "127.0.0.1", "port": 1, "log_level": "info"}
        write_config(config_of(service).parent, settings)
        assert (await reload(service, session))[0] == 200
        assert await knows(session, service, "after.test")
        await until(lambda: "after.test" in service.log, "the check has a line")
        assert "before.test" not in service.log


async def test_broken_settings_file_leaves_everything_as_it_was(white: Path) -> None:
    settings: dict[str, Any] = {"mx_check": {"exclude_domains": str(white)}, "maps": NEVER}
    async with one(settings) as (service, session):
        config = config_of(service)
        put(config, "mx_check: {symbol_white_mx: FINE, expire: never}\nserver: {prot: 1}\n")
        status, told = await reload(service, session)
        assert status == 500
        assert len(told["problems"]) == 2
        assert all(problem in service.log for problem in told["problems"])
        assert await knows(session, service, "one.test")
        put(config, "mx_check: [")
        status, told = await reload(service, session)
        assert status == 500
        assert "is not YAML" in told["problems"][0]
        assert await knows(session, service, "one.test")


async def test_service_ends_at_once_while_a_map_is_being_fetched() -> None:
    settings = {"maps": NEVER | {"timeout": 60}, "server": {"drain_seconds": 60}}
    async with (
        MapServer(b"one.test\n") as server,
        one(settings | {"mx_check": {"exclude_domains": server.url}}) as (service, _),
    ):
        server.hold = asyncio.Event()
        os.kill(service.pid, signal.SIGHUP)
        await until(lambda: server.asked == 2, "the reload fetches the map")
        assert await service.stop(PROMPTLY * 3) == 0
        server.hold.set()


class TestWorkers:
    @pytest.fixture
    async def service(self, white: Path, redis_server: RedisServer) -> AsyncIterator[Service]:
        settings = {
            "server": {"workers": 2},
            "cache": {"url": redis_server.url},
            "mx_check": {"exclude_domains": str(white)},
            "maps": NEVER,
        }
        with Service(settings) as service:
            await until(lambda: len(workers(service)) == 2, "both workers listen")
            yield service

    async def test_sighup_to_the_parent_reaches_every_worker(self, service: Service, white: Path) -> None:
        async with connections(CONNECTIONS) as sessions:
            assert await everywhere(sessions, service, "one.test")
            put(white, "two.test\n")
            os.kill(service.pid, signal.SIGHUP)
            await eventually(lambda: everywhere(sessions, service, "two.test"), "both workers have the new map")
        assert (await service.metrics()).value("mxcheck_map_entries", map="exclude_domains") == 1

    async def test_request_to_one_worker_reaches_every_worker(self, service: Service, white: Path) -> None:
        async with connections(CONNECTIONS) as sessions:
            assert await everywhere(sessions, service, "one.test")
            for number, domain in enumerate(("two.test", "three.test"), start=1):
                put(white, f"{domain}\n")
                status, told = await reload(service, sessions[0])
                assert (status, told["maps"]["exclude_domains"]["sources"][0]["changed"]) == (200, True)
                assert await knows(sessions[0], service, domain)
                await eventually(lambda: everywhere(sessions, service, domain), "both workers have the new map")  # noqa: B023
                # One in each worker, and not another one in the worker that was asked.
                await until(lambda: service.log.count("reload: done") == 2 * number, "each tells of it")  # noqa: B023
        assert (await service.metrics()).value("mxcheck_reloads_total", result="ok") == 4

    async def test_worker_that_takes_a_dead_ones_place_has_what_the_others_have(
        self, service: Service, white: Path
    ) -> None:
        async with connections(1) as (session,):
            put(white, "two.test\n")
            await reload(service, session)
        before = workers(service)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(workers(service) - before) == 2, "others take their places")
        async with connections(CONNECTIONS) as sessions:
            await eventually(lambda: everywhere(sessions, service, "two.test"), "they have the new map")
