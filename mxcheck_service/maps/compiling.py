"""Has maps compiled in a process of their own, so that no request waits for a million lines."""

import asyncio
import json
import mmap
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

import mxcheck_service
from mxcheck_service.core.maplist import Kind
from mxcheck_service.core.maptable import Image
from mxcheck_service.log import escape
from mxcheck_service.maps.errors import MapError

_ROOT: Final = str(Path(mxcheck_service.__file__).parents[1])
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from mxcheck_service.maps.compiler import main; main(sys.argv[1:])"
)
_LAST_WORDS: Final = 1000


class CompiledMap(NamedTuple):
    """The image of a map, the digest of its text, and the entries that were left out."""

    image: Image
    digest: str
    problems: tuple[str, ...]


async def compile_apart(kind: Kind, place: str, content: BinaryIO, *, known: str, max_bytes: int) -> CompiledMap | None:
    """Compile the content of a file, from where it stands. None: it is the text whose digest is known.

    The process is of low priority, so that requests go first. Raises MapError, without the place, and OSError.
    """
    with spool() as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # not from the working directory: the package that runs here is the one that runs there
            *("-c", _PROGRAM, _ROOT, kind, place, known, str(max_bytes)),
            stdin=content,
            stdout=file,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # what a terminal tells the service is not for it
        )
        try:
            _, said = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        try:
            told: dict[str, Any] = json.loads(said)
        except ValueError:
            words = escape(said.decode(errors="replace").strip())[-_LAST_WORDS:]
            raise MapError(
                f"compiling it ended with exit code {process.returncode}: {words or 'no reason given'}"
            ) from None
        if "error" in told:
            raise MapError(escape(told["error"]))
        if told["digest"] == known:
            return None
        image = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return CompiledMap(image, told["digest"], tuple(map(escape, told["problems"])))


def spool() -> BinaryIO:
    """Return an empty file without a name, in memory where the system has that: a root file system may be read-only."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("mxcheck-map"), "w+b")
    return cast(BinaryIO, tempfile.TemporaryFile())
