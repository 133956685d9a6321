"""When the service fails in whatever way, the plugin lets messages pass, says so once, and costs a bounded delay."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.lab.fake_service import FakeService, http_reply, verdict
from tests.lab.knot import KnotServer
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import found, rspamd_with_plugin, warnings
from tests.lab.service import Service
from tests.lab.smtp import SmtpPeers
from tests.lab.smtp_scripts import good, silent
from tests.lab.sockets import free_port

MESSAGE = b"From: Jo <jo@sender.test>\nTo: kim@rcpt.test\nSubject: hello\nMessage-ID: <1@sender.test>\n\nhi\n"
ENVELOPE: dict[str, Any] = {"sender": "jo@sender.test", "helo": "mail.sender.test", "ip": "198.51.100.7"}
TIMEOUT = 0.6
COOLDOWN = 0.8
LONG_TIMEOUT = 3.0
SLACK = 3.0
"""What a busy machine may add to a delay."""
GOOD = {"MX_GOOD": {"weight": 1.0, "options": ["mx.sender.test"]}}
FAILED = {"MXCHECK_FAIL": 0.0}


@pytest.fixture(scope="module")
def port() -> int:
    """Where the service of `rspamd` would be."""
    return free_port()


@pytest.fixture(scope="module")
def rspamd(port: int) -> Iterator[Rspamd]:
    """An rspamd whose service is the fake one."""
    with rspamd_with_plugin({"url": f"http://127.0.0.1:{port}", "timeout": TIMEOUT}) as server:
        yield server


@pytest_asyncio.fixture
async def fake(port: int) -> AsyncIterator[FakeService]:
    """The service of `rspamd`."""
    async with FakeService(port) as service:
        yield service


async def reason_of_passing(rspamd: Rspamd) -> str:
    """Scan a message that passes unchecked; why, as the log says in one line."""
    before = len(warnings(rspamd))
    reply = await rspamd.scan(MESSAGE, **ENVELOPE)
    assert reply["action"] == "no action"
    assert found(reply) == FAILED
    (reason,) = warnings(rspamd)[before:]
    return reason


async def seconds(rspamd: Rspamd) -> float:
    """How long a message that passes unchecked takes."""
    started = time.monotonic()
    await reason_of_passing(rspamd)
    return time.monotonic() - started


SHAPES: dict[str, object] = {
    "no object": [1, 2],
    "null": None,
    "number": 5,
    "text": "no action",
    "of another service": {"status": "ok"},
    "no symbols": {"action": "no action"},
    "symbols are no object": verdict(symbols="MX_GOOD"),
    "no action": {"symbols": GOOD},
    "action is no text": verdict(GOOD, action=["reject"]),
}


class TestUselessReply:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\0\xff\xfe garbage {{{",
            b"<!DOCTYPE html><html><body>It works!</body></html>",
            b'{"action": "no action", "symbols": {"MX_GOOD": {"weight": 1.0, "opt',
        ],
        ids=["empty", "garbage", "html", "truncated"],
    )
    async def test_what_is_no_json_passes(self, rspamd: Rspamd, fake: FakeService, body: bytes) -> None:
        fake.reply = http_reply(body)
        assert await reason_of_passing(rspamd) == f"{fake.url}: the reply is not the service's"

    @pytest.mark.parametrize("shape", SHAPES)
    async def test_json_of_another_shape_passes(self, rspamd: Rspamd, fake: FakeService, shape: str) -> None:
        fake.reply = http_reply(SHAPES[shape])
        assert await reason_of_passing(rspamd) == f"{fake.url}: the reply is not the service's"

    @pytest.mark.parametrize("status", [204, 302, 400, 404, 422, 500, 503])
    async def test_another_status_passes_whatever_its_body_says(
        self, rspamd: Rspamd, fake: FakeService, status: int
    ) -> None:
        fake.reply = http_reply(verdict(GOOD), status=status)
        assert await reason_of_passing(rspamd) == f"{fake.url}: status {status}"
        assert len(fake.asked) == 1

    @pytest.mark.parametrize(
        "reply",
        [b"", b"220 mx.lab.test ESMTP\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"],
        ids=["hangs up", "SMTP", "hangs up in the body"],
    )
    async def test_what_is_no_http_passes(self, rspamd: Rspamd, fake: FakeService, reply: bytes) -> None:
        fake.reply = reply
        assert (await reason_of_passing(rspamd)).startswith(f"{fake.url}: ")

    async def test_the_next_good_reply_counts(self, rspamd: Rspamd, fake: FakeService) -> None:
        fake.reply = http_reply(b"")
        await reason_of_passing(rspamd)
        fake.reply = http_reply(verdict(GOOD))
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_GOOD": -0.1}


class TestDelay:
    async def test_silence_costs_the_timeout(self, rspamd: Rspamd, fake: FakeService) -> None:
        fake.reply = None
        assert TIMEOUT - 0.1 <= await seconds(rspamd) < TIMEOUT + SLACK
        assert "timeout" in warnings(rspamd)[-1].lower()
        assert fake.url in warnings(rspamd)[-1]

    async def test_a_reply_that_never_ends_costs_the_timeout(self, rspamd: Rspamd, fake: FakeService) -> None:
        """Here the connection stays open after half of a reply."""
        fake.reply = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 500\r\n\r\n{"
        assert await seconds(rspamd) < TIMEOUT + SLACK

    async def test_two_silent_services_cost_one_timeout(self) -> None:
        async with FakeService() as first, FakeService() as second:
            first.reply = second.reply = None
            with rspamd_with_plugin({"url": [first.url, second.url], "timeout": LONG_TIMEOUT}) as rspamd:
                assert await seconds(rspamd) < 2 * LONG_TIMEOUT


class TestCooldown:
    async def test_who_refuses_is_left_alone_for_a_while_and_then_asked_again(self) -> None:
        port = free_port()
        settings = {"url": f"http://127.0.0.1:{port}", "timeout": 5.0, "cooldown": COOLDOWN}
        with rspamd_with_plugin(settings) as rspamd:
            asked = time.monotonic()
            reason = await reason_of_passing(rspamd)
            refused = time.monotonic()
            assert reason.startswith(f"http://127.0.0.1:{port}: ")
            assert "refused" in reason
            async with FakeService(port) as fake:
                fake.reply = http_reply(verdict(GOOD))
                meanwhile = [await seconds(rspamd) for _ in range(5)]
                assert time.monotonic() - refused < COOLDOWN, "the machine is too busy to tell"
                assert fake.connections == 0
                assert max(meanwhile) < 0.1
                assert warnings(rspamd)[-1] == f"http://127.0.0.1:{port} refused connections lately"
                async with asyncio.timeout(30):
                    while found(await rspamd.scan(MESSAGE, **ENVELOPE)) == FAILED:
                        pass
                assert time.monotonic() - asked >= COOLDOWN - 0.1
                assert fake.connections == 1

    async def test_only_a_refusal_starts_it(self, rspamd: Rspamd, fake: FakeService) -> None:
        fake.reply = http_reply(b"", status=503)
        for _ in range(3):
            await reason_of_passing(rspamd)
        assert fake.connections == 3


class TestFailover:
    async def test_after_an_error_the_second_one_is_asked(self) -> None:
        async with FakeService() as first, FakeService() as second:
            first.reply = http_reply(b"", status=503)
            second.reply = http_reply(verdict(GOOD))
            await self._found_without_warning([first.url, second.url])
            assert (len(first.asked), len(second.asked)) == (2, 2)
            assert second.asked[0].json["sender"] == "x@sender.test"

    async def test_after_a_refusal_the_second_one_is_asked(self) -> None:
        async with FakeService() as second:
            second.reply = http_reply(verdict(GOOD))
            await self._found_without_warning([f"http://127.0.0.1:{free_port()}", second.url])
            assert len(second.asked) == 2

    async def _found_without_warning(self, urls: list[str]) -> None:
        with rspamd_with_plugin({"url": urls}) as rspamd:
            for _ in range(2):
                assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_GOOD": -0.1}
            assert warnings(rspamd) == []

    async def test_with_all_of_them_down_the_message_passes(self) -> None:
        urls = [f"http://127.0.0.1:{free_port()}" for _ in range(3)]
        with rspamd_with_plugin({"url": urls}) as rspamd:
            assert "refused" in await reason_of_passing(rspamd)
            assert "refused" in await reason_of_passing(rspamd)


NewService = Callable[..., Service]


@pytest.fixture
def new_service(knot: KnotServer, smtp_peers: SmtpPeers) -> NewService:
    """Make a real service; the keyword arguments are its settings of the section `server`."""
    knot.set_zone("sender.test", "@ MX 10 mx\nmx A 127.0.0.9\n")

    def new_service(**server: object) -> Service:
        return Service(
            {
                "server": server,
                "dns": {"nameservers": [knot.nameserver]},
                "mx_check": {"test_mode": True, "port": smtp_peers.port, "verify_greeting": True, "send_quit": True},
            }
        )

    return new_service


class TestRealService:
    async def test_killed_while_it_works(self, new_service: NewService, smtp_peers: SmtpPeers) -> None:
        peer = smtp_peers.add(silent(), good(), address="127.0.0.9")
        with new_service() as service, rspamd_with_plugin({"url": service.url, "cooldown": 0.1}) as rspamd:
            passing = asyncio.create_task(reason_of_passing(rspamd))
            await peer.wait_connected()
            service.kill()
            assert (await passing).startswith(f"{service.url}: ")
            assert "refused" in await reason_of_passing(rspamd)
            service.start()
            async with asyncio.timeout(30):
                while found(reply := await rspamd.scan(MESSAGE, **ENVELOPE)) == FAILED:
                    pass
            assert found(reply) == {"MX_GOOD": -0.1}

    async def test_token(self, new_service: NewService, smtp_peers: SmtpPeers) -> None:
        smtp_peers.add(good(), address="127.0.0.9")
        with new_service(auth_token="open sesame/+=") as service:
            with rspamd_with_plugin({"url": service.url, "token": "wrong"}) as rspamd:
                assert await reason_of_passing(rspamd) == f"{service.url}: status 401"
            with rspamd_with_plugin({"url": service.url, "token": "open sesame/+="}) as rspamd:
                assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_GOOD": -0.1}

    async def test_too_large_for_it(self, new_service: NewService) -> None:
        with new_service(max_body_bytes=1024) as service, rspamd_with_plugin({"url": service.url}) as rspamd:
            reply = await rspamd.scan(MESSAGE, **ENVELOPE | {"helo": "mail." * 200 + "test"})
            assert (reply["action"], found(reply)) == ("no action", FAILED)
            assert warnings(rspamd) == [f"{service.url}: status 413"]


async def test_a_service_that_is_named_twice_is_asked_again() -> None:
    """Behind a load balancer the second time is another instance than the one that drains (docs/deploy.md)."""
    async with FakeService() as fake:
        fake.at_first = [http_reply({"status": 503, "title": "Service Unavailable"}, status=503)]
        fake.reply = http_reply(verdict(GOOD))
        with rspamd_with_plugin({"url": [fake.url, fake.url]}) as rspamd:
            assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_GOOD": -0.1}
            assert warnings(rspamd) == []
        assert fake.connections == len(fake.asked) == 2
