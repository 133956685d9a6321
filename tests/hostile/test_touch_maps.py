"""Fetching maps from hostile servers: where redirects may lead, and how much of time and memory one can take.

All servers are on loopback; those at 127.50.0.0/16 are taken for public ones.
"""

import asyncio
import gzip
import json
import resource
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver, ResolveResult

from mxcheck_service.maps import compiling, fetching
from mxcheck_service.maps.compiling import spool
from mxcheck_service.maps.errors import MapError
from mxcheck_service.maps.fetching import Validators, fetch
from tests.lab.map_server import MapServer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OUTSIDE = "127.50.0.1"
TEXT = b"mx.example 3\n"


class Outside:
    """In place of the classes of addresses."""

    @staticmethod
    def is_public(ip: str) -> bool:
        return ip.startswith("127.50.")


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_CLASSES", Outside)


@pytest.fixture
async def public() -> AsyncIterator[MapServer]:
    async with MapServer(TEXT, address=OUTSIDE) as server:
        yield server


@pytest.fixture
async def private() -> AsyncIterator[MapServer]:
    async with MapServer(b"inside.example\n") as server:
        yield server


async def fetched(url: str, *, timeout: float = 10, **options: Any) -> bytes:
    with spool() as file:
        await fetch(url, Validators(), file, timeout=timeout, max_bytes=1_000_000, **options)
        file.seek(0)
        return file.read()


def redirects(server: MapServer, to: str, status: int = 302) -> None:
    server.status, server.headers = status, {"Location": to}


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_from_outside_none_leads_inside(self, public: MapServer, private: MapServer, status: int) -> None:
        redirects(public, private.url, status)
        with pytest.raises(MapError, match=r"^redirects to 127.0.0.1, which is not a public .*maps.private_redirects"):
            await fetched(public.url)
        assert private.requests == []

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.1", "2130706433", "0x7f000001", "[::ffff:7f00:1]"])
    async def test_however_the_host_is_written(self, public: MapServer, private: MapServer, host: str) -> None:
        redirects(public, private.url.replace("127.0.0.1", host))
        with pytest.raises(MapError):
            await fetched(public.url)
        assert private.requests == []

    async def test_what_a_name_leads_to_counts_and_not_what_it_led_to(
        self, public: MapServer, private: MapServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DNS rebinding: the name was outside when the operator's URL was asked for, and is inside a moment later."""
        answers = [OUTSIDE, "127.0.0.1"]

        class Rebinding(AbstractResolver):
            async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
                ip = answers.pop(0) if len(answers) > 1 else answers[0]
                return [ResolveResult(hostname=host, host=ip, port=port, family=2, proto=0, flags=0)]

            async def close(self) -> None:
                pass

        monkeypatch.setattr("aiohttp.connector.DefaultResolver", lambda **_: Rebinding())
        redirects(public, private.url.replace("127.0.0.1", "Other.Name.test"))
        with pytest.raises(MapError, match=r"redirects to 127\.0\.0\.1"):
            await fetched(public.url.replace(OUTSIDE, "name.test"))
        assert private.requests == []

    async def test_who_was_led_outside_does_not_come_in_again(self, public: MapServer, private: MapServer) -> None:
        redirects(private, public.url)
        redirects(public, private.elsewhere)
        with pytest.raises(MapError, match=r"redirects to 127\.0\.0\.1"):
            await fetched(private.url)
        assert len(private.requests) == 1

    async def test_a_setting_allows_it(self, public: MapServer, private: MapServer) -> None:
        redirects(public, private.url)
        assert await fetched(public.url, private_redirects=True) == private.content

    async def test_inside_they_lead_inside(self, private: MapServer) -> None:
        """The operator's own URL names a host of the own network."""
        async with MapServer(TEXT, address="127.0.0.9") as other:
            redirects(private, other.url)
            assert await fetched(private.url) == TEXT

    async def test_outside_they_lead_on(self, public: MapServer) -> None:
        async with MapServer(TEXT, address="127.50.0.2") as other:
            redirects(public, other.url)
            assert await fetched(public.url) == TEXT

    async def test_there_are_at_most_four(self, public: MapServer) -> None:
        redirects(public, "/map")
        with pytest.raises(MapError, match="TooManyRedirects"):
            await fetched(public.url)
        assert public.asked == 1 + 4

    @pytest.mark.parametrize(
        "to",
        [
            "file:///etc/passwd", "ftp://127.50.0.1/m", "gopher://127.50.0.1/", "ws://127.50.0.1/", "data:,a.example",
            "unix:/run/redis.sock", "javascript:1", "//", "http://", "http:///map", "http://[::1", "http://\x7f/",
        ],
    )  # fmt: skip
    async def test_to_anything_but_http_none_leads(self, public: MapServer, to: str) -> None:
        redirects(public, to)
        with pytest.raises(MapError):
            await fetched(public.url)

    async def test_credentials_stay_with_their_host(self, public: MapServer) -> None:
        async with MapServer(TEXT, address="127.50.0.2") as other:
            redirects(public, other.url)
            public.headers = {**public.headers, "Set-Cookie": "session=s3cret"}
            await fetched(public.url.replace("http://", "http://me:s3cret@"))
        assert hdrs.AUTHORIZATION in public.requests[0]
        assert not {hdrs.AUTHORIZATION, hdrs.COOKIE, hdrs.PROXY_AUTHORIZATION} & set(other.requests[0])
        assert "s3cret" not in repr(other.requests)

    @pytest.mark.parametrize("field", ["Location", "URI"])
    async def test_from_https_none_leads_to_http_and_nothing_is_asked_there(
        self, public: MapServer, field: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = trustme.CA()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(OUTSIDE).configure_cert(tls)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
        async with MapServer(TEXT, address=OUTSIDE, tls=tls) as secure:
            assert await fetched(secure.url) == TEXT
            secure.status, secure.headers = 302, {field: public.url}
            with pytest.raises(MapError, match=f"redirects from https to http://{OUTSIDE}"):
                await fetched(secure.url)
        assert public.requests == []


@asynccontextmanager
async def odd_server(say: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that says something odd to every request, and how many octets it got rid of."""
    sent = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        write = writer.write

        def counting(data: bytes) -> None:
            sent[0] += len(data)
            write(data)

        writer.write = counting  # type: ignore[assignment]
        try:
            await reader.readuntil(b"\r\n\r\n")
            await say(writer)
        except (OSError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/map", sent
    finally:
        server.close()


HEAD = b"HTTP/1.1 200 OK\r\n"


def endless(head: bytes, piece: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    return say


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(HEAD, b"X-Filler: " + b"x" * 1000 + b"\r\n", id="headers"),
        pytest.param(HEAD + b"X-Filler: ", b"x" * 4096, id="one-header"),
        pytest.param(HEAD, b"\r\n folded".join([b"X: x"] * 100), id="folded-header"),
        pytest.param(b"HTTP/1.1 200 ", b"OK" * 2048, id="reason"),
        pytest.param(b"", b"HTTP" * 1000, id="no-http"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: " + b"x" * 1000 + b"\r\n", id="trailers"
        ),
        pytest.param(HEAD + b"\r\n", b"a.example\n" * 400, id="body"),
        pytest.param(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", b"a.example\n" * 400, id="two-lengths"),
    ],
)
async def test_what_does_not_end_is_given_up_after_little(head: bytes, piece: bytes) -> None:
    async with odd_server(endless(head, piece)) as (url, sent):
        with pytest.raises(MapError):
            await fetched(url, timeout=5)
        # What the sockets' buffers hold is sent without having been read.
        assert sent[0] < 16_000_000


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 65536, id="chunk-size"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"x" * 65536, id="chunk-extension"),
    ],
)
async def test_what_is_read_for_nothing_is_kept_nowhere(head: bytes, piece: bytes) -> None:
    """What stands between chunks is no content, so that time alone ends it; hundreds of megabytes go by meanwhile."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with odd_server(endless(head, piece)) as (url, sent):
        with pytest.raises(MapError, match=r"not received within 0.5 s"):
            await fetched(url, timeout=0.5)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert sent[0] > 5_000_000
    assert kilobytes * 1024 < sent[0] / 2 + 8_000_000


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(HEAD + b"Content-Length: 1000\r\n\r\n", b"a", id="body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", id="chunks"),
        pytest.param(HEAD, b"a: b\r\n", id="headers"),
        pytest.param(b"", b"HTTP/1.1 102 Processing\r\n\r\n", id="processing"),
        pytest.param(b"", b"", id="silence"),
    ],
)
async def test_who_drips_is_given_up_in_time(head: bytes, piece: bytes) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)

    async with odd_server(drip) as (url, _):
        began = time.monotonic()
        with pytest.raises(MapError, match=r"not received within 0.4 s \(maps.timeout\)"):
            await fetched(url, timeout=0.4)
        assert time.monotonic() - began < 5


ZEROS = b"\0" * 16_000_000
BOMBS = {
    # A thousand to one and more; repeated members are one stream to every reader. More than a gigabyte each.
    "gzip": gzip.compress(ZEROS) * 80,
    "zstd": zstd.compress(ZEROS) * 80,
    "gzip in gzip": gzip.compress(gzip.compress(ZEROS) * 80),
    "zstd in gzip in zstd": zstd.compress(gzip.compress(zstd.compress(ZEROS) * 80)),
}
_MEMORY = 400_000_000


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_neither_memory_nor_time(name: str) -> None:
    """The program that takes maps apart, with less memory than the bomb has."""
    bomb = BOMBS[name]
    assert len(bomb) < 1_300_000
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-c", compiling._PROGRAM, compiling._ROOT, "glob", "place", "", "1000000"],
        input=bomb,
        capture_output=True,
        timeout=60,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY)),
    )
    assert json.loads(done.stderr) == {"error": "has more than 1000000 bytes (maps.max_bytes)"}
    assert done.stdout == b""
    assert time.monotonic() - began < 20


async def test_a_place_and_its_entries_reach_nobody_unescaped() -> None:
    evil = "\x1b[2J\u202e\x9b\u2028"
    text = f"11.0.0.1\n{evil}\n".encode()
    with spool() as file:
        file.write(text)
        file.seek(0)
        compiled = await compiling.compile_apart("radix", "place", file, known="", max_bytes=1000)
    assert compiled is not None
    (problem,) = compiled.problems
    assert problem.isprintable()
    assert problem.startswith("place:2: ")
