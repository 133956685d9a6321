"""Who is not in `server.allow` gets no further than the accept, whatever he says and speaks."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

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


def ask(service: Service, source: str, *headers: str) -> bytes:
    """Ask from an address of one's own; return what is replied."""
    request = "\r\n".join(["GET /healthz HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""])
    reply = b""
    with ExitStack() as stack:
        talk = stack.enter_context(connection(service, source))
        if service.url.startswith("https"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            # Not at once: a socket whose connection was reset meanwhile would be left open.
            talk = secure = stack.enter_context(context.wrap_socket(talk, do_handshake_on_connect=False))
            secure.do_handshake()
        talk.sendall(request.encode())
        while piece := talk.recv(4096):
            reply += piece
    return reply


def connection(service: Service, source: str) -> socket.socket:
    return socket.create_connection(address(service), timeout=SLACK, source_address=(source, 0))


def test_who_is_named_gets_in(service: Service) -> None:
    assert ask(service, ALLOWED).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("header", ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1"])
def test_nobody_else_whatever_a_header_says(service: Service, header: str) -> None:
    with pytest.raises(ConnectionError):
        ask(service, STRANGER, header)


@pytest.mark.parametrize("header", ["X-Forwarded-For: 127.0.0.2", "X-Real-IP: 192.0.2.1"])
def test_no_header_shuts_anybody_out(service: Service, header: str) -> None:
    assert ask(service, ALLOWED, header).startswith(b"HTTP/1.1 200 ")


def said_nothing(service: Service, source: str) -> None:
    with connection(service, source) as talk:
        talk.recv(1)


def test_a_stranger_is_reset_before_he_has_said_anything(service: Service) -> None:
    with pytest.raises(ConnectionResetError):
        said_nothing(service, STRANGER)


async def test_the_log_names_who_was_refused_and_is_not_flooded(tmp_path: Path) -> None:
    with Service({"server": {"allow": [ALLOWED]}}) as strict:
        for _ in range(50):
            with pytest.raises(ConnectionError):
                ask(strict, STRANGER)
        told = f"a connection from {STRANGER} was reset: server.allow has no network of it"
        await until(lambda: told in strict.log, "the log tells of it")
        assert strict.log.count(told) < 5
        assert ask(strict, ALLOWED).startswith(b"HTTP/1.1 200 ")
        assert "Traceback" not in strict.log
