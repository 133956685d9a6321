"""An ordinary load: requests at a fixed rate, whoever else asks. `python -m bench.steady URL RATE SHARE NAMES WARM`.

NAMES is a file with a domain a line: the first WARM of them are asked about again and again, the others once each, one
request in SHARE. It ends with its standard input, and then prints a JSON list of [when it was due (seconds of the
machine's clock), seconds until the answer, warm or not, what was said].
"""

import asyncio
import itertools
import json
import re
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop

_LENGTH: Final = re.compile(rb"^content-length: *(\d+)\r$", re.IGNORECASE | re.MULTILINE)
_VERDICT: Final = re.compile(rb'"verdict":"([^"]+)"')
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Steady:
    """The load, and what came of it."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._idle: deque[Connection] = deque()
        self.answers: list[tuple[float, float, bool, str]] = []

    async def ask(self, name: str, warm: bool, due: float) -> None:
        """Ask about a name, over a connection that waits for work, or a new one."""
        try:
            connection = await self._connection()
            said = await self._said(connection, name)
            self._idle.append(connection)
        except (OSError, asyncio.IncompleteReadError) as error:
            said = type(error).__name__
        self.answers.append((due, time.monotonic() - due, warm, said))

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            # One that was needed once, and then idle for too long, has been closed.
            if not connection[0].at_eof():
                return connection
        return await asyncio.open_connection(self._parts.hostname, self._parts.port)

    async def _said(self, connection: Connection, name: str) -> str:
        reader, writer = connection
        body = json.dumps({"sender": f"x@{name}"}).encode()
        head = f"POST /v1/check HTTP/1.1\r\nHost: {self._parts.netloc}\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        status = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(status)
        reply = await reader.readexactly(int(length[1]) if length else 0)
        verdict = _VERDICT.search(reply)
        return verdict[1].decode() if verdict else status.partition(b"\r\n")[0].decode()


async def run(url: str, rate: float, share: int, names: list[str], warm: int) -> Steady:
    """Ask until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    steady = Steady(url)
    again, once = itertools.cycle(names[:warm]), iter(names[warm:])
    asking: set[asyncio.Task[None]] = set()
    start = time.monotonic()
    for number in itertools.count():
        due = start + number / rate
        # Late or not, it counts from when it was due.
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        if ended.is_set():
            break
        is_warm = number % share != 0
        task = asyncio.create_task(steady.ask(next(again) if is_warm else next(once), is_warm, due))
        asking.add(task)
        task.add_done_callback(asking.discard)
    loop.remove_reader(sys.stdin.fileno())
    await asyncio.gather(*asking)
    return steady


def main() -> None:
    url, rate, share, names, warm = sys.argv[1:]
    steady = uvloop.run(run(url, float(rate), int(share), Path(names).read_text().split(), int(warm)))
    print(json.dumps(steady.answers))


if __name__ == "__main__":
    main()
