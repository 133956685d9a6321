"""The scripted SMTP peers do what they say, seen by a plain client."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from tests.lab import smtp_scripts
from tests.lab.smtp import End, SmtpPeers
from tests.lab.smtp_farm import SmtpFarm
from tests.lab.smtp_scripts import Script
from tests.lab.waiting import StillWaiting

BRIEFLY = 0.1
"""How long a client listens to be sure that a peer stays silent."""

# What a client hears before it says anything, and whether the stream then ends, is reset or stays open.
BEFORE_QUIT: dict[str, tuple[Callable[[], Script], bytes, str]] = {
    "good": (smtp_scripts.good, b"220 mx.lab.test ESMTP\r\n", "open"),
    "multi-line": (
        smtp_scripts.good_multi_line,
        b"220-mx.lab.test ESMTP\r\n220-No advertising here\r\n220 Ready\r\n",
        "open",
    ),
    "byte by byte": (smtp_scripts.good_byte_by_byte, b"220-mx.lab.test ESMTP\r\n220 Ready\r\n", "open"),
    "bare code": (smtp_scripts.good_bare_code, b"220\r\n", "open"),
    "LF only": (smtp_scripts.good_lf_only, b"220-mx.lab.test ESMTP\n220 Ready\n", "open"),
    "NUL in text": (smtp_scripts.good_with_nul_bytes, b"220 mx\0\0.lab.test ESMTP\r\n", "open"),
    "data after greeting": (
        smtp_scripts.data_after_greeting,
        b"220 mx.lab.test ESMTP\r\n250-unasked\r\n250 for\r\n",
        "open",
    ),
    "421": (lambda: smtp_scripts.rejects(421), b"421 no service\r\n", "eof"),
    "450": (lambda: smtp_scripts.rejects(450), b"450 no service\r\n", "eof"),
    "521": (lambda: smtp_scripts.rejects(521), b"521 no service\r\n", "eof"),
    "554": (smtp_scripts.rejects, b"554 no service\r\n", "eof"),
    "554 lines": (lambda: smtp_scripts.rejects(lines=2), b"554-line 1\r\n554 no service\r\n", "eof"),
    "250": (lambda: smtp_scripts.banner(b"250 hi"), b"250 hi\r\n", "open"),
    "354": (lambda: smtp_scripts.banner(b"354 go on"), b"354 go on\r\n", "open"),
    "199": (lambda: smtp_scripts.banner(b"199 what"), b"199 what\r\n", "open"),
    "mixed codes": (smtp_scripts.mixed_codes, b"220-mx.lab.test\r\n250 mx.lab.test\r\n", "open"),
    "220- EOF": (smtp_scripts.open_greeting_then_eof, b"220-mx.lab.test ESMTP\r\n", "eof"),
    "220- silence": (smtp_scripts.open_greeting_then_silence, b"220-mx.lab.test ESMTP\r\n", "open"),
    "half a line": (smtp_scripts.open_line_then_eof, b"220 mx.lab.test", "eof"),
    "EOF": (smtp_scripts.eof, b"", "eof"),
    "RST": (smtp_scripts.reset, b"", "reset"),
    "silence": (smtp_scripts.silent, b"", "open"),
    "NUL": (smtp_scripts.nul_bytes, b"\0" * 64 + b"\r\n", "open"),
    "HTTP": (
        smtp_scripts.http_server,
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "eof",
    ),
}
GOOD = [name for name in BEFORE_QUIT if BEFORE_QUIT[name][0].__name__.startswith(("good", "data"))]


async def hear(reader: asyncio.StreamReader, expected: bytes) -> tuple[bytes, str]:
    """The bytes up to the length of the expected ones, and what follows them."""
    try:
        heard = await reader.readexactly(len(expected))
        rest = await asyncio.wait_for(reader.read(1), BRIEFLY)
    except TimeoutError:
        return heard, "open"
    except ConnectionResetError:
        return b"", "reset"
    return heard + rest, "eof"


class TestSmtpPeers:
    @pytest.mark.parametrize("name", BEFORE_QUIT)
    async def test_greeting(self, smtp_peers: SmtpPeers, name: str) -> None:
        script, expected, then = BEFORE_QUIT[name]
        peer = smtp_peers.add(script())
        reader, writer = await asyncio.open_connection(peer.address, peer.port)
        assert await hear(reader, expected) == (expected, then)
        await close(writer)
        (session,) = await peer.wait_ended()
        assert session.received == b""
        assert session.ended is (End.PEER_RESET if then == "reset" else End.CLIENT_CLOSED)

    @pytest.mark.parametrize("name", GOOD)
    async def test_good_peer_says_goodbye(self, smtp_peers: SmtpPeers, name: str) -> None:
        script, greeting, _ = BEFORE_QUIT[name]
        peer = smtp_peers.add(script())
        reader, writer = await asyncio.open_connection(peer.address, peer.port)
        await reader.readexactly(len(greeting))
        writer.write(b"QUIT\r\n")
        assert await reader.read() == b"221 bye\r\n"
        await close(writer)
        (session,) = await peer.wait_ended()
        assert (session.received, session.ended) == (b"QUIT\r\n", End.CLIENT_CLOSED)
        assert session.received_before(b"221 bye\r\n") == b"QUIT\r\n"

    @pytest.mark.parametrize("script", [smtp_scripts.endless_line, smtp_scripts.endless_greeting])
    async def test_endless_peer_goes_on_until_the_client_leaves(
        self, smtp_peers: SmtpPeers, script: Callable[[], Script]
    ) -> None:
        peer = smtp_peers.add(script())
        reader, writer = await asyncio.open_connection(peer.address, peer.port)
        data = await reader.readexactly(1_000_000)
        assert (b"\n" in data) is (script is smtp_scripts.endless_greeting)
        await close(writer)
        (session,) = await peer.wait_ended()
        assert session.ended is End.CLIENT_RESET

    @pytest.mark.parametrize(
        ("script", "answer", "then"),
        [
            (smtp_scripts.data_after_quit, b"221 bye\r\n" + b"250 more\r\n" * 2000, "eof"),
            (smtp_scripts.never_answers_quit, b"", "open"),
            (smtp_scripts.never_closes, b"221 bye\r\n", "open"),
        ],
    )
    async def test_after_quit(
        self, smtp_peers: SmtpPeers, script: Callable[[], Script], answer: bytes, then: str
    ) -> None:
        peer = smtp_peers.add(script())
        reader, writer = await asyncio.open_connection(peer.address, peer.port)
        await reader.readline()
        writer.write(b"QUIT\r\n")
        assert await hear(reader, answer) == (answer, then)
        await close(writer)
        assert (await peer.wait_ended())[0].ended is End.CLIENT_CLOSED

    async def test_reset_in_place_of_an_answer_to_quit(self, smtp_peers: SmtpPeers) -> None:
        peer = smtp_peers.add(smtp_scripts.reset_after(b"220 ready\r\n"))
        reader, writer = await asyncio.open_connection(peer.address, peer.port)
        assert await reader.readline() == b"220 ready\r\n"
        writer.write(b"QUIT\r\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await close(writer)
        assert (await peer.wait_ended())[0].ended is End.PEER_RESET

    async def test_record_tells_a_client_that_does_not_wait_for_the_221(self, smtp_peers: SmtpPeers) -> None:
        loop, peer = asyncio.get_running_loop(), smtp_peers.add(smtp_scripts.good())
        with socket.socket() as hasty:
            hasty.setblocking(False)
            await loop.sock_connect(hasty, (peer.address, peer.port))
            await loop.sock_recv(hasty, 1000)
            await loop.sock_sendall(hasty, b"QUIT\r\n")
        (session,) = await peer.wait_ended()
        assert (session.received, session.ended) == (b"QUIT\r\n", End.CLIENT_RESET)

    async def test_record_tells_a_client_that_leaves_the_221_unread(self, smtp_peers: SmtpPeers) -> None:
        loop, peer = asyncio.get_running_loop(), smtp_peers.add(smtp_scripts.good())
        with socket.socket() as careless:
            careless.setblocking(False)
            await loop.sock_connect(careless, (peer.address, peer.port))
            await loop.sock_recv(careless, 1000)
            await loop.sock_sendall(careless, b"QUIT\r\n")
            await peer.wait_sent(b"221 bye\r\n")
        assert (await peer.wait_ended())[0].ended is End.CLIENT_RESET

    async def test_record_tells_a_client_that_talks_before_the_greeting_is_complete(
        self, smtp_peers: SmtpPeers
    ) -> None:
        go_on = asyncio.Event()
        peer = smtp_peers.add(smtp_scripts.good_multi_line(hold_last=go_on))
        reader, writer = await asyncio.open_connection(peer.address, peer.port)
        await reader.readline()
        writer.write(b"EHLO me\r\n")
        await peer.wait_received(b"EHLO me\r\n")
        go_on.set()
        assert await reader.readline() == b"220-No advertising here\r\n"
        assert await reader.readline() == b"220 Ready\r\n"
        await close(writer)
        (session,) = await peer.wait_ended()
        assert session.received_before(b"220 Ready\r\n") == b"EHLO me\r\n"

    async def test_scripts_in_turn_and_counts_by_address(self, smtp_peers: SmtpPeers) -> None:
        first = smtp_peers.add(smtp_scripts.eof(), smtp_scripts.good())
        second = smtp_peers.add(smtp_scripts.good(), address="::1")
        heard = []
        for peer in (first, first, first, second):
            reader, writer = await asyncio.open_connection(peer.address, peer.port)
            heard.append(await reader.readline())
            await close(writer)
        await first.wait_ended(3)
        assert [line[:3] for line in heard] == [b"", b"220", b"220", b"220"]
        assert (first.connections, second.connections) == (3, 1)

    async def test_refused_address(self, smtp_peers: SmtpPeers) -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(smtp_peers.add_refused(), smtp_peers.port)

    async def test_full_backlog_is_silence_and_not_a_reset(self, smtp_peers: SmtpPeers) -> None:
        address = await smtp_peers.add_connect_timeout()
        # Longer than the first repetition of the SYN, which comes after one second.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.open_connection(address, smtp_peers.port), 1.5)

    async def test_waiting_for_what_does_not_come_says_what_came(self, smtp_peers: SmtpPeers) -> None:
        peer = smtp_peers.add(smtp_scripts.good())
        with pytest.raises(StillWaiting, match=r"1 connections to 127\.0\.0\.2"):
            await peer.wait_connected(within=0.01)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close the client's side; a peer that has reset the connection is no error here."""
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def test_good_peers_of_a_farm_can_have_a_process_of_their_own() -> None:
    with SmtpFarm("good") as good, SmtpFarm("hostile", good.port) as hostile:
        for kind in ("good", "no answer to QUIT"):
            with socket.create_connection((good.address(kind), good.port), timeout=10) as connection:
                assert connection.recv(100).startswith(b"220 ")
        assert {name: seen.connections for name, seen in good.seen().items()} == {"good": 1}
        met = {name: seen.connections for name, seen in hostile.seen().items() if seen.connections}
        assert met == {"no answer to QUIT": 1}
