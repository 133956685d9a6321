"""Requests that are refused before there is a request: what goes over the wire is what it would be otherwise."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, Final

import pytest
from aiohttp import web

from mxcheck_service.web.connections import Connection, Connections
from mxcheck_service.web.gate import GATE, Gate, Phase
from mxcheck_service.web.overload import Outbox
from tests.hostile.callers import HEAD, PATIENCE, Caller, post
from tests.hostile.test_http_shapes import CHUNKED, GET, NOT_HTTP, SMUGGLING
from tests.hostile.test_overload import in_time, make_late, state_of
from tests.web.conftest import Client, StartService, start
from tests.web.test_gate import until
from tests.web.test_service import app_of

__all__ = ["in_time", "start"]

UNREAD: Final = 1000
"""So many requests are refused unread, unless the test says otherwise."""
MANY: Final = 100
"""More than aiohttp's parser lets wait."""
PLAIN: Final = post(b'{"sender": "a@null.test"}')
TOKEN: Final = b"Authorization: Bearer s3cret"
LAST: Final = GET + b"Connection: close\r\n\r\n"
# On each connection these octets, then a request that closes it.
SHAPES: Final = {
    "plain": PLAIN,
    "no body": HEAD + b"\r\n",
    "empty body": post(b""),
    "not JSON": post(b"\xff"),
    "more than a body may have": post(b" " * 600_000),
    "body that does not come": HEAD + b"Content-Length: 1000000\r\n\r\n",
    "id": post(b"{}", b"X-Request-Id: a-1"),
    "odd id": post(b"{}", b"X-Request-Id: a b"),
    "two ids": post(b"{}", b"X-Request-Id: a", b"X-Request-Id: b"),
    "token": post(b"{}", TOKEN),
    "compressed": post(b"{}", b"Content-Encoding: gzip"),
    "another type": post(b"{}", b"Content-Type: text/plain"),
    "in chunks": CHUNKED + b"2\r\n{}\r\n0\r\n\r\n",
    "in chunks, with a trailer": CHUNKED + b"2\r\n{}\r\n0\r\nX-A: 1\r\n\r\n",
    "close": post(b"{}", b"Connection: close"),
    "keep-alive": post(b"{}", b"Connection: keep-alive"),
    "HTTP/1.0": PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.0, keep-alive": post(b"{}", b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/2.0": post(b"{}", b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/2.0"),
    "expects": post(b"{}", b"Expect: 100-continue"),
    "upgrade": post(b"{}", b"Connection: upgrade", b"Upgrade: websocket"),
    "upgrade to HTTP/2": post(
        b"{}", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAA"
    ),
    "query": post(b"{}", path=b"/v1/check?explain=1"),
    "fragment": post(b"{}", path=b"/v1/check#a"),
    "escaped": post(b"{}", path=b"/v1/chec%6b"),
    "whole URL": post(b"{}", path=b"http://x/v1/check"),
    "two slashes": post(b"{}", path=b"//v1/check"),
    "another path": post(b"{}", path=b"/v1/checks"),
    "rspamd": post(b"{}", path=b"/checkv2"),
    "operator": post(b"{}", path=b"/-/reload"),
    "GET": b"GET /v1/check?sender=a@null.test HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD": b"HEAD /v1/check HTTP/1.1\r\nHost: x\r\n\r\n",
    "PUT": PLAIN.replace(b"POST", b"PUT"),
    "method in small letters": PLAIN.replace(b"POST", b"post"),
    "two": PLAIN + PLAIN,
    "two and a half": PLAIN + PLAIN + PLAIN[:30],
    "one and a half": PLAIN + PLAIN[:30],
    "one and garbage": PLAIN + b"\x16\x03\x01\r\n\r\n",
    "one and a line break": PLAIN + b"\r\n",
    "one too short": post(b"{}") + b"}",
    **SMUGGLING,
    **{name: shape for name, (shape, _) in NOT_HTTP.items()},
}


async def refusing(start: StartService, *, left: int = UNREAD, **server: Any) -> Client:
    """A service whose lookups are all under way, and that has not known the latest one."""
    client = await start(server={"max_concurrent_requests": 1} | server)
    state_of(client).places.few = 1
    app_of(client)[GATE]._unread = left
    app_of(client)[GATE]._unread_in_a_row = 31
    make_late(client, 0, busy=True)
    return client


def noting(order: list[str], what: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, which notes each of its calls."""

    def noted(*arguments: Any) -> Any:
        order.append(what)
        return method(*arguments)

    return noted


def connections_of(client: Client) -> Connections:
    found = client.server.runner.server  # type: ignore[union-attr]
    assert isinstance(found, Connections)
    return found


async def connected(client: Client, *, takes: int | None = None) -> tuple[Caller, Connection]:
    """A new connection, from both sides; `takes`: about so many octets that nobody reads, on either."""
    all_ = connections_of(client)._open
    before = set(all_)
    with socket.socket() as sock:
        if takes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (client.host, client.port))
        caller = Caller(*await asyncio.open_connection(sock=sock.dup()))
    await until(lambda: len(all_) > len(before))
    (connection,) = all_ - before
    if takes is not None:
        assert connection.transport is not None
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, takes)
        connection.transport.set_write_buffer_limits(high=takes)
    return caller, connection


async def all_at_once(client: Client, count: int) -> list[tuple[Caller, Connection]]:
    """So many new connections, over each of which a check has come in the same turn of the loop."""
    pairs = [await connected(client) for _ in range(count)]
    await until(lambda: all(connection._waiter for _, connection in pairs))
    for _, connection in pairs:
        connection.data_received(PLAIN)
    return pairs


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of requests that aiohttp has made objects of."""
    paths: list[str] = []
    make: Callable[..., web.Request] = web.Application._make_request

    def noted(app: web.Application, message: Any, *rest: Any) -> web.Request:
        paths.append(message.path)
        return make(app, message, *rest)

    monkeypatch.setattr(web.Application, "_make_request", noted)
    return paths


class TestSameAsEver:
    """Beside a service that takes every request the long way."""

    async def talk(self, client: Client, shape: bytes) -> tuple[bytes, list[str], int]:
        """What is replied to it and to one more request, what is counted, and how many are refused unread after it."""
        state, gate = state_of(client), app_of(client)[GATE]
        requests, gate._unread = state.metrics.requests, UNREAD
        before = list(requests.cells)
        caller = await Caller.to(str(client.make_url("/")))
        await caller.send(shape)
        # Apart, so that it is not in the same read.
        await until(lambda: sum(requests.cells) > sum(before))
        await caller.send(LAST)
        replies = await caller.rest()
        caller.leave()
        lines = [line for line in replies.split(b"\r\n") if not line.startswith(b"Date: ")]
        counted = [
            f"{place}: {now - was:g}" for place, (was, now) in enumerate(zip(before, requests.cells, strict=True))
        ]
        return b"\r\n".join(lines), [line for line in counted if not line.endswith(": 0")], gate._unread

    @pytest.mark.parametrize("token", [None, "s3cret"])
    @pytest.mark.parametrize("name", SHAPES)
    async def test_replies_and_counts_are_the_same(
        self, name: str, token: str | None, start: StartService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await refusing(start, auth_token=token)
        found = await self.talk(client, SHAPES[name])
        monkeypatch.setattr(Gate, "refuses_unread", False)
        assert found == await self.talk(client, SHAPES[name])
        assert found[0].startswith(b"HTTP/")


class TestAtOnce:
    """Which requests are refused without one being made, and what becomes of their connection."""

    @pytest.mark.parametrize("fields", [(), (b"X-Request-Id: a-1",), (b"Connection: keep-alive",)])
    async def test_a_check_that_has_come_whole(self, start: StartService, made: list[str], fields: Any) -> None:
        client = await refusing(start)
        caller, connection = await connected(client)
        for _ in range(MANY):
            await caller.send(post(b"{}", *fields))
            reply = await caller.reply()
            assert (reply.status, reply.problem["status"]) == (503, 503)
            assert reply.fields["connection"] == "keep-alive"
            assert reply.fields.get("x-request-id") == ("a-1" if fields and b"Id" in fields[0] else None)
        assert made == []
        assert app_of(client)[GATE]._unread == UNREAD - MANY
        assert connections_of(client).requests_count == MANY
        assert connection.served
        assert connection.waits
        await caller.send(PLAIN + PLAIN)
        assert [(await caller.reply()).status for _ in range(2)] == [503, 503]
        caller.leave()

    async def test_the_next_ones_are_read_again(self, start: StartService, made: list[str]) -> None:
        client = await refusing(start, left=1)
        caller, _ = await connected(client)
        await caller.send(PLAIN)
        assert (await caller.reply()).status == 503
        assert made == []
        await caller.send(post(b"{}"))
        assert (await caller.reply()).status == 200
        assert made == ["/v1/check"]
        caller.leave()

    async def test_of_many_at_once_one_in_32_is_read(self, start: StartService, made: list[str]) -> None:
        client = await refusing(start, left=0)
        # What becomes of the one that is read is not known before the last one has come.
        for caller, _ in await all_at_once(client, 33):
            assert (await caller.reply()).status == 503
            caller.leave()
        assert made == ["/v1/check"] * 2

    async def test_of_many_at_once_as_many_are_let_in_as_there_are_places(
        self, start: StartService, made: list[str]
    ) -> None:
        client = await refusing(start, max_concurrent_requests=6)
        state_of(client).places.few = 4
        pairs = await all_at_once(client, 10)
        told = [(await caller.reply()).status for caller, _ in pairs]
        assert sorted(told) == [200] * 2 + [503] * 8
        assert made == ["/v1/check"] * 2
        # They have begun, and are over.
        _, connection = pairs[0]
        connection.data_received(PLAIN)
        assert (await pairs[0][0].reply()).status == 200
        for caller, _ in pairs:
            caller.leave()

    async def test_of_many_at_once_none_is_refused_where_few_are_looked_up(
        self, start: StartService, made: list[str]
    ) -> None:
        """Those that come may all be remembered, and take no place."""
        client = await refusing(start, max_concurrent_requests=6)
        state_of(client).places.few = 2
        for caller, _ in await all_at_once(client, 10):
            await caller.reply()
            caller.leave()
        assert len(made) == 10

    async def test_who_was_let_in_and_never_began_keeps_nobody_out_for_long(self, start: StartService) -> None:
        client = await refusing(start, max_concurrent_requests=3)
        state_of(client).places.few = 2
        gate = app_of(client)[GATE]
        gate._let_in, gate._let_in_until = 1000, time.monotonic()
        caller, _ = await connected(client)
        await caller.send(PLAIN)
        assert (await caller.reply()).status == 200
        caller.leave()

    @pytest.mark.parametrize("leaves", [False, True])
    async def test_one_that_comes_before_the_task_that_serves_has_come_to_rest(
        self, start: StartService, made: list[str], leaves: bool
    ) -> None:
        client = await refusing(start, left=0)
        caller, connection = await connected(client)
        await caller.send(PLAIN)
        counted = state_of(client).metrics.requests
        # The task that serves makes another one for a request, and sees the end of that a turn later.
        while not sum(counted.cells) or connection._request_in_progress:  # noqa: ASYNC110 - it is about single turns
            await asyncio.sleep(0)
        assert connection._waiter is None
        connection.data_received(PLAIN)
        if leaves:
            connection.drop()
            await caller.rest()
        else:
            assert [(await caller.reply()).status for _ in range(2)] == [503, 503]
        assert made == ["/v1/check"]
        caller.leave()

    async def test_replies_are_sent_together_when_all_of_a_turn_have_been_looked_at(
        self, start: StartService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await refusing(start)
        order: list[str] = []
        monkeypatch.setattr(Gate, "refused_unread", noting(order, "looked at", Gate.refused_unread))
        monkeypatch.setattr(Outbox, "_send_all", noting(order, "sent", Outbox._send_all))
        for caller, _ in await all_at_once(client, 3):
            assert (await caller.reply()).status == 503
            caller.leave()
        assert order == ["looked at"] * 3 + ["sent"]

    @pytest.mark.parametrize(
        "calm",
        [
            pytest.param(lambda client: make_late(client, 0), id="not-busy"),
            pytest.param(lambda client: setattr(state_of(client).places, "few", 0), id="there-are-places"),
        ],
    )
    async def test_nobody_is_refused_where_there_is_no_need(
        self, start: StartService, calm: Callable[[Client], None]
    ) -> None:
        client = await refusing(start)
        calm(client)
        caller, _ = await connected(client)
        await caller.send(post(b"{}"))
        assert (await caller.reply()).status == 200
        assert app_of(client)[GATE]._unread == UNREAD
        caller.leave()

    async def test_once_the_loop_has_rested_requests_are_looked_at_no_longer(self, start: StartService) -> None:
        client = await refusing(start)
        gate = app_of(client)[GATE]
        assert gate.refuses_unread
        make_late(client, 0)
        assert not gate.refuses_unread

    async def test_with_the_token_only(self, start: StartService, made: list[str]) -> None:
        client = await refusing(start, auth_token="s3cret")
        caller, _ = await connected(client)
        for fields, status, count in (((TOKEN,), 503, 0), ((), 401, 1), ((TOKEN + b"x",), 401, 2)):
            await caller.send(post(b"{}", *fields))
            assert (await caller.reply()).status == status
            assert len(made) == count
        caller.leave()

    async def test_who_drains_says_so(self, start: StartService) -> None:
        client = await refusing(start)
        caller, _ = await connected(client)
        state_of(client).phase = Phase.DRAINING
        await caller.send(PLAIN)
        reply = await caller.reply()
        assert (reply.status, reply.problem["detail"]) == (503, "the service is draining")
        assert await caller.rest() == b""
        caller.leave()

    async def test_a_head_in_pieces_is_late_no_more(self, start: StartService, made: list[str]) -> None:
        client = await refusing(start)
        caller, connection = await connected(client)
        for piece in (PLAIN[:30], PLAIN[30:60]):
            await caller.send(piece)
            await until(lambda piece=piece: connection._head_octets >= PLAIN.index(piece) + len(piece))  # type: ignore[misc]
        assert connection._keepalive_handle is None, "it is not idle"
        await caller.send(PLAIN[60:])
        assert (await caller.reply()).status == 503
        assert made == []
        connection._head_is_late()
        await caller.send(PLAIN)
        assert (await caller.reply()).status == 503
        caller.leave()

    async def test_after_a_body_past_which_reading_stops_it_goes_on(self, start: StartService) -> None:
        client = await refusing(start)
        caller, connection = await connected(client)
        await until(lambda: connection._waiter is not None)
        # As one read, which the kernel rarely makes of so much.
        connection.data_received(post(b" " * 100_000))
        assert (await caller.reply()).status == 503
        await caller.send(PLAIN)
        assert (await caller.reply()).status == 503
        caller.leave()

    async def test_the_connection_is_idle_from_then_on(self, start: StartService) -> None:
        client = await refusing(start)
        caller, connection = await connected(client)
        since = connection.idle_since
        for piece in (PLAIN[:30], PLAIN[30:]):
            await caller.send(piece)
            await until(lambda: connection._head_octets == 30)
        assert (await caller.reply()).status == 503
        assert connection.idle_since > since
        assert isinstance(connection._keepalive_handle, asyncio.TimerHandle)
        assert connection._keepalive_handle.when() == connection.idle_since
        connection._next_keepalive_close_time = 0
        connection._process_keepalive()
        assert await caller.rest() == b""
        caller.leave()

    @pytest.mark.parametrize("at_once", [True, False])
    async def test_who_takes_no_replies_is_not_read_any_further(
        self, start: StartService, monkeypatch: pytest.MonkeyPatch, at_once: bool
    ) -> None:
        client = await refusing(start, left=10**9)
        if not at_once:
            monkeypatch.setattr(Gate, "refuses_unread", False)
        caller, connection = await connected(client, takes=4096)
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        transport, all_ = connection.transport, connections_of(client)
        assert transport is not None
        sent = 0
        async with asyncio.timeout(PATIENCE):
            while not connection.writing_paused:
                await asyncio.sleep(0)
                # One by one, or it would not be refused at once.
                if all_.requests_count == sent:
                    caller.writer.write(PLAIN)
                    sent += 1
        size, count = transport.get_write_buffer_size(), all_.requests_count
        for _ in range(50):
            caller.writer.write(PLAIN)
            await asyncio.sleep(0.001)
        assert transport.get_write_buffer_size() - size < 1000
        assert all_.requests_count - count <= 1
        caller.leave()
