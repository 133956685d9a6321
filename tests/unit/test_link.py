"""Nobody waits for a Redis server that hangs, but those who found it out."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mxcheck_service.cache import exchange
from mxcheck_service.cache.exchange import Command, Link, NotAnswering

GET: Command = ("GET", "k")


class Server:
    """Stands for the server and its pool: each exchange waits for the next thing told, an answer or an error."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed = False
        self._told: asyncio.Queue[Any] = asyncio.Queue()

    def tell(self, *replies: Any) -> None:
        for reply in replies:
            self._told.put_nowait(reply)

    async def exchange(self, pool: object, commands: Sequence[Command], timeout: float) -> list[Any]:
        """Stand in for `cache.exchange.exchange`."""
        self.sent += [str(command[0]) for command in commands]
        reply = await self._told.get()
        if isinstance(reply, Exception):
            raise reply
        return [reply] * len(commands)

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(exchange, "exchange", server.exchange)
    return server


async def hanging(server: Server, silence: Exception | None = None) -> Link:
    """A link that has just found out that its server hangs, and has sent its first PING."""
    link = Link(server, 1.0)  # type: ignore[arg-type]
    problem = silence or TimeoutError()
    server.tell(problem)
    with pytest.raises(type(problem)):
        await link.exchange([GET])
    await asyncio.sleep(0)
    return link


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("silence", [TimeoutError(), RedisTimeoutError("while connecting")])
async def test_who_comes_later_is_refused_at_once(server: Server, silence: Exception) -> None:
    link = await hanging(server, silence)
    for _ in range(3):
        with pytest.raises(NotAnswering):
            await link.exchange([GET], timeout=60)
    assert server.sent == ["GET", "PING"]
    assert not link.answers
    await link.close()


async def test_it_is_asked_again_once_it_answers(server: Server) -> None:
    link = await hanging(server)
    server.tell("PONG")
    await settled()
    server.tell(b"v")
    assert await link.exchange([GET]) == [b"v"]
    assert link.answers


async def test_it_is_tried_for_as_long_as_it_is_wanted(server: Server) -> None:
    link = await hanging(server)
    for _ in range(3):
        with pytest.raises(NotAnswering):
            await link.exchange([GET])
        server.tell(TimeoutError())
        await settled()
    assert server.sent == ["GET", *["PING"] * 4]
    server.tell(TimeoutError())
    await settled()
    assert link.answers, "nobody has asked meanwhile: the next one will see"
    assert server.sent == ["GET", *["PING"] * 4]


async def test_a_server_that_refuses_hangs_no_more(server: Server) -> None:
    link = await hanging(server)
    server.tell(RedisConnectionError("refused"))
    await settled()
    server.tell(RedisConnectionError("refused"))
    with pytest.raises(RedisConnectionError, match="refused"):
        await link.exchange([GET])
    assert link.answers, "who is refused is told so at once"


async def test_those_who_waited_already_begin_one_trial(server: Server) -> None:
    link = Link(server, 1.0)  # type: ignore[arg-type]
    asking = [asyncio.create_task(link.exchange([GET])) for _ in range(3)]
    await settled()
    server.tell(TimeoutError(), TimeoutError(), TimeoutError())
    assert [type(end) for end in await asyncio.gather(*asking, return_exceptions=True)] == [TimeoutError] * 3
    await settled()
    assert server.sent == ["GET", "GET", "GET", "PING"]
    await link.close()


async def test_closing_ends_the_trial(server: Server) -> None:
    link = await hanging(server)
    await link.close()
    assert server.closed
    assert link.answers
