"""TLS as callers meet it: who speaks it gets in, who does not holds up nobody, and certificates change under load."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import psutil
import pytest

from mxcheck_service.listening import HANDSHAKE_SECONDS, MOST_HANDSHAKES
from tests.e2e.test_processes import until
from tests.e2e.test_workers import workers
from tests.lab.certificates import Pki
from tests.lab.process import find_program
from tests.lab.redis import RedisServer
from tests.lab.service import Service, mxcheck, write_config

SLACK = 8.0
"""Seconds that a busy machine may take for what takes none."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def service(pki: Pki) -> Iterator[Service]:
    """A service with TLS, that no test changes."""
    with Service({"server": pki.settings}) as service:
        yield service


def address(service: Service) -> tuple[str, int]:
    return "127.0.0.1", int(service.url.rpartition(":")[2])


def healthy(service: Service, context: ssl.SSLContext) -> tuple[bytes, str | None]:
    """Ask over a connection of its own; return the reply and the version of TLS."""
    with (
        socket.create_connection(address(service), timeout=SLACK) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        reply = b""
        while piece := tls.recv(4096):
            reply += piece
        return reply, tls.version()


def serial(service: Service, pki: Pki) -> str:
    """The number of the certificate that a new connection is shown."""
    with (
        socket.create_connection(address(service), timeout=SLACK) as plain,
        pki.trusting().wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        shown = tls.getpeercert()
        assert shown
        return str(shown["serialNumber"])


def test_curl_gets_in_and_verifies(service: Service, pki: Pki) -> None:
    curl = [find_program("curl"), "-sS", "--max-time", "10", f"{service.url}/healthz"]
    done = subprocess.run([*curl, "--cacert", pki.ca], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"status": "ok"}', "")
    stranger = subprocess.run(curl, capture_output=True, text=True, check=False)
    assert stranger.returncode == 60


def test_the_log_tells_the_scheme(service: Service) -> None:
    assert f"listening on {service.url}, cache" in service.log
    assert service.url.startswith("https://")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_spoken(service: Service, pki: Pki, version: ssl.TLSVersion) -> None:
    context = pki.trusting()
    context.minimum_version = context.maximum_version = version
    reply, spoken = healthy(service, context)
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert spoken == version.name.replace("_", ".")


def agreed_with_anybody(client: ssl.SSLContext, pki: Pki) -> str | None:
    """Return the version that a client and a server agree on that takes whatever there is."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pki.cert, pki.key)
    server.set_ciphers("DEFAULT@SECLEVEL=0")
    server.minimum_version = ssl.TLSVersion.TLSv1
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for end in ends * 4:
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return ends[0].version()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_1_1_is_refused_by_the_service_itself(service: Service, pki: Pki) -> None:
    context = pki.trusting()
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert agreed_with_anybody(context, pki) == "TLSv1.1"
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        healthy(service, context)


@pytest.mark.parametrize("said", [b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" * 9, b"\0" * 99])
def test_what_is_no_tls_is_hung_up_on_at_once(service: Service, said: bytes) -> None:
    with socket.create_connection(address(service), timeout=HANDSHAKE_SECONDS * 0.8) as plain:
        plain.sendall(said)
        told = b""
        try:
            while piece := plain.recv(4096):
                told += piece
        except ConnectionResetError:
            pass
    assert b"HTTP" not in told


def test_who_says_nothing_is_hung_up_on_and_holds_up_nobody(service: Service, pki: Pki) -> None:
    with socket.create_connection(address(service), timeout=HANDSHAKE_SECONDS + SLACK) as silent:
        began = time.monotonic()
        assert healthy(service, pki.trusting())[0].startswith(b"HTTP/1.1 200 ")
        with suppress(ConnectionResetError):
            assert silent.recv(1) == b""
        assert time.monotonic() - began > HANDSHAKE_SECONDS * 0.8


def test_a_crowd_that_says_nothing_gives_way(service: Service, pki: Pki) -> None:
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(address(service), timeout=HANDSHAKE_SECONDS * 0.8))
            for _ in range(MOST_HANDSHAKES + 20)
        ]
        assert healthy(service, pki.trusting())[0].startswith(b"HTTP/1.1 200 ")
        for oldest in crowd[:10]:
            # Long before its time is over.
            with suppress(ConnectionResetError):
                assert oldest.recv(1) == b""
        files = psutil.Process(service.pid).num_fds()
        assert files < MOST_HANDSHAKES + 60


class Load:
    """Requests over connections of all ages, each of which must be answered."""

    def __init__(self, service: Service, pki: Pki) -> None:
        self.answered = 0
        self._url = f"{service.url}/healthz"
        self._context = pki.trusting()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for kept in (True, True, False, False):
                group.create_task(self._ask(stop, kept))
            yield self
            stop.set()

    async def _ask(self, stop: asyncio.Event, kept: bool) -> None:
        connector = aiohttp.TCPConnector(limit=1, ssl=self._context, force_close=not kept)
        async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:
            while not stop.is_set():
                async with session.get(self._url, timeout=aiohttp.ClientTimeout(total=SLACK)) as response:
                    await response.read()
                self.answered += 1

    async def goes_on(self) -> None:
        """Return once some more requests have been answered."""
        wanted = self.answered + 20
        await until(lambda: self.answered >= wanted, "requests are answered")


async def test_a_new_certificate_is_taken_on_sighup_and_no_request_is_lost(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    with Service({"server": pki.settings | {"log_level": "info"}}) as service:
        async with Load(service, pki).running() as load:
            for number in (1, 2):
                before = await asyncio.to_thread(serial, service, pki)
                await load.goes_on()
                pki.renew()
                os.kill(service.pid, signal.SIGHUP)
                told = "reload: a new certificate"
                await until(lambda: service.log.count(told) == number, "it is taken")  # noqa: B023
                await load.goes_on()
                assert await asyncio.to_thread(serial, service, pki) != before


async def test_a_broken_certificate_leaves_the_last_good_one_in_use(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    with Service({"server": pki.settings}) as service:
        before, good = await asyncio.to_thread(serial, service, pki), pki.cert.read_bytes()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=pki.trusting())) as session:
            faults = ((good[:400], "is not PEM"), (None, "No such file"), (pki.ca.read_bytes(), "is not the key"))
            for broken, why in faults:
                pki.cert.unlink(missing_ok=True)
                if broken is not None:
                    pki.cert.write_bytes(broken)
                async with session.post(f"{service.url}/-/reload") as response:
                    assert response.status == 500
                    (problem,) = (await response.json(content_type=None))["problems"]
                assert problem.startswith("server.tls_")
                assert why in problem
                assert "the last good certificate stays in use" in problem
                assert problem in service.log
                assert await asyncio.to_thread(serial, service, pki) == before
            pki.renew()
            async with session.post(f"{service.url}/-/reload") as response:
                assert response.status == 200
        assert await asyncio.to_thread(serial, service, pki) != before


async def test_every_worker_takes_a_new_certificate_one_that_comes_later_too(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    pki = Pki(tmp_path)
    settings = {"server": pki.settings | {"workers": 2, "host": "0.0.0.0"}, "cache": {"url": redis_server.url}}

    def serials() -> set[str]:
        # That all of them go to one worker of two happens once in 2**19 runs.
        return {serial(shared, pki) for _ in range(20)}

    with Service(settings) as shared:
        first = await asyncio.to_thread(serials)
        assert len(first) == 1
        pki.renew()
        os.kill(shared.pid, signal.SIGHUP)
        await until(lambda: shared.log.count("reload: a new certificate") == 2, "both take it")
        second = await asyncio.to_thread(serials)
        assert len(second) == 1
        assert second != first
        victim = min(workers(shared))
        os.kill(victim, signal.SIGKILL)
        await until(lambda: shared.log.count("reload: a new certificate") == 3, "its successor takes it")
        assert await asyncio.to_thread(serials) == second
        assert shared.log.count("anybody who reaches 0.0.0.0 may ask") == 1


async def test_what_is_no_use_is_told_at_the_start(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pki.key.unlink()
    config = write_config(tmp_path, {"server": pki.settings})
    finished = await mxcheck("serve", "--config", str(config))
    assert finished.code == 2
    assert finished.err == f"mxcheck: server.tls_key: {pki.key} cannot be read: No such file or directory\n"
