"""What Redis holds and answers, and the URL that names it."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Self, cast

import hiredis
from redis.exceptions import RedisError

from mxcheck_service import cache_url
from mxcheck_service.cache import servers, surgery
from mxcheck_service.cache.layers import DECODE
from mxcheck_service.cache.redis import RedisCache
from mxcheck_service.cache.topology import ClusterSource, Nodes
from mxcheck_service.core.codec import AddressList, MxList, Slot, encode
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.ports import CacheError
from tests.hostile.fuzz.target import Check, Target, pure, text
from tests.lab.sockets import free_port

_PORT: Final = 6379


def check_values(data: bytes) -> None:
    """Any value of any layer is decoded, or is a miss; encoded again it reads the same; people can be told of it."""
    value = data.decode("latin-1")
    for layer in surgery.LAYERS:
        decoded = DECODE[layer](value)
        assert surgery.meaning(layer, decoded)
        match decoded:
            case MxList() | AddressList() | Verdict() | Outcome():
                again = encode(decoded, implicit=layer == "d")
                assert DECODE[layer](again) == decoded
                assert len(again) <= len(value)
            case _:
                assert decoded in (None, Slot.GARBAGE, Slot.LOCKED)


def check_cache_url(data: bytes) -> None:
    """It names a cache or it is a ValueError, which does not quote it."""
    url = text(data)
    secret = url.partition("://")[2]
    try:
        parsed = cache_url.parse(url)
        if parsed.kind is not cache_url.Kind.MEMORY:
            servers.connect(url, timeout=1.0, max_connections=1)
    except ValueError as error:
        assert len(secret) < 12 or secret not in str(error)
        return
    assert all(host and 0 < port < 65_536 for host, port in parsed.nodes)


class _Liar:
    """A Redis that lets anybody in, and then answers with what it is given and hangs up."""

    reply = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        with suppress(OSError):
            while data := await reader.read(65_536):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    if command[0] in (b"HELLO", b"CLIENT", b"SELECT", b"AUTH"):
                        writer.write(b"+OK\r\n")
                    else:
                        writer.write(self.reply)
                        writer.close()
                        return
        writer.close()


@contextmanager
def redis() -> Iterator[Check]:
    """Whatever a server answers is a value of the right kind, or CacheError; a cluster's map, or RedisError."""
    liar = _Liar()
    port = free_port()

    async def ask(data: bytes) -> None:
        kind, liar.reply = data[:1], data[1:]
        cache = RedisCache(
            servers.connect(f"redis://127.0.0.1:{port}", timeout=2.0, max_connections=1), batching=kind >= b"\x80"
        )
        try:
            with suppress(CacheError):
                _as_asked(await _answer(cache, kind[0] % 8 if kind else 0))
        finally:
            await cache.close()

    with asyncio.Runner() as runner:
        server = runner.run(asyncio.start_server(liar.serve, "127.0.0.1", port))
        try:
            yield lambda data: runner.run(_cluster(data[1:]) if data[:1] == b"s" else ask(data))
        finally:
            server.close()


async def _answer(cache: RedisCache, kind: int) -> tuple[type, list[Any]]:
    match kind:
        case 0 | 1:
            return str, [value for value in await cache.get_many(["a", "b"][: kind + 1]) if value is not None]
        case 2:
            return str, [value for value in [await cache.get("a")] if value is not None]
        case 3:
            return float, list(map(float, await cache.seconds_left(["a"])))
        case 4:
            return int, await cache.count(["a"], 1, 60)
        case 5:
            return bool, [await cache.set_if_absent("a", "l", 60)]
        case 6:
            await cache.put("a", "gd", 60)
        case _:
            await cache.ping()
    return object, []


def _as_asked(answer: tuple[type, list[Any]]) -> None:
    kind, values = answer
    assert all(type(value) is kind for value in values), answer
    assert not any(isinstance(value, float) and math.isnan(value) for value in values)


class _Told:
    """A node of a cluster that has told something, as `Nodes` and redis-py's client at once."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def client(self, _node: cache_url.Address) -> Self:
        return self

    def link(self, _node: cache_url.Address) -> Self:
        return self

    answers = True

    async def execute_command(self, *_command: str) -> Any:
        return self._rows


async def _cluster(data: bytes) -> None:
    reader = hiredis.Reader()
    reader.feed(data)
    try:
        rows = reader.gets()
    except (hiredis.ProtocolError, TypeError):  # of a map with a list as a key, to whoever reads
        return
    if rows is False or isinstance(rows, hiredis.ReplyError):
        return
    try:
        topology = await ClusterSource([("127.0.0.1", _PORT)], cast(Nodes, _Told(rows)), 1.0).ask()
    except RedisError:
        return
    for slot in (0, 1, 8191, 16383):
        owner = topology.owner(slot)
        assert owner is None or (isinstance(owner[0], str) and 0 < owner[1] < 65_536), owner


_SLOTS: Final = (
    b"*2\r\n*3\r\n:0\r\n:8191\r\n*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n$2\r\nid\r\n"
    b"*4\r\n:8192\r\n:16383\r\n*3\r\n$9\r\n127.0.0.2\r\n:7001\r\n$2\r\nxx\r\n*3\r\n$-1\r\n:7002\r\n$2\r\nyy\r\n"
)

TARGETS: Final = (
    Target(
        "values",
        pure(check_values),
        seeds=(
            b"mx:mx1.example:10,mx2.example:20",
            b"mx:a:1,,b:2,c",
            b"a:v4:192.0.2.1,192.0.2.2",
            b"v64:2001:db8::1,192.0.2.1",
            b"a:v6:",
            b"no",
            b"bkn",
            b"null",
            b"df",
            b"gd",
            b"rf",
            b"tc",
            b"tr",
            b"inv",
            b"err:550",
            b"l",
            b"",
            b"mx:a:b:-1",
            b"mx::1",
            b"err:5500",
            b"v4",
            b"a:",
            b"mx:",
        ),
        words=(
            b"mx:",
            b"a:",
            b"v4:",
            b"v6:",
            b"v64:",
            b"err:",
            b",",
            b":",
            b"-",
            b"999999999999999999",
            b"\xb2",
            b"\n",
            b"no",
        ),
    ),
    Target(
        "cache_url",
        pure(check_cache_url),
        seeds=(
            b"memory://",
            b"redis://user:pass@host:6379/0",
            b"rediss://h/1?ssl_cert_reqs=none",
            b"unix:///run/redis.sock?db=1",
            b"redis+cluster://h1:7000,[::1]:7001",
            b"redis+sentinel://u:p%40@h1,h2:5000/svc/2?sentinel_password=x&sentinel_username=y",
            b"redis://h?socket_timeout=x&retry_on_timeout=yes",
            b"http://h",
            b"",
            b"redis://[::1",
        ),
        words=(
            b"redis",
            b"://",
            b"+cluster",
            b"+sentinel",
            b"@",
            b":",
            b"/",
            b",",
            b"[",
            b"]",
            b"%",
            b"?db=",
            b"&password=",
            b"99999",
            b"\xd9\xa3",
            b"#",
            b"protocol=",
            b"max_connections=",
            b"health_check_interval=",
            b"retry=1",
            b"timeout=1",
        ),
        longest=1024,
    ),
    Target(
        "redis",
        redis,
        seeds=(
            *(
                bytes([kind]) + reply
                for kind in (*range(8), 0x81, 0x82, 0x84, 0x86)
                for reply in (b"$2\r\ngd\r\n$-1\r\n", b":1\r\n:1\r\n", b"+OK\r\n+OK\r\n")
            ),
            b"\0-WRONGTYPE no\r\n",
            b"\0-MOVED 1 127.0.0.1:7000\r\n",
            b"\0*1\r\n$1\r\na\r\n",
            b"\0*-1\r\n",
            b"\0$999999999999\r\n",
            b"\0" + b"*1\r\n" * 50,
            b"\0%1\r\n+a\r\n+b\r\n",
            b"\0_\r\n",
            b"\0,1.5\r\n",
            b"\0#t\r\n",
            b"\0>2\r\n+a\r\n+b\r\n",
            b"",
            b"\3:-2\r\n",
            b"\4+OK\r\n-ERR value is not an integer\r\n",
            b"\4+OK\r\n:9223372036854775807\r\n",
            b"s" + _SLOTS,
            b"s*0\r\n",
        ),
        words=(
            b"\r\n",
            b"$",
            b"*",
            b":",
            b"+OK\r\n",
            b"-ERR x\r\n",
            b"-WRONGTYPE \r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b":-1\r\n",
            b"_\r\n",
            b"%",
            b"~",
            b">",
            b",inf\r\n",
            b"(99999999999999999999\r\n",
            b"=5\r\ntxt:a\r\n",
            b":16383\r\n",
            b"|1\r\n+a\r\n+b\r\n",
        ),
    ),
)
