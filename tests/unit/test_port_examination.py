"""How the doctor finds out who has the service's place: over TLS, at the unix socket, and where it is not let in."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mxcheck_service import unix_socket
from mxcheck_service.doctor.facts import Listening, PortFacts
from mxcheck_service.doctor.port_examination import examine_port
from mxcheck_service.doctor.rows import Row, Status
from mxcheck_service.listening import entrance
from mxcheck_service.settings import ServerSettings, Settings
from tests.lab.certificates import Pki
from tests.lab.sockets import free_port
from tests.unit import test_doctor

OURS = PortFacts(Listening.OURS, "9.9.9", ("v6",))


class Us(asyncio.Protocol):
    """Tells what the service's metrics tell."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /metrics"):
            self.transport.write(b'mxcheck_build_info{version="9.9.9"} 1.0\nmxcheck_egress_up{family="v6"} 0.0\n')
        self.transport.close()


@asynccontextmanager
async def served(protocol: type[asyncio.Protocol] = Us, **server: Any) -> AsyncIterator[ServerSettings]:
    settings = ServerSettings.model_validate({"port": free_port(), **server})
    with entrance(settings) as door:
        close = door.open(protocol)
        yield settings
        close()


async def test_a_service_with_tls(tmp_path: Path) -> None:
    secure: dict[str, Any] = {**Pki(tmp_path).settings}
    async with served(**secure) as server:
        assert await examine_port(server) == OURS


async def test_one_that_does_not_let_us_in_is_asked_at_its_socket(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    guards: list[dict[str, Any]] = [{"allow": ["192.0.2.1"]}, pki.settings | {"tls_client_ca": str(pki.ca)}]
    for guard in guards:
        async with served(**guard) as server:
            facts = await examine_port(server)
            assert facts.listening is Listening.GUARDED
            (row,) = rows(server, facts)
            assert (row.status, "server.unix_socket" in row.advice) == (Status.SKIP, True)
        async with served(unix_socket=str(tmp_path / "s"), **guard) as server:
            assert await examine_port(server) == OURS


async def test_nothing_but_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = ServerSettings(port=None, unix_socket=str(path))
    assert await examine_port(server) == PortFacts(Listening.FREE)
    with unix_socket.bound(str(path), 0o600):
        pass
    async with served(port=None, unix_socket=str(path)):
        assert await examine_port(server) == OURS
        (row,) = rows(server, OURS)
        assert row.found == f"unix:{path} is served by mxcheck 9.9.9"
    async with served(asyncio.Protocol, port=None, unix_socket=str(path)):
        facts = await asyncio.wait_for(examine_port(server), 20)
        assert facts == PortFacts(Listening.TAKEN)
        (row,) = rows(server, facts)
        assert (row.status, f"`ss -lxp src {path}`" in row.advice) == (Status.FAIL, True)


async def test_what_a_dead_service_has_left_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert await examine_port(ServerSettings(port=None, unix_socket=str(path))) == PortFacts(Listening.FREE)
    assert path.is_socket()


@pytest.mark.parametrize(("name", "told"), [("file", "something else than a socket"), ("no/s", "there is no folder")])
async def test_a_path_that_is_not_to_be_had(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "file").write_text("")
    server = ServerSettings(port=None, unix_socket=str(tmp_path / name))
    facts = await examine_port(server)
    assert facts.listening is Listening.REFUSED
    assert told in facts.detail
    (row,) = rows(server, facts)
    assert (row.status, told in row.found) == (Status.FAIL, True)


def rows(server: ServerSettings, port: PortFacts) -> list[Row]:
    return test_doctor.rows("port", Settings(server=server), port=port)
