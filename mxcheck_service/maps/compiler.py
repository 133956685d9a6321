"""A program of its own, a filter: map text on stdin, compressed or not, becomes an image on stdout.

Decompressing, hashing and parsing a million lines takes seconds; here they are no request's. `maps.compiling` starts
it. On stderr stands, as JSON, what came of it: {"error"} or {"digest", "problems"}.
"""

import gc
import gzip
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Final, cast

from mxcheck_service.core.maplist import KINDS, Kind, compile_map, parse_map
from mxcheck_service.maps.errors import MapError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_MOST_LAYERS: Final = 3
"""A file that is compressed may be sent with a Content-Encoding besides."""
_NICE: Final = 10
_TOLD: Final = 20
"""Most entries that were left out of a map that are told one by one."""


def main(argv: Sequence[str]) -> None:
    """Filter; `argv`: kind of map, place, digest of the text that is known, most bytes of text."""
    kind, place, known, max_bytes = argv
    with suppress(OSError):  # a sandbox may forbid it, and the map is wanted all the same
        os.nice(_NICE)
    gc.disable()  # a million rows, and no cycle among them
    try:
        told = compile_stream(cast(Kind, kind), place, known, int(max_bytes), sys.stdin.buffer, sys.stdout.buffer)
    except MapError as error:
        told = {"error": str(error)}
    json.dump(told, sys.stderr)
    sys.stderr.flush()
    os._exit(0)  # taking a million rows apart would take another second


def compile_stream(
    kind: Kind, place: str, known: str, max_bytes: int, source: BinaryIO, image: BinaryIO
) -> dict[str, Any]:
    """Write the image of a map, unless the digest of its text is known. Raises MapError, without the place."""
    assert kind in KINDS.values()
    content = read(source, max_bytes)
    digest = hashlib.sha256(content).hexdigest()
    if digest == known:
        return {"digest": digest, "problems": []}
    if b"\0" in content:
        raise MapError("is not text: it has NUL octets")
    entries = list(parse_map(content.decode("utf-8", "replace"), place))
    compiled = compile_map(kind, entries, place)
    problems = [*compiled.problems[:_TOLD]]
    if entries and len(compiled.problems) == len(entries):
        wanted = "address and no network" if kind == "radix" else "name"
        raise MapError(f"has no {wanted} in any of its {len(entries)} entries, such as {problems[0]}")
    if len(compiled.problems) > _TOLD:
        problems.append(f"{place}: {len(compiled.problems) - _TOLD} more entries are left out")
    image.write(compiled.image)
    image.flush()
    return {"digest": digest, "problems": problems}


def read(source: BinaryIO, max_bytes: int) -> bytes:
    """Return the text in a file that may be compressed, as its first octets tell. Raises MapError."""
    file: Any = source
    try:
        for _ in range(_MOST_LAYERS):
            head = file.peek(len(_ZSTD))[: len(_ZSTD)]
            if head.startswith(_GZIP):
                file = gzip.GzipFile(fileobj=file, mode="rb")
            elif head == _ZSTD:
                file = zstd.ZstdFile(file)
            else:
                break
        content: bytes = file.read(max_bytes + 1)
    except (EOFError, OSError, zstd.ZstdError, zlib.error) as error:
        raise MapError(f"cannot be decompressed: {error}") from None
    if len(content) > max_bytes:
        raise MapError(f"has more than {max_bytes} bytes (maps.max_bytes)")
    return content
