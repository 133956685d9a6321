"""Maps that change: a real web server, what is broken, and when places are looked at again."""

import asyncio
import gzip
import hashlib
import io
import os
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mxcheck_service.core.maplist import KINDS, GlobMap, MapHit, parse_map
from mxcheck_service.core.settings import MxCheckSettings
from mxcheck_service.maps.compiler import compile_stream
from mxcheck_service.maps.compiling import spool
from mxcheck_service.maps.errors import MapError
from mxcheck_service.maps.fetching import Validators, fetch
from mxcheck_service.maps.library import Library, SourceState
from mxcheck_service.settings import MapsSettings
from tests.lab.map_server import MapServer
from tests.unit.map_keeping import OTHER, TEXT, Kept, rewrite

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SHA256 = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture
async def server() -> AsyncIterator[MapServer]:
    async with MapServer(TEXT) as server:
        yield server


@pytest.mark.parametrize("encoding", [None, "gzip", "zstd"])
@pytest.mark.parametrize("packed", [None, "gzip", "zstd"])
async def test_url_is_read_however_it_is_compressed(
    server: MapServer, encoding: str | None, packed: str | None
) -> None:
    pack: dict[str | None, Callable[[bytes], bytes]] = {None: bytes, "gzip": gzip.compress, "zstd": zstd.compress}
    server.content = pack[encoding](pack[packed](TEXT))
    server.encoding = encoding
    kept = Kept(bad_mxs=server.url)
    assert await kept.refresh()
    assert kept.value() == "3"
    assert kept.state() == SourceState(server.url, 1, SHA256, 0.0, True, None)


@pytest.mark.parametrize("modified", [None, "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_what_has_not_changed_is_not_sent_again(server: MapServer, modified: str | None) -> None:
    server.modified = modified
    kept = Kept(bad_mxs=server.url)
    await kept.refresh()
    before = kept.library.maps(kept.wanted).maps.bad_mxs
    kept.library.settle(kept.wanted)
    kept.clock.now += 100
    assert kept.state().age == 100
    assert not await kept.refresh()
    assert server.answers == [200, 304]
    assert kept.state() == SourceState(server.url, 1, SHA256, 0.0, False, None)
    server.content = OTHER
    server.modified = modified and "Wed, 21 Oct 2015 07:28:01 GMT"
    assert await kept.refresh()
    assert server.answers == [200, 304, 200]
    assert kept.value() == "5"
    # Who looks at the maps of before still sees them.
    assert before is not None
    assert (hit := before.get("mx.example")) is not None
    assert hit.value == "3"


async def test_content_that_is_sent_again_is_not_taken_for_new(server: MapServer) -> None:
    """A server without validators sends everything each time; the digest tells that it is the same."""
    server.modified = "not the one that comes back"
    kept = Kept(bad_mxs=server.url)
    await kept.refresh()
    kept.library.settle(kept.wanted)
    server.modified = "another one"
    assert not await kept.refresh()
    assert server.answers == [200, 200]


def broken(server: MapServer, how: str) -> None:
    match how:
        case "status":
            server.status = 500
        case "large":
            server.content = b"x.example\n" * 200
        case "large when decompressed":
            server.content = zstd.compress(b"x.example\n" * 200)
        case "gzip that ends early":
            server.content = gzip.compress(OTHER)[:-4]
        case "zstd that ends early":
            server.content = zstd.compress(OTHER)[:-4]
        case "gzip with a wrong octet":
            server.content = gzip.compress(OTHER)[:-6] + b"xxxxxx"
        case "body that ends early":
            server.content, server.cut = OTHER * 50, True
        case "slow":
            server.content, server.hold = OTHER, asyncio.Event()
        case "encoding":
            server.content, server.encoding = OTHER, "br"
        case "binary":
            server.content = b"\x7fELF\0\0"
        case _:
            server.status, server.headers = 302, {"Location": how}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        pytest.param("status", "500 Internal Server Error", id="500"),
        pytest.param("large", "more than 1000 bytes", id="too-large"),
        pytest.param("large when decompressed", "more than 1000 bytes", id="bomb"),
        pytest.param("gzip that ends early", "cannot be decompressed", id="gzip-truncated"),
        pytest.param("zstd that ends early", "cannot be decompressed", id="zstd-truncated"),
        pytest.param("gzip with a wrong octet", "cannot be decompressed", id="gzip-corrupt"),
        pytest.param("body that ends early", "ClientPayloadError", id="body-truncated"),
        pytest.param("slow", "not received within 0.3 s", id="slow"),
        pytest.param("encoding", "'br'", id="unknown-encoding"),
        pytest.param("binary", "NUL", id="binary"),
        pytest.param("file:///etc/passwd", "NonHttpUrlRedirectClientError", id="redirect-to-a-file"),
        pytest.param("ftp://127.0.0.1/map", "NonHttpUrlRedirectClientError", id="redirect-to-ftp"),
        pytest.param("/map", "TooManyRedirects", id="redirect-to-itself"),
    ],
)
async def test_broken_url_keeps_the_last_good_one_and_says_so(server: MapServer, how: str, words: str) -> None:
    # The time is for fetching; with it to spare where it is not what is tested, or a busy machine would decide.
    kept = Kept(MapsSettings(timeout=0.3 if how == "slow" else 10, max_bytes=1000), bad_mxs=server.url)
    await kept.refresh()
    kept.library.settle(kept.wanted)
    kept.clock.now += 60
    good = server.content
    broken(server, how)
    assert await kept.refresh()
    assert kept.value() == "3"
    state = kept.state()
    assert (state.entries, state.age, state.changed) == (1, 60, False)
    assert words in (state.error or "")
    (problem,) = kept.library.problems(kept.wanted)
    assert problem.startswith(f"mx_check.bad_mxs: cannot read {server.url}: ")
    assert problem.endswith("(the last good one stays in use: 1 entry, 60 s old)")
    # The same again is no news; the end of it is.
    assert not await kept.refresh()
    if server.hold:
        server.hold.set()
    server.content, server.status, server.encoding, server.hold, server.cut = good, 200, None, None, False
    assert await kept.refresh()
    assert kept.state() == SourceState(server.url, 1, SHA256, 0.0, False, None)


def checksum(name: str, content: bytes) -> str:
    """A checksum as in RFC 9530."""
    digest = hashlib.new(name.replace("-", ""), content).digest()
    return f"{name}=:{b64encode(digest).decode()}:"


@pytest.mark.parametrize("field", ["Repr-Digest", "Content-Digest"])
@pytest.mark.parametrize("name", ["sha-256", "sha-512"])
async def test_checksum_is_held_against_what_was_sent(server: MapServer, field: str, name: str) -> None:
    kept = Kept(bad_mxs=server.url)
    server.content, server.encoding = gzip.compress(TEXT), "gzip"
    server.headers = {field: f"unixsum=:Bw==:, {checksum(name, server.content)}"}
    await kept.refresh()
    assert kept.state() == SourceState(server.url, 1, SHA256, 0.0, True, None)
    server.content = gzip.compress(OTHER)
    await kept.refresh()
    assert kept.value() == "3"
    assert f"{name} checksum" in str(kept.state().error)
    server.headers = {field: checksum(name, server.content)}
    await kept.refresh()
    assert (kept.value(), kept.state().error) == ("5", None)


async def test_more_than_is_allowed_is_not_even_received(server: MapServer) -> None:
    server.content = os.urandom(10_000_000)
    with spool() as file:
        with pytest.raises(MapError, match=r"more than 100000 bytes \(maps.max_bytes\)"):
            await fetch(server.url, Validators(), file, timeout=10, max_bytes=100_000)
        assert file.tell() <= 100_000


def test_known_text_is_not_compiled_again() -> None:
    first, second = io.BytesIO(), io.BytesIO()
    told = compile_stream("glob", "m", "", 100, io.BufferedReader(io.BytesIO(TEXT)), first)
    packed = io.BufferedReader(io.BytesIO(gzip.compress(TEXT)))
    assert compile_stream("glob", "m", told["digest"], 100, packed, second) == told
    assert (len(first.getvalue()) > 0, second.getvalue()) == (True, b"")


def test_entries_that_are_left_out_are_told_up_to_a_number() -> None:
    text = b"11.0.0.1\n" + b"nonsense\n" * 1000
    told = compile_stream("radix", "m", "", len(text), io.BufferedReader(io.BytesIO(text)), io.BytesIO())
    assert len(told["problems"]) == 21
    assert told["problems"][-1] == "m: 980 more entries are left out"


async def test_redirect_is_followed(server: MapServer) -> None:
    server.status, server.headers = 302, {"Location": server.elsewhere}
    kept = Kept(bad_mxs=server.url)
    await kept.refresh()
    assert kept.value() == "3"


async def test_url_that_was_never_had_counts_as_empty_and_is_tried_again_soon(server: MapServer) -> None:
    server.status = 503
    kept = Kept(bad_mxs=("first.example", server.url))
    await kept.refresh()
    assert (kept.value("first.example"), kept.value()) == ("", None)
    assert kept.library.problems(kept.wanted)[0].endswith("(it counts as empty until it can be had)")
    for wait in (5, 10, 20, 40, 80, 160, 300, 300):
        kept.clock.now += wait * 1.25 - 0.1
        tries = len(server.answers)
        await kept.refresh(due=True)
        assert len(server.answers) == tries
        kept.clock.now += 0.2
        await kept.refresh(due=True)
        assert len(server.answers) == tries + 1
    server.status = 200
    kept.clock.now += 400
    assert await kept.refresh(due=True)
    assert kept.value() == "3"


async def test_url_is_looked_at_once_in_an_interval_that_varies(server: MapServer) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    kept = Kept(bad_mxs=server.url)
    kept.library = Library(kept.clock, uniform)
    await kept.refresh()
    for after, answers in ((224.0, 1), (1.0, 2), (224.0, 2), (1.0, 3)):
        kept.clock.now += after
        await kept.refresh(due=True)
        assert len(server.answers) == answers
    assert set(drawn) == {(0.75, 1.25)}


async def test_with_interval_0_only_a_reload_looks_at_a_url(server: MapServer) -> None:
    kept = Kept(MapsSettings(interval=0), bad_mxs=server.url)
    await kept.refresh()
    kept.clock.now += 1e6
    await kept.refresh(due=True)
    assert server.answers == [200]
    await kept.refresh()
    assert server.answers == [200, 304]


async def test_parts_of_one_map_change_by_themselves(tmp_path: Path, server: MapServer) -> None:
    """The first entry that matches wins in a glob map, the longest prefix in a radix map, wherever they come from."""
    names, ips = tmp_path / "names", tmp_path / "ips"
    names.write_text("*.example 1\n")
    ips.write_text("11.0.0.0/8 1\n11.1.0.0/16 2\n")
    server.content = b"11.0.0.0/24 3\n"
    kept = Kept(bad_mxs=("a.example 9", str(names), "b.example 9"), bad_ips=(str(ips), server.url, "11.0.0.0/8 4"))
    await kept.refresh()
    assert [kept.value(key) for key in ("a.example", "b.example")] == ["9", "1"]
    assert [kept.value(key, "bad_ips") for key in ("11.9.9.9", "11.1.1.1", "11.0.0.1", "12.0.0.0")] == [
        "1",
        "2",
        "3",
        None,
    ]
    rewrite(names, b"z.example\n")
    await kept.refresh()
    assert [kept.value(key) for key in ("a.example", "b.example")] == ["9", "9"]


async def test_what_is_no_longer_named_is_dropped(tmp_path: Path, server: MapServer) -> None:
    kept = Kept(bad_mxs=server.url)
    await kept.refresh()
    kept.wanted = replace(kept.wanted, bad_mxs=("a.example",))
    await kept.refresh()
    kept.library.settle(kept.wanted)
    kept.wanted = replace(kept.wanted, bad_mxs=server.url)
    await kept.refresh()
    assert server.answers == [200, 200]


async def test_password_in_a_url_is_told_to_nobody(server: MapServer) -> None:
    server.status = 401
    kept = Kept(bad_mxs=server.url.replace("http://", "http://me:s3cret@"))
    await kept.refresh()
    assert "s3cret" not in repr(kept.library.problems(kept.wanted)) + repr(kept.state())


def test_every_map_setting_has_a_kind() -> None:
    assert all(hasattr(MxCheckSettings(), setting) for setting in KINDS)


async def test_a_large_map_is_none_of_this_process_work(tmp_path: Path) -> None:
    """CPU time of this process, not time: the machine may be busy, and the work is another process'."""
    entries = [f"mx{number}.example {number % 7}" for number in range(60_000)]
    file = tmp_path / "map"
    rewrite(file, "\n".join(entries).encode())
    start = time.process_time()
    here = GlobMap.of(parse_map("\n".join(entries), str(file)), str(file))
    all_of_it = time.process_time() - start
    kept = Kept(bad_mxs=str(file))
    start = time.process_time()
    await kept.refresh()
    assert time.process_time() - start < all_of_it / 4
    there = kept.library.maps(kept.wanted).maps.bad_mxs
    assert there is not None
    assert len(there) == len(here) == 60_000
    assert there.get("mx59999.example") == here.get("mx59999.example") == MapHit("2", f"{file}:60000")
