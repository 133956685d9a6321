"""What a Redis is told, by its own MONITOR."""

import re
import socket
from types import TracebackType
from typing import Final, Self

_ARGUMENT: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_PLAIN: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


class Monitor:
    """Every command from entry on, as a context manager."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> Self:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        self._lines = self._socket.makefile("rb")
        self._socket.sendall(b"MONITOR\r\n")
        assert self._lines.readline() == b"+OK\r\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()

    def commands(self) -> list[list[bytes]]:
        """Return the commands so far, each with its arguments."""
        end = b"end of what is looked at"
        with socket.create_connection(("127.0.0.1", self._port), timeout=10) as other:
            other.sendall(b"*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n" % (len(end), end))
            found = []
            while (words := self._next()) != [b"ECHO", end]:
                found.append(words)
        return found

    def _next(self) -> list[bytes]:
        line = self._lines.readline()
        assert line, "Redis has closed"
        return [_ESCAPE.sub(_unescaped, word) for word in _ARGUMENT.findall(line)]


def _unescaped(match: re.Match[bytes]) -> bytes:
    what = match[1]
    return bytes([int(what[1:], 16)]) if len(what) == 3 else _PLAIN.get(what, what)
