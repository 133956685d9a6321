"""Callers: wrk, for as many requests as a server takes, and one that asks each question once and reads the answer."""

import asyncio
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from bench.stage import OTHER_CORE, cpu_seconds
from tests.lab.process import find_program

_HEADERS: Final = "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n"
# In microseconds, and in a form that does not change with the size of the figures.
_DONE: Final = """
done = function(summary, latency, requests)
  local errors = summary.errors
  print(string.format('{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d, "refused": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
"""
WARM: Final = (b"MX_GOOD", b'"cached":true')
"""What an answer has that came out of the cache, where every host is good."""
_ATTEMPTS: Final = 3
_PATIENCE: Final = 10
"""Seconds for an answer. Of a thousand connections at once the system makes some wait for seconds, whoever serves."""
_LENGTH: Final = re.compile(rb"^content-length: *(\d+)\r$", re.IGNORECASE | re.MULTILINE)


class Load(NamedTuple):
    """What wrk saw; latencies are seconds. `refused`: how many of the requests had an answer not 200."""

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int = 0

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def same(body: Mapping[str, Any]) -> str:
    """A script of wrk for one request again and again."""
    return f"{_HEADERS}wrk.body = [[{json.dumps(body)}]]\n"


def varied(chunk: str) -> str:
    """A script of wrk for a new body each time; `chunk` is Lua that ends with `return FUNCTION`, which makes one."""
    return f"{_HEADERS}local body = (function()\n{chunk}\nend)()\n" + (
        "request = function() return wrk.format(nil, nil, nil, body()) end\n"
    )


def wrk(url: str, script: str, *, connections: int, seconds: int, refusals: bool = False) -> Load:
    """Send requests for so long, by one thread on the other core. Raises RuntimeError for an answer not 200, unless
    there may be `refusals`."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script + _DONE)
        file.flush()
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={_PATIENCE}s", "-s", file.name]
        argv = [find_program("wrk"), *options, f"{url}/v1/check"]
        for _ in range(_ATTEMPTS):
            run = subprocess.run(["taskset", "-c", str(OTHER_CORE), *argv], capture_output=True, text=True, check=True)
            found = json.loads(run.stdout.splitlines()[-1])
            if found.pop("errors") or (found["refused"] and not refusals):
                break
            # None at all: the machine stood still, which says nothing about the server.
            if found["requests"]:
                return Load(**found)
    raise RuntimeError(f"wrk: {run.stdout}")


class Answers(NamedTuple):
    """The seconds until the last one, and each that was not 200 or lacked a wanted text."""

    seconds: float
    wrong: Sequence[bytes]

    def all_right(self) -> float:
        """The seconds; raises RuntimeError when there is a wrong one."""
        if self.wrong:
            raise RuntimeError(f"{len(self.wrong)} wrong answers, such as {self.wrong[0]!r}")
        return self.seconds


class Server(Protocol):
    """A process that answers checks."""

    url: str

    @property
    def pid(self) -> int: ...


class Cost(NamedTuple):
    """Of a request, to a server that is kept busy; others who use its core slow the rate down, but not the CPU time."""

    rate: float
    cpu_microseconds: float


def cost(server: Server, script: str, *, connections: int, seconds: int) -> Cost:
    """Send requests for so long; raises RuntimeError for an answer not 200."""
    before = cpu_seconds(server.pid)
    load = wrk(server.url, script, connections=connections, seconds=seconds)
    return Cost(load.rate, (cpu_seconds(server.pid) - before) / load.requests * 1e6)


async def ask(url: str, bodies: Iterator[bytes], *, connections: int, wanted: Sequence[bytes]) -> Answers:
    """Send each body once over so many kept-alive connections."""
    parts = urlsplit(url)
    lines = ("POST /v1/check HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json", "Content-Length: %d")
    head = "\r\n".join((*lines, "", "")).encode()

    async def caller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in bodies:
            writer.write(head % len(body) + body)
            status = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(status)
            reply = await reader.readexactly(int(length[1]) if length else 0)
            if not status.startswith(b"HTTP/1.1 200") or not all(text in reply for text in wanted):
                wrong.append(status + reply)

    wrong: list[bytes] = []
    opened = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(connections)]
    started = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as callers:
            for reader, writer in opened:
                callers.create_task(caller(reader, writer))
        return Answers(time.perf_counter() - started, wrong)
    finally:
        for _, writer in opened:
            writer.close()
