"""Replies of a Redis that make no sense: whatever comes, it is CacheError or a miss, as when Redis is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from redis.exceptions import RedisError

from mxcheck_service.cache import servers
from mxcheck_service.cache.exchange import Command
from mxcheck_service.cache.redis import LONGEST_VALUE, TOO_LONG, RedisCache
from mxcheck_service.core import codec
from mxcheck_service.core.codec import Slot
from mxcheck_service.ports import CacheError


class Told:
    """Stands for servers that give the same reply to every command."""

    def __init__(self, reply: Any) -> None:
        self._reply = reply

    async def execute(self, commands: Sequence[Command]) -> Sequence[Any]:
        return [self._reply] * len(commands)

    async def ping(self) -> None:
        pass

    async def close(self) -> None:
        pass


ASK: dict[str, Callable[[RedisCache], Awaitable[Any]]] = {
    "get": lambda cache: cache.get("a"),
    "get_many": lambda cache: cache.get_many(["a"]),
    "seconds_left": lambda cache: cache.seconds_left(["a"]),
    "count": lambda cache: cache.count(["a"], 1, 60),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize("reply", [[b"a"], {b"a": b"b"}, 1.5], ids=lambda reply: type(reply).__name__)
async def test_a_reply_of_another_kind_is_an_error_of_the_cache(
    ask: Callable[[RedisCache], Awaitable[Any]], reply: Any
) -> None:
    with pytest.raises(CacheError, match=f"something else than was asked for .{type(reply).__name__}"):
        await ask(RedisCache(Told(reply), batching=False))


@pytest.mark.parametrize(("size", "kept"), [(LONGEST_VALUE, True), (LONGEST_VALUE + 1, False)])
async def test_a_value_that_nobody_would_write_is_no_value(size: int, kept: bool) -> None:
    value = await RedisCache(Told(b"x" * size), batching=False).get("a")
    assert value == ("x" * size if kept else TOO_LONG)


def test_what_is_read_in_place_of_it_is_a_miss_and_does_not_hold_a_lock() -> None:
    assert codec.decode_domain(TOO_LONG) is None
    assert codec.decode_host(TOO_LONG) is None
    assert codec.decode_address(TOO_LONG) is Slot.GARBAGE


@pytest.mark.parametrize(
    "reply", [b"-MOVED 1 127.0.0.1:x\r\n", b">0\r\n", b">1\r\n$1\r\n\xff\r\n", b"%1\r\n*0\r\n+a\r\n", b"!\r\n"]
)
async def test_what_cannot_be_read_is_an_error_of_the_cache_too(reply: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"GET" not in (said := await reader.read(4096)):
            if not said:
                break
            writer.write(b"+OK\r\n" * said.count(b"*"))
        writer.write(reply)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        cache = RedisCache(servers.connect(f"redis://127.0.0.1:{port}", timeout=5, max_connections=1))
        with pytest.raises(CacheError) as caught:
            await cache.get("a")
        assert isinstance(caught.value.__cause__, RedisError)
        await cache.close()
