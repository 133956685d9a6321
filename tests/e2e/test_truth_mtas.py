"""The MTAs of the world: they take any mail, throw it away, and need no name service for it."""

import ctypes
import os
import select
import smtplib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self, TypeVar

import pytest

from tests.lab.mta import Mta
from tests.lab.process import find_program, missing, run
from tests.lab.sockets import free_port
from tests.lab.truth.mtas import SERVERS, EximServer, OpenSmtpdServer, PostfixServer, PostscreenServer
from tests.lab.waiting import poll_until

_T = TypeVar("_T")
ADDRESSES = ["127.0.0.244", "127.0.0.245"]
RECIPIENTS = [
    "somebody@nowhere.invalid",
    "postmaster@xn--bcher-kva.invalid",
    "postmaster",
    "plus+tag@[192.0.2.9]",
]
THROWN_AWAY = {"postfix": "status=sent (", "exim": "RCPT ACL discarded", "opensmtpd": "result=Ok"}
"""What each program's log says of mail that it is rid of."""
SMTP = 25
IPV6 = "2001:db8::7"
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, sched.h


@pytest.fixture(scope="module", params=["postfix", "exim", "opensmtpd"])
def server(request: pytest.FixtureRequest) -> Iterator[Mta]:
    """One that greets at once, at several addresses."""
    servers: dict[str, Callable[..., Mta]] = {
        "postfix": PostfixServer,
        "exim": EximServer,
        "opensmtpd": OpenSmtpdServer,
    }
    with servers[request.param](ADDRESSES, port=free_port()) as mta:
        yield mta


def deliver(address: str, port: int, *recipients: str, sender: str = "me@sender.invalid") -> None:
    """One whole message; smtplib raises an error when the server turns down the sender, the message or a recipient."""
    with smtplib.SMTP(address, port, local_hostname="sender.invalid", timeout=20) as client:
        refused = client.sendmail(sender, recipients, "Subject: hello\r\n\r\nAre you there?\r\n")
        assert refused == {}


def greeting(address: str, port: int) -> list[tuple[float, bytes]]:
    """Return the lines of the greeting, each with the seconds since the connection was asked for."""
    started = time.monotonic()
    lines: list[tuple[float, bytes]] = []
    with socket.create_connection((address, port), timeout=20) as connection, connection.makefile("rb") as stream:
        while not lines or lines[-1][1].startswith(b"220-"):
            line = stream.readline()
            lines.append((time.monotonic() - started, line))
    return lines


@pytest.mark.parametrize("recipient", RECIPIENTS)
def test_takes_mail_for_anybody(server: Mta, recipient: str) -> None:
    for address in ADDRESSES:
        deliver(address, server.port, recipient)


def test_takes_mail_from_nobody(server: Mta) -> None:
    deliver(server.address, server.port, *RECIPIENTS, sender="")


def test_throws_the_mail_away(server: Mta) -> None:
    sign = THROWN_AWAY[server.program]
    before = server.log.count(sign)
    deliver(server.address, server.port, RECIPIENTS[0])
    poll_until(lambda: server.log.count(sign) > before, 30, "the mail is thrown away")
    assert "status=bounced" not in server.log
    assert "PermFail" not in server.log


def test_greets_with_one_line_at_once(server: Mta) -> None:
    [(seconds, line)] = greeting(server.address, server.port)
    assert line.startswith(f"220 {server.hostname} ESMTP".encode())
    assert seconds < 1.5


def first_words(server: Mta, clients: int) -> set[bytes]:
    """Return what begins the greetings of so many clients that are there at the same time."""
    with ExitStack() as connections:
        there = [
            connections.enter_context(socket.create_connection((server.address, server.port), timeout=20))
            for _ in range(clients)
        ]
        return {connection.recv(4) for connection in there}


def test_takes_more_clients_than_a_default_configuration(server: Mta) -> None:
    assert first_words(server, 60) == {b"220 "}


def test_postscreen_teases_at_once_and_greets_after_the_wait() -> None:
    with PostscreenServer(ADDRESSES, port=free_port(), greet_wait=3) as server:
        for address in ADDRESSES:
            (teased, teaser), (greeted, final) = greeting(address, server.port)
            assert teaser == b"220-postfix.lab.test ESMTP\r\n"
            assert final == b"220 postfix.lab.test ESMTP\r\n"
            assert teased < 1.5
            assert 2.5 < greeted < 5
        deliver(server.address, server.port, *RECIPIENTS)
        assert first_words(server, 60) == {b"220-"}


def in_a_world_of_its_own(work: Callable[[], _T]) -> _T:
    """Call `work` in a thread with a network of its own, in which every address is local."""
    libc = ctypes.CDLL(None, use_errno=True)
    ip = find_program("ip")

    def enter_and_work() -> _T:
        if libc.unshare(_NEW_NETWORK) != 0:
            missing(f"the right to make network namespaces ({os.strerror(ctypes.get_errno())})")
        run([ip, "link", "set", "lo", "up"], "ip link")
        for family in ("-4", "-6"):
            run([ip, family, "route", "add", "local", "default", "dev", "lo"], "ip route")
        # Unlike IPv4's, such a route alone lets nobody listen at the address.
        run([ip, "address", "add", f"{IPV6}/128", "dev", "lo", "nodad"], "ip address")
        return work()

    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(enter_and_work).result()


class Silence:
    """A server of DNS and ident, at every address, that never answers and tells whether it was asked."""

    def __enter__(self) -> Self:
        self._sockets = [
            self._bound(socket.SOCK_DGRAM, 53),
            self._bound(socket.SOCK_STREAM, 53),
            self._bound(socket.SOCK_STREAM, 113),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for bound in self._sockets:
            bound.close()

    @staticmethod
    def _bound(kind: int, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET6, kind)
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            bound.listen()
        return bound

    @property
    def asked(self) -> bool:
        """Whether anybody has sent it anything."""
        readable, _, _ = select.select(self._sockets, [], [], 0)
        return readable != []


@pytest.mark.parametrize("name", SERVERS)
def test_needs_no_name_service(name: str) -> None:
    addresses = ["198.51.100.7", "203.0.113.9", IPV6]

    def use_it() -> tuple[list[tuple[float, bytes]], bool]:
        with Silence() as silence, SERVERS[name](addresses):
            greeted = greeting(addresses[0], SMTP)
            with ThreadPoolExecutor() as senders:  # threads are born into the network of the one that starts them
                list(senders.map(lambda address: deliver(address, SMTP, *RECIPIENTS), addresses))
            return greeted, silence.asked

    lines, asked = in_a_world_of_its_own(use_it)
    assert not asked
    assert lines[0][0] < 1.5
    assert lines[-1][1].startswith(b"220 ")
    if name == "postscreen":
        assert 5.5 < lines[-1][0] < 9


def test_silence_hears_who_asks() -> None:
    def ask() -> tuple[bool, bool]:
        with Silence() as silence, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            before = silence.asked
            client.sendto(b"?", ("192.0.2.53", 53))
            return before, silence.asked

    assert in_a_world_of_its_own(ask) == (False, True)
