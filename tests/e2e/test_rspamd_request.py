"""What the plugin asks the service about a message, and when it does not ask at all."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from tests.lab.fake_service import FakeService
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import found, rspamd_with_plugin
from tests.lab.sockets import free_port

REST = b"To: kim@rcpt.test\nSubject: hello\nMessage-ID: <1@sender.test>\n\nhi\n"
ENVELOPE: dict[str, Any] = {"sender": "jo@sender.test", "helo": "mail.sender.test", "ip": "198.51.100.7"}
TIMEOUT = 4.0
DEADLINE_MS = 3750
LOCAL = ["127.0.0.1", "127.9.9.9", "10.1.2.3", "192.168.7.7", "::1"]


@pytest.fixture(scope="module")
def port() -> int:
    """Where the fake service is."""
    return free_port()


@pytest.fixture(scope="module")
def rspamd(port: int) -> Iterator[Rspamd]:
    """An rspamd that checks every message."""
    url = f"http://127.0.0.1:{port}/"
    settings = {"url": url, "timeout": TIMEOUT, "check_local": True, "check_authorized": True}
    with rspamd_with_plugin(settings) as server:
        yield server


@pytest_asyncio.fixture
async def fake(port: int) -> AsyncIterator[FakeService]:
    """The service of `rspamd`."""
    async with FakeService(port) as service:
        yield service


async def asked(rspamd: Rspamd, fake: FakeService, *headers: bytes, **envelope: Any) -> dict[str, Any]:
    """The one request for a message with these headers, without deadline."""
    fake.asked.clear()
    await rspamd.scan(b"\n".join([*headers, REST]), **ENVELOPE | envelope)
    (request,) = fake.asked
    body: dict[str, Any] = request.json
    assert body.pop("deadline_ms") <= DEADLINE_MS
    return body


class TestRequest:
    async def test_is_a_plain_one(self, rspamd: Rspamd, fake: FakeService) -> None:
        assert await asked(rspamd, fake, b"From: Jo <jo@Author.test>") == {
            "sender": "x@sender.test",
            "mime_from": ["x@Author.test"],
            "helo": "mail.sender.test",
            "client_ip": "198.51.100.7",
            "authenticated": False,
        }
        (request,) = fake.asked
        assert request.line == "POST /v1/check HTTP/1.1"
        assert request.headers["content-type"] == "application/json"
        assert "authorization" not in request.headers

    async def test_the_service_is_to_answer_a_little_before_the_timeout(
        self, rspamd: Rspamd, fake: FakeService
    ) -> None:
        await rspamd.scan(REST, **ENVELOPE)
        assert DEADLINE_MS - 200 <= fake.asked[0].json["deadline_ms"] <= DEADLINE_MS

    async def test_local_parts_and_names_stay_at_home(self, rspamd: Rspamd, fake: FakeService) -> None:
        await asked(rspamd, fake, b"From: Jo Doe <jo.doe@a.test>", b"Reply-To: jane@b.test", user="jo.doe")
        assert not any(name in fake.asked[0].body for name in (b"jo", b"Doe", b"jane", b"kim", b"hello"))

    @pytest.mark.parametrize("sender", ["<>", "", None])
    async def test_null_sender(self, rspamd: Rspamd, fake: FakeService, sender: str | None) -> None:
        """The service then takes HELO."""
        body = await asked(rspamd, fake, sender=sender)
        assert "sender" not in body
        assert body["helo"] == "mail.sender.test"

    @pytest.mark.parametrize("ip", ["2001:db8::7", "::ffff:198.51.100.7", "127.0.0.1", "::1"])
    async def test_ip(self, rspamd: Rspamd, fake: FakeService, ip: str) -> None:
        assert (await asked(rspamd, fake, ip=ip))["client_ip"] in (ip, ip.removeprefix("::ffff:"))

    async def test_nothing_known(self, rspamd: Rspamd, fake: FakeService) -> None:
        assert await asked(rspamd, fake, sender=None, helo=None, ip=None) == {"authenticated": False}

    async def test_user(self, rspamd: Rspamd, fake: FakeService) -> None:
        assert (await asked(rspamd, fake, user="jo"))["authenticated"] is True

    @pytest.mark.parametrize(
        "headers",
        [
            [b"From: Jo <jo@a.test>, kim@b.test"],
            [b"From: jo@a.test", b"From: kim@b.test"],
            [b"From: jo@a.test,\n kim@b.test, lee@a.test"],
            [b'From: "x, y@no.test" <jo@a.test>, (c@no.test) <kim@b.test>'],
        ],
    )
    async def test_several_authors(self, rspamd: Rspamd, fake: FakeService, headers: Sequence[bytes]) -> None:
        assert (await asked(rspamd, fake, *headers))["mime_from"] == ["x@a.test", "x@b.test"]

    @pytest.mark.parametrize(
        ("value", "sent"),
        [
            (b"list@reply.test", "x@reply.test"),
            (b"=?utf-8?q?J=C3=B6?= <list@reply.test>", "x@reply.test"),
            (b"=?utf-8?b?SsO2IDxsaXN0QHJlcGx5LnRlc3Q+?=", "x@reply.test"),
            (b"a@one.test, b@two.test\nReply-To: c@three.test", "x@one.test, x@two.test"),
        ],
    )
    async def test_reply_to(self, rspamd: Rspamd, fake: FakeService, value: bytes, sent: str) -> None:
        """Its encoded words are decoded first, and its first header counts, as in rspamd's own plugins."""
        assert (await asked(rspamd, fake, b"Reply-To: " + value))["reply_to"] == sent

    async def test_international_domain(self, rspamd: Rspamd, fake: FakeService) -> None:
        assert (await asked(rspamd, fake, "From: jo@bücher.test".encode()))["mime_from"] == ["x@bücher.test"]


class TestNotAsked:
    async def test_authenticated_and_local_messages_by_default(self) -> None:
        async with FakeService() as fake:
            with rspamd_with_plugin({"url": fake.url}) as rspamd:
                for ip in LOCAL:
                    reply = await rspamd.scan(REST, **ENVELOPE | {"ip": ip})
                    assert found(reply) == {}, ip
                assert found(await rspamd.scan(REST, user="jo", **ENVELOPE)) == {}
                assert fake.connections == 0
                await rspamd.scan(REST, **ENVELOPE)
                assert fake.connections == 1

    async def test_but_when_switched_on(self, rspamd: Rspamd, fake: FakeService) -> None:
        for ip in LOCAL:
            await asked(rspamd, fake, ip=ip)
        await asked(rspamd, fake, user="jo")

    async def test_when_the_profile_of_the_message_switches_the_callback_off(
        self, rspamd: Rspamd, fake: FakeService
    ) -> None:
        await rspamd.scan(REST, headers={"Settings": '{"symbols_disabled": ["MXCHECK_CHECK"]}'}, **ENVELOPE)
        assert fake.connections == 0
