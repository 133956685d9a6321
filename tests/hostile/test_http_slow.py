"""Callers who take their time: hundreds at once, while an honest one is served; and nothing is left of them."""

import asyncio
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.hostile.callers import HEAD, Caller, Honest, crowd, dribbling, post
from tests.lab.service import Service
from tests.lab.waiting import poll_until

SECONDS = 1.0
"""request_seconds of the service."""
MARGIN = 4.0
"""What a busy machine may add."""
KEPT = 6
"""Its keepalive_seconds, longer than the others take with that."""
MANY = 300
MEBIBYTE = 1 << 20
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service that checks five messages at once, and no more."""
    server = {"request_seconds": SECONDS, "keepalive_seconds": KEPT, "max_concurrent_requests": 5}
    settings = {"dns": {"nameservers": ["127.0.0.1:9"]}, "mx_check": {"test_mode": True}, "server": server}
    with Service(settings) as service:
        yield service


@pytest.fixture
def no_trace(service: Service) -> Iterator[Callable[[], None]]:
    """What looks whether memory has grown; in the end every descriptor has to be back."""
    process = psutil.Process(service.pid)
    descriptors, memory = process.num_fds(), process.memory_info().rss

    def small() -> None:
        assert process.memory_info().rss - memory < 64 * MEBIBYTE

    yield small
    poll_until(lambda: process.num_fds() <= descriptors, 10.0, "the descriptors are back")


async def timed_out(caller: Caller, what: str) -> None:
    reply = await caller.reply(SECONDS + MARGIN)
    assert (reply.status, reply.fields["connection"]) == (408, "close")
    assert what in reply.problem["detail"]
    assert await caller.rest(MARGIN) == b""


@pytest.mark.parametrize("octets", [b"X-A: b\r\n", b"\r\n"], ids=["fields", "line breaks"])
async def test_heads_that_never_end(octets: bytes, service: Service, no_trace: Callable[[], None]) -> None:
    """Also line breaks before a request, which HTTP has servers skip."""
    start = octets if octets == b"\r\n" else GET
    async with crowd(service.url, MANY, start) as callers, Honest(service).asking() as honest:
        async with dribbling(callers, octets, SECONDS / 5):
            await asyncio.gather(*(timed_out(caller, "head") for caller in callers))
        no_trace()
    honest.assert_served()


@pytest.mark.parametrize(
    ("body", "octets"),
    [(b"Content-Length: 100000\r\n\r\n{", b" "), (b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n \r\n")],
    ids=["length", "chunks"],
)
async def test_bodies_that_never_end(
    body: bytes, octets: bytes, service: Service, no_trace: Callable[[], None]
) -> None:
    """More of them than checks may be under way, and than bodies are waited for."""
    async with crowd(service.url, MANY, HEAD + body) as callers, Honest(service).asking() as honest:
        async with dribbling(callers, octets, SECONDS / 5):
            await asyncio.gather(*(timed_out(caller, "body") for caller in callers))
        no_trace()
    honest.assert_served()
    assert (await service.metrics()).value("mxcheck_requests_in_flight") == 0


async def test_a_second_head_has_as_little_time(service: Service) -> None:
    caller = await Caller.to(service.url)
    await caller.send(GET + b"\r\n")
    assert (await caller.reply()).status == 200
    await caller.send(GET)
    async with dribbling([caller], b"X-A: b\r\n", SECONDS / 5):
        await timed_out(caller, "head")
    caller.leave()


async def test_connections_that_say_nothing_are_closed_without_a_word(
    service: Service, no_trace: Callable[[], None]
) -> None:
    """And before their time as kept connections would be over."""
    kept = await Caller.to(service.url)
    await kept.send(post(b"{}"))
    await kept.reply()
    async with crowd(service.url, MANY) as callers:
        # Connecting them has taken some of its time.
        await kept.send(post(b"{}"))
        await kept.reply()
        end = asyncio.create_task(kept.rest())
        assert set(await asyncio.gather(*(caller.rest(SECONDS + MARGIN) for caller in callers))) == {b""}
        no_trace()
        assert not end.done()
        assert await end == b""
    kept.leave()


async def test_a_kept_connection_is_closed_when_its_time_is_over(service: Service) -> None:
    caller = await Caller.to(service.url)
    for _ in range(2):
        await caller.send(post(b"{}"))
        reply = await caller.reply()
        assert reply.fields["keep-alive"] == f"timeout={KEPT}"
    assert await caller.rest(KEPT + MARGIN) == b""
    caller.leave()


async def test_a_head_without_end_is_refused_by_its_length(service: Service, no_trace: Callable[[], None]) -> None:
    caller = await Caller.to(service.url)
    await caller.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
    async with dribbling([caller], b"A: " + b"a" * 8000 + b"\r\n", 0.001):
        reply = await caller.reply()
    assert reply.status == 431
    assert "longer than 65536" in reply.problem["detail"]
    assert await caller.rest() == b""
    caller.leave()
    no_trace()


async def test_replies_that_nobody_reads(service: Service, no_trace: Callable[[], None]) -> None:
    """Far more than a socket holds is asked for and not read; the connection is reset, and what was to be sent is
    gone."""
    process = psutil.Process(service.pid)
    before = process.num_fds()
    async with crowd(service.url, 20) as callers:
        for caller in callers:
            caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
            caller.writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        poll_until(lambda: process.num_fds() >= before + 20, MARGIN, "the connections are there")
        async with Honest(service).asking() as honest:
            await asyncio.to_thread(
                poll_until, lambda: process.num_fds() <= before + 2, 10 * SECONDS + MARGIN, "they are reset"
            )
        no_trace()
    honest.assert_served()


async def test_requests_that_wait_behind_one_another_are_few(service: Service, no_trace: Callable[[], None]) -> None:
    """Bodies behind a request that is not answered yet: what is not read from the socket takes no memory."""
    many = b"".join(post(b" " * 60_000) for _ in range(200))
    async with crowd(service.url, 20) as callers, Honest(service).asking() as honest:
        for caller in callers:
            caller.writer.write(HEAD + b"Content-Length: 3\r\n\r\n{")
            caller.writer.write(many)
        await asyncio.gather(*(caller.rest(SECONDS + MARGIN) for caller in callers))
        no_trace()
    honest.assert_served()


async def test_a_thousand_requests_at_once_are_answered_in_their_order(service: Service) -> None:
    caller = await Caller.to(service.url)
    caller.writer.write(b"".join(post(b"{}", b"X-Request-Id: %d" % number) for number in range(1000)))
    found = [(await caller.reply()).fields["x-request-id"] for _ in range(1000)]
    assert found == [str(number) for number in range(1000)]
    caller.leave()
