"""The manners around the handlers, as they look on the wire: kept connections, refusals, clients that leave."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from mxcheck_service.app import _drain
from mxcheck_service.web import schema
from mxcheck_service.web.gate import STATE, Phase, State
from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.web.conftest import Client, StartService
from tests.web.test_service import app_of

CHECK = "/v1/check?sender=a@null.test"
SLOW = "/v1/check?sender=a@slow.test"


def state_of(client: Client) -> State:
    return app_of(client)[STATE]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the server has no event to tell of it
            await asyncio.sleep(0.005)


async def converse(client: Client, *requests: bytes) -> bytes:
    """Send requests over one connection, the last of which has it closed; return all that was replied."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    for request in requests:
        writer.write(request)
    async with asyncio.timeout(30):
        replies = await reader.read()
    writer.close()
    await writer.wait_closed()
    return replies


@pytest.fixture
def answer(dns_server: DnsServer) -> asyncio.Event:
    """Set it to have slow.test answered."""
    answer = asyncio.Event()
    dns_server.set("slow.test", "MX", dns.Delayed(dns.NXDOMAIN, until=answer))
    return answer


class TestUnrouted:
    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("PUT", "/v1/check", {"GET", "HEAD", "POST"}),
            ("DELETE", "/v1/check?sender=x", {"GET", "HEAD", "POST"}),
            ("POST", "/healthz", {"GET", "HEAD"}),
            ("OPTIONS", "/readyz", {"GET", "HEAD"}),
            ("GET", "/checkv2", {"POST"}),
            ("HEAD", "/checkv2", {"POST"}),
        ],
    )
    async def test_a_wrong_method_is_405_and_the_right_ones_are_named(
        self, client: Client, method: str, path: str, allow: set[str]
    ) -> None:
        async with client.request(method, path) as response:
            assert response.status == 405
            assert set(response.headers["Allow"].split(",")) == allow
            assert response.content_type == "application/problem+json"
            if method != "HEAD":
                assert (await response.json())["status"] == 405

    @pytest.mark.parametrize(
        "target",
        [
            b"/v1",
            b"/console/",
            b"/console/a/b",
            b"/v1/check/",
            b"/v1%2Fcheck",
            b"//v1/check",
            b"/V1/CHECK",
            b"/%0A",
            b"/v1/..",
        ],
    )
    async def test_a_path_that_is_none_of_ours_is_404(self, client: Client, target: bytes) -> None:
        reply = await converse(client, b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target)
        assert reply.startswith(b"HTTP/1.1 404 ")
        assert b"application/problem+json" in reply

    @pytest.mark.parametrize("path", ["/v1/check", "/healthz", "/readyz", "/ping"])
    async def test_head_is_as_get_without_the_body(self, client: Client, path: str) -> None:
        async with client.get(path) as get, client.head(path) as head:
            assert (head.status, head.content_type) == (get.status, get.content_type) == (200, get.content_type)
            assert await head.read() == b""


class TestConnection:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", CHECK, 200),
            ("GET", "/healthz", 200),
            ("GET", "/nothing", 404),
            ("PUT", "/v1/check", 405),
            ("POST", "/v1/check", 415),
            ("GET", "/v1/check?x=y", 422),
        ],
    )
    async def test_every_reply_tells_that_the_connection_is_kept(
        self, client: Client, method: str, path: str, status: int
    ) -> None:
        async with client.request(method, path, data=b"x" if method == "POST" else None) as response:
            assert response.status == status
            assert response.headers["Connection"] == "keep-alive"
            assert response.headers["Keep-Alive"].startswith("timeout=")

    async def test_a_kept_connection_serves_the_next_request_after_an_error(self, client: Client) -> None:
        head = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        wrong = head + b"Content-Length: 1\r\n\r\n{"
        right = head + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"
        replies = await converse(client, wrong, right)
        assert [replies.count(b"HTTP/1.1 400 "), replies.count(b"HTTP/1.1 200 ")] == [1, 1]

    async def test_a_refused_request_for_want_of_a_token_keeps_the_connection(self, start: StartService) -> None:
        client = await start(server={"auth_token": "s3cret"})
        async with client.get(CHECK) as response:
            assert response.status == 401
            assert response.headers["Connection"] == "keep-alive"
        assert state_of(client).active == 0

    async def test_a_request_shed_under_load_keeps_the_connection(
        self, start: StartService, dns_server: DnsServer, answer: asyncio.Event
    ) -> None:
        client = await start(server={"max_concurrent_requests": 1})
        slow = asyncio.create_task(client.get(SLOW))
        await dns_server.wait_asked("slow.test", "MX")
        async with client.get(CHECK) as response:
            assert response.status == 503
            assert response.headers["Connection"] == "keep-alive"
        assert state_of(client).active == 1
        answer.set()
        assert (await slow).status == 200
        assert state_of(client).active == 0

    async def test_a_draining_service_closes_its_connections(self, client: Client) -> None:
        state_of(client).phase = Phase.DRAINING
        for path, status in ((CHECK, 503), ("/healthz", 200), ("/readyz", 503)):
            async with client.get(path) as response:
                assert response.status == status
                assert "Keep-Alive" not in response.headers


class TestCount:
    """Checks under way: none is left behind, however it ends."""

    async def test_is_back_at_none_after_success_errors_and_defects(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        for path, status in ((CHECK, 200), ("/v1/check?x=y", 422), ("/v1/nothing", 404)):
            async with client.get(path) as response:
                assert (response.status, state_of(client).active) == (status, 0)

        def explode(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(schema, "reply", explode)
        async with client.get(CHECK) as response:
            assert (response.status, response.content_type) == (500, "application/problem+json")
            assert state_of(client).active == 0
        (record,) = caplog.records
        assert (record.levelname, record.getMessage()) == ("ERROR", "GET /v1/check crashed")
        assert record.exc_info is not None

    async def test_is_back_at_none_when_the_client_has_gone(
        self, client: Client, dns_server: DnsServer, answer: asyncio.Event
    ) -> None:
        _, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % SLOW.encode())
        await dns_server.wait_asked("slow.test", "MX")
        assert state_of(client).active == 1
        writer.transport.abort()
        answer.set()
        await until(lambda: state_of(client).active == 0)
        async with client.get(CHECK) as response:
            assert response.status == 200

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"Content-Length: 100\r\n\r\n{", id="cut-off"),
            pytest.param(b"Transfer-Encoding: chunked\r\n\r\n10\r\n{", id="chunk-cut-off"),
        ],
    )
    async def test_is_back_at_none_when_the_client_goes_in_the_middle_of_its_body(
        self, client: Client, caplog: pytest.LogCaptureFixture, body: bytes
    ) -> None:
        """Which is no defect of the service, and not worth a line in its log."""
        _, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + body)
        await until(lambda: state_of(client).active == 1)
        writer.transport.abort()
        await until(lambda: state_of(client).active == 0)
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", id="not-chunked"),
        ],
    )
    async def test_is_back_at_none_when_the_body_is_not_what_it_says(
        self, client: Client, caplog: pytest.LogCaptureFixture, body: bytes
    ) -> None:
        head = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        reply = await converse(client, head + body)
        assert reply.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert state_of(client).active == 0
        assert "crashed" not in caplog.text


class TestDrain:
    async def test_waits_for_the_requests_under_way_and_turns_new_ones_away(
        self, client: Client, dns_server: DnsServer, answer: asyncio.Event
    ) -> None:
        slow = asyncio.create_task(client.get(SLOW))
        await dns_server.wait_asked("slow.test", "MX")
        drain = asyncio.create_task(_drain(app_of(client), 10))
        await until(lambda: state_of(client).phase is Phase.DRAINING)
        async with client.get(CHECK) as response:
            assert response.status == 503
        assert not drain.done()
        answer.set()
        await drain
        async with await slow as response:
            assert response.status == 200
            assert (await response.json())["domains"][0]["verdict"] == "no"

    async def test_waits_for_a_request_whose_body_is_still_coming(self, client: Client) -> None:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        head = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
        writer.write(head + b"{")
        await until(lambda: state_of(client).active == 1)
        drain = asyncio.create_task(_drain(app_of(client), 10))
        await until(lambda: state_of(client).phase is Phase.DRAINING)
        async with client.get(CHECK) as response:
            assert response.status == 503
        assert not drain.done()
        writer.write(b"}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        await drain
        writer.close()
        await writer.wait_closed()

    async def test_ends_at_once_when_there_is_none(self, client: Client) -> None:
        async with asyncio.timeout(5):
            await _drain(app_of(client), 3600)

    async def test_ends_what_takes_too_long_and_answers_with_what_is_known(
        self, client: Client, dns_server: DnsServer, answer: asyncio.Event
    ) -> None:
        slow = asyncio.create_task(client.get(SLOW))
        await dns_server.wait_asked("slow.test", "MX")
        await _drain(app_of(client), 0.05)
        async with await slow as response:
            assert response.status == 200
            assert (await response.json())["domains"][0]["verdict"] == "inflight"
        answer.set()
