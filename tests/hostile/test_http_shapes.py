"""Requests that are not what HTTP and JSON allow, or too much of it: a problem document, in a short time.

Every shape is sent to one real service, with an honest request after each: on the same connection where that is still
open, and on another one. Replies are read octet by octet, so nothing may follow on one that was not asked for.
"""

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from tests.hostile.callers import HEAD, Caller, Reply, post
from tests.lab.service import Service

MEBIBYTE = 1 << 20
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service({"dns": {"nameservers": ["127.0.0.1:9"]}, "mx_check": {"test_mode": True}}) as service:
        yield service


async def answered(service: Service, *parts: bytes) -> Reply:
    """Send it; the connection has to be closed after the reply, or to serve another request."""
    caller = await Caller.to(service.url)
    for part in parts:
        await caller.send(part)
    reply = await caller.reply()
    if reply.fields.get("connection") == "keep-alive":
        await caller.send(GET + b"Connection: close\r\n\r\n")
        assert (await caller.reply()).status == 200
    assert await caller.rest() == b""
    caller.leave()
    beside = await Caller.to(service.url)
    await beside.send(post(b"{}"))
    assert (await beside.reply()).status == 200
    beside.leave()
    return reply


SMUGGLING = {
    "length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "the same length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
    "negative length": HEAD + b"Content-Length: -2\r\n\r\n{}",
    "signed length": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "hexadecimal length": HEAD + b"Content-Length: 0x2\r\n\r\n{}",
    "length of 20 digits": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked is not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "vertical tab": HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "blank before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "folded field": HEAD + b"X-A: 1\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "bare LF": HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\n{}",
    "bare CR": HEAD + b"X-A: a\rContent-Length: 9\r\nContent-Length: 2\r\n\r\n{}",
    "NUL": HEAD + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    "two hosts": HEAD + b"Host: y\r\nContent-Length: 2\r\n\r\n{}",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "length in a trailer": CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
    "no chunk size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "negative chunk": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "chunk of 68 bits": CHUNKED + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "chunk longer than it says": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    "chunks with bare LF": CHUNKED + b"2\n{}\n0\n\n",
    "CR in the request id": post(b"{}", b"X-Request-Id: a\rX-Injected: b"),
    "LF in the request id": post(b"{}", b"X-Request-Id: a\nX-Injected: b"),
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_what_two_readers_could_read_in_two_ways_is_refused_and_closed(name: str, service: Service) -> None:
    reply = await answered(service, SMUGGLING[name])
    assert reply.status == 400
    assert reply.problem["detail"].isprintable()


NOT_HTTP = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 505),
    "HTTP/2 by name": (b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/1.9": (b"GET /healthz HTTP/1.9\r\nHost: x\r\n\r\n", 400),
    "unknown method": (b"FOO /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "CONNECT": (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "no path": (b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "another expectation": (HEAD + b"Expect: a miracle\r\nContent-Length: 2\r\n\r\n{}", 417),
    "long target": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    "long field": (GET + b"A: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "long trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nA: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "many fields": (GET + b"".join(b"A%d: 1\r\n" % n for n in range(300)) + b"\r\n", 400),
    "many trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n" + b"".join(b"A%d: 1\r\n" % n for n in range(300)) + b"\r\n", 400),
    "target that is no ASCII": (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "line breaks in the path": (b"GET /a%0d%0aX-Injected:%201 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "line breaks in a key": (b"GET /v1/cache/d/a%0d%0aX-Injected:%201 HTTP/1.1\r\nHost: x\r\n\r\n", 422),
    "multipart": (b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                  b"Content-Length: 5\r\n\r\n--x--", 415),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_HTTP)
async def test_what_is_no_http_for_us_gets_a_problem_document(name: str, service: Service) -> None:
    request, status = NOT_HTTP[name]
    reply = await answered(service, request)
    assert (reply.status, reply.problem["status"]) == (status, status)
    assert "x-injected" not in reply.fields


async def test_a_body_that_breaks_off_its_chunks_later_is_refused_at_once(service: Service) -> None:
    caller = await Caller.to(service.url)
    await caller.send(CHUNKED + b"1\r\n{\r\n")
    beside = await Caller.to(service.url)  # by its reply the first part has been read
    await beside.send(GET + b"\r\n")
    await beside.reply()
    beside.leave()
    await caller.send(b"zz\r\n")
    reply = await caller.reply(within=5)  # request_seconds is 10
    assert reply.status == 400
    assert "chunks" in reply.problem["detail"]
    assert await caller.rest() == b""
    caller.leave()


JSON = {
    "a million brackets": (b"[" * 250_000 + b"]" * 250_000, 400),
    "deep objects": (b'{"a":' * 80_000 + b"1" + b"}" * 80_000, 400),
    "deep in a field": (b'{"mime_from":' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400),
    "integer of half a megabyte": (b'{"deadline_ms":' + b"9" * 500_000 + b"}", 400),
    "integer of 4000 digits": (b'{"deadline_ms":' + b"9" * 4000 + b"}", 422),
    "fraction of half a megabyte": (b'{"deadline_ms":0.' + b"9" * 500_000 + b"}", 200),
    "1e999": (b'{"deadline_ms":1e999}', 422),
    "-0": (b'{"deadline_ms":-0.0}', 422),
    "1e-999": (b'{"deadline_ms":1e-999}', 422),
    "NaN": (b'{"deadline_ms":NaN}', 422),
    "Infinity": (b'{"deadline_ms":Infinity}', 422),
    "lone surrogate": (rb'{"helo":"\ud800"}', 400),
    "lone surrogate in a name": (rb'{"\ud800":1}', 400),
    "not UTF-8": (b'{"helo":"\xff"}', 400),
    "UTF-16": ("{}".encode("utf-16"), 400),
    "byte order mark": (b"\xef\xbb\xbf{}", 400),
    "NUL": (rb'{"helo":"a\u0000b.test"}', 200),
    "two documents": (b"{} {}", 400),
    "48,000 names": (b"{" + b",".join(b'"k%d":1' % n for n in range(48_000)) + b"}", 422),
    "one name 80,000 times": (b"{" + b",".join([b'"a":1'] * 80_000) + b"}", 422),
    "a field 50,000 times": (b"{" + b",".join([b'"helo":""'] * 50_000) + b"}", 200),
    "250,000 values": (b'{"mime_from":[' + b",".join([b"1"] * 250_000) + b"]}", 422),
    "60,000 addresses": (b'{"mime_from":[' + b",".join([b'"a@b.c"'] * 60_000) + b"]}", 422),
    "half a megabyte of @": (b'{"sender":"' + b"@" * 500_000 + b'"}', 200),
    "600 KB": (b" " * 600_000, 413),
}


@pytest.mark.parametrize("name", JSON)
async def test_hostile_json_is_answered_shortly(name: str, service: Service) -> None:
    body, status = JSON[name]
    reply = await answered(service, post(body))
    assert reply.status == status
    assert len(reply.body) < 1000
    if status != 200:
        assert reply.problem


async def test_a_bomb_is_not_decompressed(service: Service) -> None:
    """Ten megabytes that are ten gigabytes: aiohttp alone makes them, for as long as it reads on after a refusal."""
    packer = zlib.compressobj()
    start = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    octets = start + (packer.compress(bytes(10 * MEBIBYTE)) + packer.flush(zlib.Z_FULL_FLUSH)) * 1000
    process = psutil.Process(service.pid)
    for path in (b"/v1/check", b"/checkv2", b"/healthz"):
        before, memory = sum(process.cpu_times()[:2]), process.memory_info().rss
        caller = await Caller.to(service.url)
        with suppress(ConnectionError):
            await caller.send(post(octets, b"Content-Encoding: deflate", b"Connection: close", path=path))
            assert (await caller.reply()).status == (405 if path == b"/healthz" else 415)
        await caller.rest()
        caller.leave()
        assert sum(process.cpu_times()[:2]) - before < 0.25
        assert process.memory_info().rss - memory < 32 * MEBIBYTE


async def test_nothing_that_is_echoed_breaks_a_line(service: Service) -> None:
    """Names and values that callers choose, where they come back: in JSON, in X-Request-Id, and nowhere else."""
    hostile = "a\r\nX-Injected: 1\x00\x85\u2028"
    for request in (
        post(json.dumps({hostile: 1}).encode(), b"X-Request-Id: a%0d%0aX-Injected: 1"),
        post(json.dumps({"client_ip": hostile, "helo": hostile}).encode(), b"X-Request-Id: \xff\x80"),
        post(b"{}", b"X-Request-Id: " + b"x" * 8000, path=b"/v1/check?" + b"a%0d%0aX-Injected=1"),
    ):
        reply = await answered(service, request)
        assert "x-injected" not in reply.fields
        assert reply.fields["x-request-id"].isalnum()
        assert b"\r" not in reply.body
        assert b"\n" not in reply.body


def test_none_of_it_was_a_defect(service: Service) -> None:
    assert "crash" not in service.log
    assert "Traceback" not in service.log
    assert "is not HTTP" in service.log
