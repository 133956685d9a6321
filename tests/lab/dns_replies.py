"""Makes the wire form of a reply from a question and a behaviour."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import assert_never

import dnslib

from tests.lab.dns_behaviours import (
    Answer,
    Behaviour,
    Delayed,
    Drop,
    Forward,
    InTurn,
    MixedCase,
    OtherQuestion,
    OverTcp,
    Raw,
    Row,
    Swollen,
    Truncated,
    WrongId,
)

_PLAIN_UDP_SIZE = 512
_ANCOUNT = 6
"""Where the number of answers stands in a message (RFC 1035 section 4.1.1)."""


async def act(
    behaviour: Behaviour, query: dnslib.DNSRecord, *, tcp: bool, forward: Callable[[], Awaitable[bytes | None]]
) -> bytes | OverTcp | None:
    """The reply, what to do to the TCP connection instead, or None for silence; waits when the behaviour says so.

    `forward` asks the upstream server.
    """
    match behaviour:
        case Answer():
            return _pack(query, behaviour.rows, behaviour.rcode, tcp=tcp)
        case Drop():
            return None
        case Raw(data, keep_id):
            return struct.pack("!H", query.header.id) + data if keep_id else data
        case Truncated(full, over_tcp):
            if not tcp:
                return _pack(query, (), full.rcode, tcp=False, truncated=True)
            return _pack(query, full.rows, full.rcode, tcp=True) if over_tcp is OverTcp.ANSWER else over_tcp
        case Delayed(then, until, seconds):
            if until is not None:
                await until.wait()
            await asyncio.sleep(seconds)
            return await act(then, query, tcp=tcp, forward=forward)
        case Forward(truncated, over_tcp, edns):
            if truncated and not tcp:
                return _pack(query, (), "NOERROR", tcp=False, truncated=True)
            if truncated and over_tcp is not OverTcp.ANSWER:
                return over_tcp
            if not edns and any(row.rtype == dnslib.QTYPE.OPT for row in query.ar):
                return _pack(query, (), "FORMERR", tcp=tcp)
            return await forward()
        case WrongId(answer):
            packed = _pack(query, answer.rows, answer.rcode, tcp=tcp)
            return struct.pack("!H", query.header.id ^ 0x5555) + packed[2:]
        case OtherQuestion(answer, name):
            rows = tuple(Row(row.rdata, row.owner or name, row.ttl) for row in answer.rows)
            return _pack(query, rows, answer.rcode, tcp=tcp, question=name)
        case MixedCase(answer):
            rows = tuple(
                Row(_mixed_rdata(row.rdata), mixed_case(row.owner or str(query.q.qname)), row.ttl)
                for row in answer.rows
            )
            return _pack(query, rows, answer.rcode, tcp=tcp)
        case Swollen(answer, octets):
            return _swollen(query, answer, octets, tcp=tcp)
        case InTurn():
            return await act(behaviour.next(), query, tcp=tcp, forward=forward)
        case _:
            assert_never(behaviour)


def _pack(
    query: dnslib.DNSRecord,
    rows: tuple[Row, ...],
    rcode: str,
    *,
    tcp: bool,
    truncated: bool = False,
    question: str | None = None,
) -> bytes:
    reply = query.reply()
    if question is not None:
        reply.questions = [dnslib.DNSQuestion(question, query.q.qtype)]
    for row in rows:
        owner = query.q.qname if row.owner is None else row.owner
        kind = getattr(dnslib.QTYPE, type(row.rdata).__name__)
        reply.add_answer(dnslib.RR(owner, kind, ttl=row.ttl, rdata=row.rdata))
    reply.header.rcode = getattr(dnslib.RCODE, rcode)
    reply.header.tc = int(truncated)
    packed = bytes(reply.pack())
    if not tcp and len(packed) > _udp_limit(query):
        return _pack(query, (), rcode, tcp=tcp, truncated=True, question=question)
    return packed


def _swollen(query: dnslib.DNSRecord, answer: Answer, octets: int, *, tcp: bool) -> bytes:
    if not answer.rows:
        return _pack(query, (), answer.rcode, tcp=tcp)
    if not tcp:
        return _pack(query, (), answer.rcode, tcp=False, truncated=True)
    whole = _pack(query, answer.rows[:1], answer.rcode, tcp=True)
    row = whole[len(_pack(query, (), answer.rcode, tcp=True)) :]
    again = (octets - len(whole)) // len(row)
    count = struct.pack("!H", 1 + again)
    return whole[:_ANCOUNT] + count + whole[_ANCOUNT + 2 :] + again * row


def _udp_limit(query: dnslib.DNSRecord) -> int:
    """The largest UDP reply this client takes: 512 bytes, or what its EDNS record says (RFC 6891 section 6.2.3)."""
    return max([_PLAIN_UDP_SIZE, *(int(row.rclass) for row in query.ar if row.rtype == dnslib.QTYPE.OPT)])


def _mixed_rdata(rdata: dnslib.RD) -> dnslib.RD:
    match rdata:
        case dnslib.MX():
            return dnslib.MX(mixed_case(str(rdata.label)), rdata.preference)
        case dnslib.CNAME():
            return dnslib.CNAME(mixed_case(str(rdata.label)))
        case _:
            return rdata


def mixed_case(name: str) -> str:
    """The name with every second letter in upper case, the others in lower case: `eXaMpLe.tEsT`."""
    return "".join(char.upper() if index % 2 else char.lower() for index, char in enumerate(name))
