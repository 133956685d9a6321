"""Scripted mail hosts, each at an address of its own: `python -m tests.lab.truth.peers PLACES_FILE PORT`.

The file has a line `ADDRESS BEHAVIOUR` for each; what behaviours there are is said in `tests.lab.truth.kinds`. A
process of its own, which prints `ready` once all of them listen, and goes on until it is ended: who starts anew has a
first time everywhere.
"""

import asyncio
import contextlib
import itertools
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.lab.sockets import RESET_ON_CLOSE

_NAME = b"mx.truth.test"
_GREETING: Final = b"220 " + _NAME + b" ESMTP\r\n"
_BACKLOG: Final = 1024
_TRICKLE_GAP: Final = 0.05

_FIRST_WORDS: Final = {
    "good": _GREETING,
    "flaky": _GREETING,
    "multi-line": b"220-" + _NAME + b" ESMTP\r\n220-No advertising here\r\n220 Ready\r\n",
    "lf-only": b"220-" + _NAME + b"\n220 Ready\n",
    "bare-code": b"220\r\n",
    "nul-bytes": b"220 mx\0\0.truth.test ESMTP\r\n",
    "long-line": b"220 " + b"x" * 1994 + b"\r\n",
    "code-200": b"200 " + _NAME + b"\r\n",
    "code-250": b"250 " + _NAME + b"\r\n",
    "ftp": b"220 mx.truth.test FTP server ready\r\n",
    "pop3": b"+OK POP3 ready\r\n",
}
"""Greetings of those that go on to talk."""
_LAST_WORDS: Final = {
    "eof": b"",
    "http-400": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "mixed-codes": b"220-" + _NAME + b"\r\n554 No service\r\n",
}
"""What is said before the end by those that do not."""
_THEN_SILENCE: Final = {
    "silent": b"",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "tls": b"",
    "garbage": b"\x80\x01\x02\xff\x00zz",
}
_AT_EHLO: Final = {"ehlo-eof": "eof", "ehlo-silent": "silent", "ehlo-reset": "reset"}


class Peer:
    """One client's connection to one host."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._reader = reader
        self._writer = writer
        self._first = number == 0

    async def behave(self, behaviour: str) -> None:
        """Do what a host of this kind does, up to the end of the connection."""
        name, _, detail = behaviour.partition("-")
        if behaviour in _LAST_WORDS:
            await self._say(_LAST_WORDS[behaviour])
        elif behaviour in _THEN_SILENCE:
            await self._say(_THEN_SILENCE[behaviour])
            await self._until_gone()
        elif behaviour == "reset" or (behaviour == "flaky" and self._first):
            self._reset()
        elif behaviour == "http":
            await self._reader.readline()
            await self._say(_LAST_WORDS["http-400"])
        elif name == "tarpit":
            await asyncio.sleep(float(detail))
            await self._converse(_GREETING)
        elif behaviour.startswith("slow-line-"):
            await self._say(b"220-" + _NAME + b" wait\r\n")
            await asyncio.sleep(float(behaviour.removeprefix("slow-line-")))
            await self._converse(b"220 Ready\r\n")
        elif behaviour == "trickle":
            for octet in _FIRST_WORDS["multi-line"]:
                await self._say(bytes([octet]))
                await asyncio.sleep(_TRICKLE_GAP)
            await self._converse(b"")
        elif name == "blocklist":
            ours = str(self._writer.get_extra_info("peername")[0])
            await self._say(
                f"{detail} 5.7.1 Service unavailable; client [{ours}] blocked using bl.truth.test\r\n".encode()
            )
        elif name == "once":
            await (self._say(_refusal(detail)) if self._first else self._converse(_GREETING))
        elif name == "code" and behaviour not in _FIRST_WORDS:
            await self._say(_refusal(detail))
        elif behaviour in _FIRST_WORDS:
            knows_smtp = behaviour not in ("ftp", "pop3")
            await self._converse(_FIRST_WORDS[behaviour], knows={b"QUIT"} if not knows_smtp else None)
        elif behaviour in _AT_EHLO:
            await self._say(_GREETING)
            await self._reader.readline()
            await self.behave(_AT_EHLO[behaviour])
        elif behaviour == "helo-only":
            await self._converse(_GREETING, unknown={b"EHLO"})
        elif behaviour == "greylist":
            await self._converse(_GREETING, rcpt=b"450 4.7.1 Try again later\r\n" if self._first else None)
        elif name == "rcpt":
            await self._converse(_GREETING, rcpt=_refusal(detail))
        else:
            raise ValueError(f"no such behaviour: {behaviour}")

    async def _converse(
        self,
        greeting: bytes,
        *,
        rcpt: bytes | None = None,
        unknown: set[bytes] | None = None,
        knows: set[bytes] | None = None,
    ) -> None:
        """Greet, and take mail. `rcpt`: the answer to RCPT; `unknown`, `knows`: commands it does not know, or alone."""
        await self._say(greeting)
        while line := await self._reader.readline():
            verb = line[:4].upper().rstrip()
            if verb in (unknown or ()) or (knows is not None and verb not in knows):
                await self._say(b"502 5.5.1 What?\r\n")
            elif verb == b"DATA":
                await self._say(b"354 Go on\r\n")
                while (line := await self._reader.readline()) not in (b".\r\n", b""):
                    pass
                await self._say(b"250 2.0.0 Taken\r\n")
            elif verb == b"QUIT":
                await self._say(b"221 2.0.0 Bye\r\n")
                return
            elif verb == b"RCPT" and rcpt is not None:
                await self._say(rcpt)
            else:
                await self._say(b"250 2.0.0 Ok\r\n")

    async def _say(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()

    async def _until_gone(self) -> None:
        while await self._reader.read(4096):
            pass

    def _reset(self) -> None:
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._writer.transport.abort()


def _refusal(code: str) -> bytes:
    return f"{code} {_NAME.decode()} No service\r\n".encode()


def _visitor(behaviour: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    numbers = itertools.count()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(numbers)
        with contextlib.suppress(OSError):
            try:
                await Peer(reader, writer, number).behave(behaviour)
            finally:
                writer.close()

    return visit


async def _serve(places: str, port: int) -> None:
    for line in places.splitlines():
        address, _, behaviour = line.partition(" ")
        await asyncio.start_server(_visitor(behaviour), address, port, backlog=_BACKLOG)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]).read_text(), int(sys.argv[2])))
