"""No message can make the service refuse the plugin's request as a whole, and so pass unchecked."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.lab.knot import KnotServer
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import found, rspamd_with_plugin
from tests.lab.service import Service

REST = b"To: kim@rcpt.test\nSubject: hello\nMessage-ID: <1@sender.test>\n\nhi\n"
BAD = b"gone.evasion.test"
"""A domain that does not exist: what must be noticed."""
MANY = b", ".join(b"jo@s%d.evasion.test" % number for number in range(1000))
LONG = b"a" * 20_000


@pytest.fixture(scope="module")
def rspamd(knot: KnotServer) -> Iterator[Rspamd]:
    """An rspamd with the real service."""
    knot.set_zone("evasion.test", "")
    with (
        Service({"dns": {"nameservers": [knot.nameserver]}}) as service,
        rspamd_with_plugin({"url": service.url}) as server,
    ):
        yield server


@pytest.mark.parametrize(
    "header",
    [
        b"From: jo@s\xe9nder.test",
        b"From: jo@s\x01\x1b\x7fnder.test",
        b"From: jo@" + LONG + b".test",
        b"From: " + b", ".join(b"jo@%d" % number + LONG for number in range(50)),
        b"From: " + MANY,
        b"From: " + b", ".join([b"jo@same.test"] * 1000),
        b"Reply-To: " + MANY,
        b"Reply-To: \xff@\xfe\xfd",
        b'Reply-To: <a@x"y>, <b@\\z.test>',
        b"Reply-To: =?utf-8?q?=00=FF?= <a@=?utf-8?q?=00=FF?=.test>",
    ],
    ids=lambda header: ascii(header[:30]),
)
async def test_not_by_its_headers(rspamd: Rspamd, header: bytes) -> None:
    symbols = found(await rspamd.scan(header + b"\n" + REST, sender=f"jo@{BAD.decode()}", ip="198.51.100.7"))
    assert symbols["MX_NONE"] == 4.0
    assert "MXCHECK_FAIL" not in symbols


@pytest.mark.parametrize("helo", [b"\xff\xfe.test", b'a"\\b.test', b"a\tb", LONG], ids=lambda helo: ascii(helo[:20]))
async def test_not_by_its_helo(rspamd: Rspamd, helo: bytes) -> None:
    reply = await scan(rspamd, b"Helo: " + helo + b"\r\nFrom: <>")
    assert b"MXCHECK_FAIL" not in reply
    assert b"MIME_FROM_MX_NONE" in reply


@pytest.mark.parametrize(
    "sender", [b"<jo@s\xe9nder.test>", b"<jo@" + LONG + b">", b'<"\xff"@x"y>'], ids=lambda sender: ascii(sender[:20])
)
async def test_not_by_its_sender(rspamd: Rspamd, sender: bytes) -> None:
    reply = await scan(rspamd, b"Helo: a.evasion.test\r\nFrom: " + sender)
    assert b"MXCHECK_FAIL" not in reply
    assert b"MIME_FROM_MX_NONE" in reply


async def test_a_name_said_again_and_again_does_not_hide_the_next(rspamd: Rspamd) -> None:
    header = b"From: " + b"jo@same.evasion.test, " * 200 + b"jo@" + BAD + b"\n"
    symbols = (await rspamd.scan(header + REST, ip="198.51.100.7"))["symbols"]
    assert sorted(symbols["MIME_FROM_MX_NONE"]["options"]) == [BAD.decode(), "same.evasion.test"]


async def test_a_quote_in_one_address_does_not_hide_the_next(rspamd: Rspamd) -> None:
    header = b'Reply-To: <a@x"y>, <b@' + BAD + b">\n"
    assert "REPLYTO_MX_NONE" in found(await rspamd.scan(header + REST, ip="198.51.100.7"))


async def scan(rspamd: Rspamd, envelope: bytes) -> bytes:
    """rspamd's reply to a request whose envelope an HTTP client would not send, from an author that must be noticed."""
    message = b"From: jo@" + BAD + b"\n" + REST
    head = b"POST /checkv2 HTTP/1.1\r\nIP: 198.51.100.7\r\nConnection: close\r\nContent-Length: %d\r\n" % len(message)
    reader, writer = await asyncio.open_connection("127.0.0.1", rspamd.port)
    try:
        writer.write(head + envelope + b"\r\n\r\n" + message)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
