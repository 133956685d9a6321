"""What other hosts answer: SMTP greetings, and DNS replies by way of the real c-ares."""

import asyncio
import ipaddress
import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, cast

import dnslib

from mxcheck_service.core.banner import MAX_GREETING, MAX_LINE, Greeting, TolerantGreeting
from mxcheck_service.core.model import Family, MxHost, Outcome, Verdict
from mxcheck_service.dns import AresResolver
from mxcheck_service.ports import DnsFailure, Found, NotFound
from tests.hostile.fuzz.target import SEPARATOR, Check, Target, pure
from tests.lab.sockets import free_port

_OUTCOMES: Final = {Verdict.GOOD, Verdict.INVALID, Verdict.TIMEOUT_READ, Verdict.REFUSED, Verdict.ERROR}
_BETWEEN_PACKETS: Final = SEPARATOR * 4
_BETWEEN_RECORDS: Final = SEPARATOR * 2
_POINTER: Final = b"\xc0\x0c"
_IN_FOR_A_MINUTE: Final = b"\0\1\0\0\0\x3c"
_TRIES: Final = 1
_TIMEOUT: Final = 2.0
"""Seconds; so long only when c-ares takes no packet at all for an answer."""


def check_greeting(data: bytes) -> None:
    """Options, the cuts, and what a peer sends: the outcome is one of a few and the same in any pieces, and no more
    than the bounds is held."""
    options, cuts, sent = data[:1], data[1:9], data[9:]
    whole, believe = bool(options and options[0] & 1), bool(options and options[0] & 2)
    # Its length says how often it is sent: more than the bound can come.
    sent *= 1 + 20 * (bool(options) and options[0] & 4)
    places = sorted({0, len(sent), *(cut * len(sent) // 255 for cut in cuts)})
    pieces = [sent[start:end] for start, end in itertools.pairwise(places)]
    for kind in (Greeting, TolerantGreeting):
        together = _fed(kind(whole=whole, believe_521=believe), [sent])
        assert together == _fed(kind(whole=whole, believe_521=believe), pieces)
        assert together.verdict in _OUTCOMES
        if together.verdict is Verdict.ERROR:
            assert together.smtp_code is not None
            assert together.smtp_code.encode() in sent
            assert together.smtp_code[0] in "45"


def _fed(greeting: Greeting, pieces: Sequence[bytes]) -> Outcome:
    for piece in pieces:
        found = greeting.feed(piece)
        assert sum(map(len, greeting.lines)) <= MAX_GREETING
        if found:
            return found
        assert len(greeting._pending) <= MAX_LINE
    return greeting.closed()


class _Answerer(asyncio.DatagramProtocol):
    """Answers the nth question with the nth packet, and whatever comes after them with SERVFAIL."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for reply in self.answers(data):
            self._transport.sendto(reply[:65_000], addr)

    def answers(self, question: bytes) -> Iterator[bytes]:
        if self.replies:
            yield _addressed(self.replies.pop(0), question)
        # What c-ares does not take for an answer it ignores; this one it does.
        yield question[:2] + b"\x81\x82" + question[4:]

    async def over_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                question = await reader.readexactly(length)
                for reply in self.answers(question):
                    writer.write(struct.pack("!H", len(reply[:65_535])) + reply[:65_535])
                await writer.drain()
        writer.close()


def _addressed(packet: bytes, question: bytes) -> bytes:
    """Make a reply, as the first octet says: of records that are well-formed but for what is in them; with the
    question's id and section, so that c-ares has to look at the rest; or as it is."""
    end = question.index(b"\0", 12) + 5
    asked = question[12:end]
    if packet[:1] < b"\x40":
        return question[:2] + packet[2:12] + asked + packet[12:]
    if packet[:1] < b"\xc0":
        records = [_POINTER + one[:2].rjust(2, b"\0") + _IN_FOR_A_MINUTE + struct.pack("!H", len(one[2:])) + one[2:]
                   for one in packet[1:].split(_BETWEEN_RECORDS)]  # fmt: skip
        return question[:2] + b"\x81\x80\0\1" + struct.pack("!HHH", len(records), 0, 0) + asked + b"".join(records)
    return packet[1:]


@contextmanager
def dns() -> Iterator[Check]:
    """Up to two replies, to one question: Found, NotFound or DnsFailure, and what is found is of its type."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        answerer = _Answerer()
        port = free_port()
        numbers = itertools.count()

        async def begin() -> tuple[asyncio.DatagramTransport, asyncio.Server, AresResolver]:
            udp, _ = await loop.create_datagram_endpoint(lambda: answerer, local_addr=("127.0.0.1", port))
            tcp = await asyncio.start_server(answerer.over_tcp, "127.0.0.1", port)
            return udp, tcp, AresResolver([f"127.0.0.1:{port}"], timeout=_TIMEOUT, tries=_TRIES)

        udp, tcp, resolver = runner.run(begin())

        async def ask(data: bytes) -> None:
            kind, packets = data[:1], data[1:]
            answerer.replies = packets.split(_BETWEEN_PACKETS, 1)
            # c-ares keeps answers: a new name each time, of one length, so that pointers stay where they point.
            name = f"n{next(numbers):08x}.fuzz.example"
            async with asyncio.timeout(10 * _TIMEOUT):
                _as_asked(await (resolver.mx(name) if kind < b"U" else resolver.addresses(name, _family(kind))))

        async def end() -> None:
            await resolver.close()
            udp.close()
            tcp.close()

        try:
            yield lambda data: runner.run(ask(data))
        finally:
            runner.run(end())


def _family(kind: bytes) -> Family:
    return Family.V4 if kind < b"\xaa" else Family.V6


def _as_asked(answer: object) -> None:
    match answer:
        case Found(records):
            assert 0 < len(records) < 65_536
            for record in records:
                if isinstance(record, MxHost):
                    assert 0 <= record.preference < 65_536
                    assert len(record.exchange) < 1100
                else:
                    ipaddress.ip_address(record)
        case NotFound() | DnsFailure():
            pass
        case _:
            raise AssertionError(f"{answer!r} is no answer")


_OWNER: Final = "n00000000.fuzz.example"


def _reply(kind: str, *records: str, flags: int = 0x8180, counts: Callable[[bytes], bytes] = bytes) -> bytes:
    """Return a reply without its question, and a zero octet for its id's first."""
    question = dnslib.DNSRecord.question(_OWNER, kind)
    question.add_answer(*dnslib.RR.fromZone("\n".join(records)) if records else ())
    packed = question.pack()
    end = packed.index(b"\0", 12) + 5
    return counts(b"\0\0" + struct.pack("!H", flags) + packed[4:12] + packed[end:])


_MX: Final = _reply("MX", f"{_OWNER} 300 IN MX 10 mx.{_OWNER}", f"{_OWNER} 300 IN MX 20 .")
_A: Final = _reply("A", f"{_OWNER} 300 IN A 192.0.2.1", f"{_OWNER} 300 IN A 192.0.2.2")
_AAAA: Final = _reply("AAAA", f"{_OWNER} 300 IN AAAA 2001:db8::1")
_CNAME: Final = _reply("A", f"{_OWNER} 300 IN CNAME b.example.", "b.example. 300 IN A 192.0.2.1")

TARGETS: Final = (
    Target(
        "greeting",
        pure(check_greeting),
        seeds=(
            *(
                bytes([options]) + b"\0\x20\x80\xff\xff\xff\xff\xff" + sent
                for options in range(8)
                for sent in (
                    b"220 mx ESMTP\r\n",
                    b"220-mx\r\n220 ok\r\n",
                    b"554 5.7.1 no\r\n",
                    b"521 never\r\n",
                    b"521-you are\r\n521 listed at bl.example\r\n",
                    b"hello\r\n220 mx\r\n",
                    b"220-" + b"x" * 1000,
                )
            ),
            b"\1\0\0\0\0\0\0\0\0220-mx\n220 ok\n",
        ),
        words=(
            b"220 ",
            b"220-",
            b"\r\n",
            b"\r",
            b"\n",
            b"421 ",
            b"521 ",
            b"521-",
            b"554-",
            b"\0",
            b"your IP",
            b"blocked",
        ),
        longest=8192,
    ),
    Target(
        "dns",
        dns,
        seeds=(
            b"\0" + _MX,
            b"\x60" + _A,
            b"\xf0" + _AAAA,
            b"\x60" + _CNAME,
            b"\0" + _reply("MX", flags=0x8183),
            b"\0" + _reply("MX", flags=0x8380) + _BETWEEN_PACKETS + _MX,
            b"\0\xf0" + _MX,
            b"\0",
            b"\0\x40\0\x0f\0\x0a\2mx\xc0\x0c" + _BETWEEN_RECORDS + b"\0\x0f\0\0\0",
            b"\x60\x40\0\1\xc0\0\2\1",
            b"\x60\x40\0\5\1b\xc0\x0c" + _BETWEEN_RECORDS + b"\0\1\xc0\0\2\1",
            b"\xf0\x40\0\x1c" + b"\x20" * 16,
            b"\x60" + _MX,
            b"\0" + _MX.replace(_POINTER, b"\xc0\x2e"),
            b"\0" + _MX[:-3],
            b"\0" + _reply("MX", flags=0x8185),
        ),
        words=(
            _POINTER,
            b"\xc0\x2e",
            b"\xff\xff",
            b"\0\x0f\0\x01",
            b"\0\x01\0\x01",
            b"\0\x1c\0\x01",
            b"\0\x05\0\x01",
            b"\0\x29",
            b"\x3f" + b"a" * 63,
            _BETWEEN_PACKETS,
            _BETWEEN_RECORDS,
        ),
    ),
)
