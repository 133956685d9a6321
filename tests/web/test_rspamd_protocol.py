"""rspamd's own protocol: what its clients send is understood, and they understand the reply."""

from typing import Any

import pytest

from tests.lab.rspamd import rspamc
from tests.web.conftest import Client, StartService

MESSAGE = (
    b"From: Jo <jo@good.test>\r\nFrom: second@nowhere.test\r\n"
    b"Reply-To: =?utf-8?q?List?= <list@null.test>\r\nReply-To: ignored@other.test\r\n"
    b"Subject: hi\r\n\r\nFrom: body@body.test\r\n"
)


async def check(client: Client, message: bytes, **headers: str) -> dict[str, Any]:
    async with client.post("/checkv2", data=message, headers=headers) as response:
        assert response.status == 200, await response.text()
        reply: dict[str, Any] = await response.json()
        return reply


def domains(reply: dict[str, Any]) -> list[tuple[str, str]]:
    return [(domain["source"], domain["domain"]) for domain in reply["domains"]]


async def test_ping_is_answered_with_pong(client: Client) -> None:
    async with client.get("/ping") as response:
        assert response.status == 200
        assert await response.text() == "pong\r\n"


async def test_the_envelope_is_in_the_headers_and_the_rest_in_the_message(client: Client) -> None:
    reply = await check(client, MESSAGE, From="me@gone.test", Helo="helo.test", IP="192.0.2.9")
    assert domains(reply) == [
        ("from", "gone.test"),
        ("reply_to", "null.test"),
        ("mime_from", "good.test"),
        ("mime_from", "nowhere.test"),
    ]
    assert set(reply["symbols"]) == {"MX_NONE", "REPLYTO_MX_NULL", "MIME_FROM_MX_GOOD", "MIME_FROM_MX_NONE"}
    assert reply["required_score"] > 0


@pytest.mark.parametrize("sender", ["<>", ""])
async def test_the_null_sender_is_checked_by_helo(client: Client, sender: str) -> None:
    assert domains(await check(client, b"\r\n", From=sender, Helo="null.test")) == [("from", "null.test")]


async def test_authenticated_and_local_senders_are_skipped(client: Client) -> None:
    assert (await check(client, MESSAGE, User="me"))["skip_reason"] == "authenticated"
    assert (await check(client, MESSAGE, IP="10.0.0.1"))["skip_reason"] == "local"
    assert (await check(client, MESSAGE, IP="nonsense"))["skip_reason"] is None


@pytest.mark.parametrize(
    "message", [b"", b"\0", b"\xff\xfe" * 1000, b"From", b"From: \xe9\xe8@\xff.test\r\n\r\n", b"From: " + b"<" * 9000]
)
async def test_any_octets_are_a_message(client: Client, message: bytes) -> None:
    assert domains(await check(client, message)) == []


async def test_too_many_addresses_are_an_error(client: Client) -> None:
    many = b"From: " + b", ".join(b"a@d%d.test" % number for number in range(200)) + b"\r\n\r\n"
    async with client.post("/checkv2", data=many) as response:
        assert response.status == 422
        assert "mime_from" in (await response.json())["detail"]


async def test_a_token_is_asked_for_here_too(start: StartService) -> None:
    client = await start(server={"auth_token": "s3cret"})
    async with client.post("/checkv2", data=MESSAGE) as response:
        assert response.status == 401


async def test_rspamc_reads_the_reply(client: Client) -> None:
    printed = await rspamc(f"{client.host}:{client.port}", MESSAGE, "-F", "me@good.test", "-i", "192.0.2.9")
    assert "Action: greylist" in printed
    assert "Symbol: MX_GOOD (-0.10)[mx.good.test]" in printed
    assert "Symbol: REPLYTO_MX_NULL (6.00)[null.test]" in printed
