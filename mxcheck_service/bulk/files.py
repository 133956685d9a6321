"""Input and output of a run. Where the other end may be slow, a pipe or a terminal, the event loop never waits for it:
probes are under way, and a loop that stands still would take their greetings for timeouts."""

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Final

from mxcheck_service.bulk.lines import InputError, Line, Lines, Reader

_PIECE: Final = 65536
_AT_ONCE: Final = 4096
"""What a writable pipe takes without waiting (PIPE_BUF)."""


class Source:
    """The input: a path, or `-` for standard input. Errors are OSError."""

    def __init__(self, name: str) -> None:
        self.name = "standard input" if name == "-" else name
        self._fd = 0 if name == "-" else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self._fd)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(f"{self.name} is a directory")
        self._waits = _waits(status)
        self.size = status.st_size - os.lseek(self._fd, 0, os.SEEK_CUR) if stat.S_ISREG(status.st_mode) else None
        """Octets there are to read; None when that is not known."""

    async def lines(self, reader: Reader) -> AsyncGenerator[Line, None]:
        """Yield what the lines ask for; raises InputError, which names the input."""
        lines = Lines(reader)
        data = b"-"
        while data:
            if self._waits:
                await _readable(self._fd)
            else:
                await asyncio.sleep(0)
            data = os.read(self._fd, _PIECE)
            try:
                for line in lines.feed(data):
                    yield line
            except InputError as error:
                raise InputError(f"{self.name}: {error}") from None

    def close(self) -> None:
        if self._fd:
            os.close(self._fd)


class Sink:
    """The output: a file descriptor, which stays the caller's."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waits = _waits(os.fstat(fd))

    async def write(self, data: bytes) -> None:
        """Write all of it; raises OSError, BrokenPipeError when nobody reads any more."""
        rest = memoryview(data)
        while rest:
            if self._waits:
                await _writable(self._fd)
            rest = rest[os.write(self._fd, rest[:_AT_ONCE] if self._waits else rest) :]


class InUse(Exception):
    """Another run writes to this file."""


@contextmanager
def output_file(path: str) -> Iterator[int]:
    """Open a file for reading and writing, created if need be, for this process alone; raises OSError and InUse."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(f"{path} is being written by another run") from None
        yield fd
    finally:
        os.close(fd)


def _waits(status: os.stat_result) -> bool:
    """Tell whether reading or writing may have to wait for somebody. What is no pipe, socket or terminal (a file,
    /dev/null) never has to, and cannot be waited for either."""
    mode = status.st_mode
    terminal = stat.S_ISCHR(mode) and os.major(status.st_rdev) != 1  # major 1: /dev/null, /dev/zero, /dev/full
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or terminal


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
