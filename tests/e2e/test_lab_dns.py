"""The programmable DNS server does what it says, seen by a plain client and by aiodns."""

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import aiodns
import dnslib
import pytest
import pytest_asyncio

from tests.lab.dns_behaviours import (
    DROP,
    FORMERR,
    GARBAGE,
    NODATA,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    Answer,
    Delayed,
    InTurn,
    MixedCase,
    OtherQuestion,
    OverTcp,
    Raw,
    Truncated,
    WrongId,
    a,
    aaaa,
    cname_chain,
    cname_loop,
    mx,
)
from tests.lab.dnsd import Asked, DnsServer
from tests.lab.knot import KnotServer
from tests.lab.waiting import StillWaiting

BRIEFLY = 0.1
"""How long a client waits to be sure that no answer comes."""


class _Replies(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.queue.put_nowait(data)


async def udp(server: DnsServer, name: str, kind: str, within: float = 5.0) -> tuple[dnslib.DNSRecord, bytes]:
    """The question sent and the reply to it; raises TimeoutError when none comes."""
    query = dnslib.DNSRecord.question(name, kind)
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        _Replies, remote_addr=(server.address, server.port)
    )
    try:
        transport.sendto(query.pack())
        return query, await asyncio.wait_for(protocol.queue.get(), within)
    finally:
        transport.close()
        await asyncio.sleep(0)  # the transport closes its socket in the loop's next turn


async def tcp(server: DnsServer, name: str, kind: str) -> bytes:
    """The reply over TCP; raises IncompleteReadError or ConnectionError when there is none."""
    reader, writer = await asyncio.open_connection(server.address, server.port)
    try:
        packed = dnslib.DNSRecord.question(name, kind).pack()
        writer.write(struct.pack("!H", len(packed)) + packed)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def rows(packet: bytes) -> list[str]:
    """The answer section as `owner type rdata`."""
    return [
        f"{rr.rname} {dnslib.QTYPE[rr.rtype]} {rr.rdata}".replace(". ", " ") for rr in dnslib.DNSRecord.parse(packet).rr
    ]


def rcode(packet: bytes) -> str:
    """The response code's name."""
    return str(dnslib.RCODE[dnslib.DNSRecord.parse(packet).header.rcode])


@pytest.mark.parametrize(
    ("kind", "behaviour", "code", "expected"),
    [
        ("A", a("127.0.0.2", "127.0.0.3"), "NOERROR", ["x.test A 127.0.0.2", "x.test A 127.0.0.3"]),
        ("AAAA", aaaa("::1"), "NOERROR", ["x.test AAAA ::1"]),
        ("MX", mx((10, "a.test"), (5, "B.Test")), "NOERROR", ["x.test MX 10 a.test.", "x.test MX 5 B.Test."]),
        ("MX", mx((0, ".")), "NOERROR", ["x.test MX 0 ."]),
        ("A", NODATA, "NOERROR", []),
        ("A", NXDOMAIN, "NXDOMAIN", []),
        ("A", SERVFAIL, "SERVFAIL", []),
        ("A", REFUSED, "REFUSED", []),
        ("A", FORMERR, "FORMERR", []),
        ("A", NOTIMP, "NOTIMP", []),
        (
            "A",
            cname_chain("y.test", "z.test", end=a("127.0.0.2")),
            "NOERROR",
            ["x.test CNAME y.test.", "y.test CNAME z.test.", "z.test A 127.0.0.2"],
        ),
        ("A", cname_chain("y.test"), "NOERROR", ["x.test CNAME y.test."]),
        ("A", cname_loop("x.test", "y.test"), "NOERROR", ["x.test CNAME y.test.", "y.test CNAME x.test."]),
        ("MX", MixedCase(mx((10, "mx.test"))), "NOERROR", ["x.tEsT MX 10 mX.TeSt."]),
    ],
)
async def test_reply_over_udp_and_tcp(
    dns_server: DnsServer, kind: str, behaviour: Answer, code: str, expected: list[str]
) -> None:
    dns_server.set("x.test", kind, behaviour)
    query, over_udp = await udp(dns_server, "x.test", kind)
    assert dnslib.DNSRecord.parse(over_udp).header.id == query.header.id
    for packet in (over_udp, await tcp(dns_server, "x.test", kind)):
        assert (rcode(packet), rows(packet)) == (code, expected)
    assert dns_server.asked == [Asked("x.test", kind, False), Asked("x.test", kind, True)]


async def test_unknown_name_is_nxdomain_and_another_type_of_a_known_one_nodata(dns_server: DnsServer) -> None:
    dns_server.set("Known.test.", "a", a("127.0.0.2"))
    assert rcode((await udp(dns_server, "unknown.test", "A"))[1]) == "NXDOMAIN"
    assert rcode((await udp(dns_server, "known.TEST", "MX"))[1]) == "NOERROR"
    assert rows((await udp(dns_server, "KNOWN.test", "A"))[1]) == ["KNOWN.test A 127.0.0.2"]
    assert dns_server.counts() == {("unknown.test", "A"): 1, ("known.test", "MX"): 1, ("known.test", "A"): 1}


async def test_star_is_every_type_not_set_by_itself(dns_server: DnsServer) -> None:
    dns_server.set("x.test", "*", SERVFAIL)
    dns_server.set("x.test", "A", a("127.0.0.2"))
    assert rcode((await udp(dns_server, "x.test", "MX"))[1]) == "SERVFAIL"
    assert rcode((await udp(dns_server, "x.test", "A"))[1]) == "NOERROR"


async def test_drop(dns_server: DnsServer) -> None:
    dns_server.set("x.test", "A", DROP)
    with pytest.raises(TimeoutError):
        await udp(dns_server, "x.test", "A", within=BRIEFLY)
    assert dns_server.count("x.test", "A") == 1


async def test_in_turn(dns_server: DnsServer) -> None:
    dns_server.set("x.test", "A", InTurn(SERVFAIL, NXDOMAIN, a("127.0.0.2")))
    codes = [rcode((await udp(dns_server, "x.test", "A"))[1]) for _ in range(4)]
    assert codes == ["SERVFAIL", "NXDOMAIN", "NOERROR", "NOERROR"]


@pytest.mark.parametrize("over_tcp", OverTcp)
async def test_truncated(dns_server: DnsServer, over_tcp: OverTcp) -> None:
    dns_server.set("x.test", "A", Truncated(a("127.0.0.2"), tcp=over_tcp))
    _, packet = await udp(dns_server, "x.test", "A")
    assert dnslib.DNSRecord.parse(packet).header.tc == 1
    assert rows(packet) == []
    match over_tcp:
        case OverTcp.ANSWER:
            assert rows(await tcp(dns_server, "x.test", "A")) == ["x.test A 127.0.0.2"]
        case OverTcp.CLOSE:
            with pytest.raises(asyncio.IncompleteReadError):
                await tcp(dns_server, "x.test", "A")
        case OverTcp.RESET:
            with pytest.raises(ConnectionResetError):
                await tcp(dns_server, "x.test", "A")


async def test_answer_too_large_for_udp_is_truncated_as_a_real_server_does(dns_server: DnsServer) -> None:
    dns_server.set("x.test", "A", a(*(f"127.0.1.{number}" for number in range(100))))
    _, packet = await udp(dns_server, "x.test", "A")
    assert dnslib.DNSRecord.parse(packet).header.tc == 1
    assert len(rows(await tcp(dns_server, "x.test", "A"))) == 100


async def test_server_without_tcp_refuses_it() -> None:
    async with DnsServer(tcp=False) as server:
        with pytest.raises(ConnectionRefusedError):
            await tcp(server, "x.test", "A")


async def test_delayed_until_an_event(dns_server: DnsServer) -> None:
    go_on = asyncio.Event()
    dns_server.set("x.test", "A", Delayed(a("127.0.0.2"), until=go_on))
    asking = asyncio.create_task(udp(dns_server, "x.test", "A"))
    await dns_server.wait_asked("x.test", "A")
    assert not asking.done()
    go_on.set()
    assert rows((await asking)[1]) == ["x.test A 127.0.0.2"]


async def test_delayed_by_seconds(dns_server: DnsServer) -> None:
    dns_server.set("x.test", "A", Delayed(a("127.0.0.2"), seconds=BRIEFLY))
    started = asyncio.get_running_loop().time()
    await udp(dns_server, "x.test", "A")
    assert asyncio.get_running_loop().time() - started >= BRIEFLY


async def test_wrong_id(dns_server: DnsServer) -> None:
    dns_server.set("x.test", "A", WrongId(a("127.0.0.2")))
    query, packet = await udp(dns_server, "x.test", "A")
    assert dnslib.DNSRecord.parse(packet).header.id != query.header.id
    assert rows(packet) == ["x.test A 127.0.0.2"]


async def test_answer_of_another_name(dns_server: DnsServer) -> None:
    dns_server.set("x.test", "A", OtherQuestion(a("127.0.0.2"), "other.test"))
    _, packet = await udp(dns_server, "x.test", "A")
    assert str(dnslib.DNSRecord.parse(packet).q.qname) == "other.test."
    assert rows(packet) == ["other.test A 127.0.0.2"]


@pytest.mark.parametrize("behaviour", [GARBAGE, Raw(b"", keep_id=True), Raw(b"\xff" * 40, keep_id=True)])
async def test_garbage(dns_server: DnsServer, behaviour: Raw) -> None:
    dns_server.set("x.test", "A", behaviour)
    query, packet = await udp(dns_server, "x.test", "A")
    assert packet == (struct.pack("!H", query.header.id) if behaviour.keep_id else b"") + behaviour.data


async def test_upstream_answers_what_was_not_set(knot: KnotServer) -> None:
    async with DnsServer(upstream=knot.nameserver) as server:
        server.set("mx.lab.test", "AAAA", SERVFAIL)
        assert rows((await udp(server, "lab.test", "MX"))[1]) == ["lab.test MX 10 mx.lab.test."]
        assert rows(await tcp(server, "mx.lab.test", "A")) == ["mx.lab.test A 127.0.0.2"]
        assert rcode((await udp(server, "mx.lab.test", "AAAA"))[1]) == "SERVFAIL"
        assert server.count("lab.test", "MX") == 1


async def test_waiting_for_a_question_that_does_not_come_says_what_came(dns_server: DnsServer) -> None:
    await udp(dns_server, "other.test", "MX")
    with pytest.raises(StillWaiting, match=r"other\.test"):
        await dns_server.wait_asked("x.test", "A", within=0.01)


class TestSeenByAiodns:
    """The resolver that the service uses: 100 ms a try, two tries."""

    @pytest_asyncio.fixture
    async def resolver(self, dns_server: DnsServer) -> AsyncIterator[aiodns.DNSResolver]:
        async with aiodns.DNSResolver(nameservers=[dns_server.nameserver], timeout=0.1, tries=2) as resolver:
            yield resolver

    @pytest.mark.parametrize(
        "behaviour",
        [a("127.0.0.2"), Truncated(a("127.0.0.2")), InTurn(DROP, a("127.0.0.2")), MixedCase(a("127.0.0.2"))],
    )
    async def test_takes(self, dns_server: DnsServer, resolver: aiodns.DNSResolver, behaviour: Any) -> None:
        dns_server.set("x.test", "A", behaviour)
        result = await resolver.query_dns("x.test", "A")
        assert [getattr(record.data, "addr", None) for record in result.answer] == ["127.0.0.2"]

    @pytest.mark.parametrize(
        ("behaviour", "code"),
        [
            (NODATA, 1),
            (SERVFAIL, 3),
            (NXDOMAIN, 4),
            (NOTIMP, 5),
            (REFUSED, 6),
            (DROP, 12),
            (WrongId(a("127.0.0.2")), 12),
            (OtherQuestion(a("127.0.0.2"), "other.test"), 12),
        ],
        ids=["nodata", "servfail", "nxdomain", "notimp", "refused", "drop", "wrong id", "other name"],
    )
    async def test_fails(self, dns_server: DnsServer, resolver: aiodns.DNSResolver, behaviour: Any, code: int) -> None:
        dns_server.set("x.test", "A", behaviour)
        with pytest.raises(aiodns.error.DNSError) as failure:
            await resolver.query_dns("x.test", "A")
        assert failure.value.args[0] == code
