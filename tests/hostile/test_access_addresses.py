"""Who is not in `server.allow` gets no further than the accept, whatever he says and speaks."""

import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.test_processes import until
from tests.hostile.test_access_tls import SLACK, address
from tests.lab.certificates import Pki
from tests.lab.service import Service

ALLOWED, STRANGER = "127.0.0.1", "127.0.0.2"


@pytest.fixture(scope="module", params=["http", "https"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    secure = Pki(tmp_path_factory.mktemp("pki")).settings if request.param == "https" else {}
    with Service({"server": {"allow": [f"{ALLOWED}/32", "2001:db8::/32"], **secure}}) as service:
        yield service


async def ask(service: Service, source: str, **headers: str) -> int:
    """Ask from an address of one's own; return the status. Raises aiohttp.ClientConnectionError."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(source, 0), ssl=False)) as session,
        session.get(f"{service.url}/healthz", headers=named, timeout=aiohttp.ClientTimeout(SLACK)) as response,
    ):
        return response.status


async def test_who_is_named_gets_in(service: Service) -> None:
    assert await ask(service, ALLOWED) == 200


@pytest.mark.parametrize("header", ["X_Forwarded_For", "X_Real_IP", "Forwarded"])
async def test_what_a_header_says_lets_nobody_in_and_shuts_nobody_out(service: Service, header: str) -> None:
    before = "for=" if header == "Forwarded" else ""
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask(service, STRANGER, **{header: f"{before}{ALLOWED}"})
    assert await ask(service, ALLOWED, **{header: f"{before}{STRANGER}"}) == 200


def said_nothing(service: Service, source: str) -> None:
    with socket.create_connection(address(service), timeout=SLACK, source_address=(source, 0)) as talk:
        talk.recv(1)


def test_a_stranger_is_reset_before_he_has_said_anything(service: Service) -> None:
    with pytest.raises(ConnectionResetError):
        said_nothing(service, STRANGER)


async def test_the_log_names_who_was_refused_and_is_not_flooded(tmp_path: Path) -> None:
    with Service({"server": {"allow": [ALLOWED]}}) as strict:
        for _ in range(50):
            with pytest.raises(ConnectionResetError):
                said_nothing(strict, STRANGER)
        told = f"a connection from {STRANGER} was reset: server.allow has no network of it"
        await until(lambda: told in strict.log, "the log tells of it")
        assert strict.log.count(told) < 5
        assert await ask(strict, ALLOWED) == 200
        assert "Traceback" not in strict.log
