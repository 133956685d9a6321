"""What map files and map servers give, and the images that are made of it."""

import gzip
import io
import itertools
from contextlib import suppress
from typing import Any, Final, cast

from mxcheck_service.core.maplist import GlobPart, Kind, MapHit, RadixPart, glob_matchers, parse_map
from mxcheck_service.core.networks import parse_ip
from mxcheck_service.maps.compiler import compile_stream
from mxcheck_service.maps.errors import MapError
from tests.hostile.fuzz.target import Target, parts, pure

_PLACE: Final = "map"
_MOST: Final = 1 << 20
"""Octets of a map's text."""
_LONG_NAMES: Final = ("a" * 63 + ".", "-" * 60 + ".a", "ab")
_KINDS: Final[tuple[Kind, Kind]] = ("glob", "radix")


def check_map(data: bytes) -> None:
    """A name or address, and a map's text, perhaps compressed: compiled it is found what a plain search finds, in a
    time that no entry and no name can stretch; or it is MapError."""
    key, content = parts(data, 2)
    name = key.decode("latin-1")[:253]
    for kind in _KINDS:
        image = io.BytesIO()
        try:
            source = io.BufferedReader(cast(Any, io.BytesIO(content)))
            compile_stream(kind, _PLACE, "", _MOST, source, image)
        except MapError:
            continue
        entries = list(parse_map(content.decode("utf-8", "replace"), _PLACE)) if not _compressed(content) else []
        if kind == "radix":
            _search_radix(RadixPart(image.getvalue(), (), _PLACE), name)
            continue
        part = GlobPart(image.getvalue(), glob_matchers(image.getvalue()), _PLACE)
        for one in (name, *((long * 253)[:253] for long in _LONG_NAMES)):
            hit = part.get(one)
            if entries:
                expected = next((entry for entry in entries if _matches(entry.key, one)), None)
                assert hit == (expected and MapHit(expected.value, expected.origin)), (one, hit, expected)
            if hit:
                assert abs(hit.multiplier) < float("inf")


def _compressed(content: bytes) -> bool:
    return content.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))


def _matches(glob: str, name: str) -> bool:
    """Match as the manual tells it, one sign after the other and all places at once: `*` any text, `+` at least one
    character, `?` at most one."""
    reached = {0}
    for sign in glob:
        match sign:
            case "*":
                reached = set(range(min(reached), len(name) + 1))
            case "+":
                reached = set(range(min(reached) + 1, len(name) + 1))
            case "?":
                reached |= {place + 1 for place in reached if place < len(name)}
            case _:
                reached = {place + 1 for place in reached if name[place : place + 1] == sign}
        if not reached:
            return False
    return len(name) in reached


def _search_radix(part: RadixPart, name: str) -> None:
    for ip in (name, "192.0.2.1", "::1"):
        number = parse_ip(ip)
        if number is not None:
            hit = part.get(number.to_bytes(16, "big"))
            assert hit is None or 0 <= hit[0] - 1 <= 128


def check_image(data: bytes) -> None:
    """An image that was damaged: whatever is read from it, it is an answer or a ValueError."""
    key, image = parts(data, 2)
    for read in (_read_glob, _read_radix):
        with suppress(ValueError):
            read(image, key)


def _read_glob(image: bytes, key: bytes) -> None:
    part = GlobPart(image, itertools.islice(glob_matchers(image), 100), _PLACE)
    assert len(part) <= len(image)
    part.get(key.decode("latin-1"))


def _read_radix(image: bytes, key: bytes) -> None:
    part = RadixPart(image, (), _PLACE)
    assert len(part) >= 0
    part.get(key[:16].ljust(16, b"\0"))


def _image(kind: Kind, content: bytes) -> bytes:
    image = io.BytesIO()
    compile_stream(kind, _PLACE, "", _MOST, cast(Any, io.BufferedReader(cast(Any, io.BytesIO(content)))), image)
    return image.getvalue()


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


_GLOBS: Final = b'# hosts\nmx.example 2\n*.bad.example 0.5 # half\n"a b" x\nmx?.example\nm+.example -1\n\\#a \\*\n'
_NETWORKS: Final = b"192.0.2.0/24 2\n192.0.2.1\n2001:db8::/32 x\n::ffff:10.0.0.0/104\n0.0.0.0/0\n"

TARGETS: Final = (
    Target(
        "map",
        pure(check_map),
        seeds=(
            b"mx1.example\x1e" + _GLOBS,
            b"192.0.2.1\x1e" + _NETWORKS,
            b"a\x1e" + _gzip(_GLOBS),
            b"a\x1e" + _gzip(_gzip(_NETWORKS)),
            b"a\x1e(\xb5/\xfd\x04X\x39\x00\x00a\nb 2\nc\x8f\x1c\x9e\x94",
            b"a\x1e" + b"*a" * 20,
            b"a\x1e" + b"?" * 40 + b"x",
            b"a\x1e" + b"?a" * 30 + b"b",
            b"a\x1e" + b"+-" * 20,
            b'a\x1e"unclosed\r\rkey v\r\n\xff\xfe',
            b"a\x1ea 0x1F\nb 1e999\nc inf",
        ),
        words=(
            b"*",
            b"?",
            b"+",
            b"\\",
            b'"',
            b"#",
            b"\n",
            b"\r",
            b" ",
            b"/24",
            b"/0",
            b"/128",
            b"::",
            b"192.0.2.",
            b".example",
            b"\x1f\x8b\x08",
            b"\x28\xb5\x2f\xfd",
            b"\xe2\x80\xa8",
            b"0x",
            b"1e308",
            b"-",
            b"nan",
        ),
    ),
    Target(
        "image",
        pure(check_image),
        seeds=(
            b"mx1.example\x1e" + _image("glob", _GLOBS),
            b"\0" * 10 + b"\x1e" + _image("radix", _NETWORKS),
            b"a\x1e" + bytes(24),
            b"a\x1e" + bytes(80),
            b"a\x1e" + b"\xff" * 24,
        ),
        words=(b"\xff" * 8, b"\0" * 8, b"\1" + b"\0" * 7, b"\x80", b"*", b"?"),
    ),
)
