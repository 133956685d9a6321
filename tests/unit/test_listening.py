"""Who gets in by which socket, and what the log tells of it, in the event loop that the service runs in."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mxcheck_service.listening import Callers, entrance
from mxcheck_service.settings import ServerSettings
from tests.lab.certificates import Pki
from tests.lab.waiting import poll_until


class Greeter(asyncio.Protocol):
    """Says hello to whoever has come in."""

    def connection_made(self, transport: Any) -> None:
        transport.write(b"hello")
        transport.close()


def visit(server: ServerSettings, talk: Callable[[tuple[str, int]], Any]) -> Any:
    """Return what comes of talking, in a thread, to greeters behind the entrance of these settings."""

    async def run() -> Any:
        with entrance(server) as door:
            close = door.open(Greeter)
            try:
                assert door.port
                return await asyncio.to_thread(talk, ("127.0.0.1", door.port))
            finally:
                close()

    return uvloop.run(run())


def hear(address: tuple[str, int], said: bytes = b"", context: ssl.SSLContext | None = None) -> bytes:
    with socket.create_connection(address, timeout=10) as plain:
        if context is None:
            plain.sendall(said)
            return plain.recv(99)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
            return tls.recv(99)


@pytest.mark.parametrize(
    ("networks", "admitted", "refused"),
    [
        (["192.0.2.0/24"], ["192.0.2.1", "::ffff:192.0.2.255"], ["192.0.3.0", "::ffff:192.0.3.0", "2001:db8::1"]),
        (["192.0.2.1"], ["192.0.2.1"], ["192.0.2.0", "192.0.2.2"]),
        (["2001:db8::/32"], ["2001:db8::1"], ["2001:db9::1", "192.0.2.1"]),
        (["::ffff:192.0.2.0/120"], ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.3.1", "::ffff:192.0.3.1"]),
        (["::/0"], ["2001:db8::1", "::1"], ["192.0.2.1", "::ffff:192.0.2.1"]),
        (["0.0.0.0/0"], ["192.0.2.1", "::ffff:192.0.2.1"], ["2001:db8::1"]),
        (["10.0.0.0/8", "::1"], ["10.1.2.3", "::1"], ["127.0.0.1", "11.0.0.0", "::2"]),
    ],
)
def test_who_may_connect(networks: list[str], admitted: list[str], refused: list[str]) -> None:
    callers = Callers(networks)
    assert callers
    assert [address for address in admitted + refused if callers.admits(address)] == admitted


def test_no_network_is_no_list() -> None:
    assert not Callers(())


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ("plain", "TLS with 127.0.0.1 failed: http request"),
        ("nobody", "TLS with 127.0.0.1 failed: peer did not return a certificate"),
        ("expired", "TLS with 127.0.0.1 failed: certificate has expired"),
    ],
)
def test_the_log_says_why_tls_failed(tmp_path: Path, caplog: pytest.LogCaptureFixture, who: str, told: str) -> None:
    pki = Pki(tmp_path)
    context = pki.trusting(pki.of_client("stranger", expired=True) if who == "expired" else None)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def talk(address: tuple[str, int]) -> None:
        heard = b""
        with suppress(OSError):
            heard = hear(address, b"GET /mine HTTP/1.1\r\n\r\n", None if who == "plain" else context)
        assert heard == b""
        poll_until(lambda: caplog.messages == [told], 10, told)

    visit(ServerSettings.model_validate({"port": 0, "tls_client_ca": str(pki.ca), **pki.settings}), talk)


def test_who_hangs_up_in_the_middle_of_it_is_not_worth_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pki = Pki(tmp_path)

    def talk(address: tuple[str, int]) -> bytes:
        for _ in range(3):
            socket.create_connection(address, timeout=10).close()
        return hear(address, context=pki.trusting())

    assert visit(ServerSettings.model_validate({"port": 0, **pki.settings}), talk) == b"hello"
    assert caplog.messages == []


def test_out_of_descriptors_it_accepts_again_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not turn in circles meanwhile."""
    tries = []

    class Poor(socket.socket):
        def accept(self) -> Any:
            tries.append(1)
            if len(tries) == 1:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    monkeypatch.setattr("mxcheck_service.listening.socket.socket", Poor)
    assert visit(ServerSettings(port=0), hear) == b"hello"
    (message,) = caplog.messages
    assert message.startswith("no room for another caller, those who come wait in the queue: Too many open files")
    assert len(tries) < 5


def announced(caplog: pytest.LogCaptureFixture, **server: Any) -> tuple[list[str], list[str]]:
    """Return what is told, and what is warned of, when the service listens with these settings."""
    caplog.clear()
    caplog.set_level("INFO")
    with entrance(ServerSettings.model_validate({"port": 0, **server})) as door:
        door.announce("memory://")
    told: dict[str, list[str]] = {"INFO": [], "WARNING": []}
    for record in caplog.records:
        told[record.levelname].append(record.getMessage())
    return told["INFO"], told["WARNING"]


def test_a_wide_open_service_is_warned_of(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    told, (warned,) = announced(caplog, host="0.0.0.0")
    assert told[0].startswith("listening on http://0.0.0.0:")
    assert warned.startswith("anybody who reaches 0.0.0.0 may ask")
    assert all(setting in warned for setting in ("server.auth_token", "server.tls_client_ca", "server.allow"))
    assert len(announced(caplog, host="0.0.0.0", admin_token="x")[1]) == 1
    assert len(announced(caplog, host="0.0.0.0", **pki.settings)[1]) == 1
    assert len(announced(caplog, host="")[1]) == 1  # each address there is, in one line
    for guard in ({"auth_token": "x"}, {"allow": ["10.0.0.0/8"]}, pki.settings | {"tls_client_ca": str(pki.ca)}):
        assert announced(caplog, host="0.0.0.0", **guard)[1] == []
    for host in ("127.0.0.1", "127.9.9.9", "localhost"):
        assert announced(caplog, host=host)[1] == []


def test_both_places_are_told(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    told, warned = announced(caplog, unix_socket=str(path))
    assert [line.partition(":")[0] for line in told] == ["listening on http", "listening on unix"]
    assert warned == []
    assert announced(caplog, unix_socket=str(path), port=None, host="0.0.0.0") == (
        [f"listening on unix:{path}, cache memory://"],
        [],
    )
