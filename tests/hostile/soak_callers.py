"""Callers besides the steady load of a soak: each holds what it gets to what it may get, and counts every request."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from tests.hostile.scene import Scene
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.load import SLACK, Domain, Judged, Request

_BULK: Final = 20
"""Domains of one request."""
_HEADER: Final = b"Host: lab\r\nContent-Type: application/json\r\n"
_BAD_REQUESTS: Final[Sequence[tuple[bytes, Sequence[int]]]] = (
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n", (400,)),
    (b"GET / HTTP/9.9\r\n\r\n", (400, 505)),
    (b"POST /v1/check HTTP/1.1\r\nHost: lab\r\nContent-Length: nine\r\n\r\n", (400,)),
    (b"GET /v1/check?sender=" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: lab\r\n\r\n", (400, 414, 431)),
    (b"GET /healthz HTTP/1.1\r\nHost: lab\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(40_000)), (400, 431)),
    (b"POST /v1/check HTTP/1.1\r\n" + _HEADER + b"Content-Length: 9\r\n\r\n{not json", (400,)),
    (b"POST /v1/check HTTP/1.1\r\n" + _HEADER + b'Content-Length: 12\r\n\r\n{"sendr": 1}', (422,)),
    (b"POST /v1/check HTTP/1.1\r\n" + _HEADER + b"Content-Length: 600000\r\n\r\n" + bytes(600_000), (413,)),
    (b"POST /v1/check HTTP/1.1\r\n" + _HEADER + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", (400,)),
    (b"DELETE /v1/check HTTP/1.1\r\n" + _HEADER + b"\r\n", (405,)),
    (b"GET /nowhere HTTP/1.1\r\n" + _HEADER + b"\r\n", (404,)),
)
"""What is wrong, and the statuses it may be answered with; with none at all when the connection is ended."""
_ENDS: Final = b""

_HOSTILE: Final[Sequence[Callable[[], scripts.Script]]] = (
    scripts.silent,
    scripts.eof,
    scripts.reset,
    scripts.endless_line,
    scripts.endless_greeting,
    scripts.http_server,
    scripts.nul_bytes,
    scripts.never_closes,
    scripts.open_greeting_then_silence,
)
_NOT_KNOWN: Final = frozenset({"inflight", "redis_error", "unavailable", "ratelimited", "df"})
_OF_HOSTILE: Final = _NOT_KNOWN | {"gd", "tr", "inv", "err"}
"""What may be told of a host that takes the connection and then misbehaves. Never that it refused or was not there."""


@dataclass
class Account:
    """What became of every request of one kind of caller; `samples` are a few that failed or were answered wrong."""

    counts: Counter[Judged] = field(default_factory=Counter)
    lost: int = 0
    samples: list[str] = field(default_factory=list)

    def add(self, judged: Judged, why: object, *, lost: bool = False) -> None:
        """Count one; `lost`: it failed with a worker that was killed."""
        if judged is Judged.FAILED and lost:
            self.lost += 1
            return
        self.counts[judged] += 1
        if judged in (Judged.WRONG, Judged.FAILED) and len(self.samples) < 5:
            self.samples.append(f"{judged.name}: {why}")


class Callers:
    """`lost` tells whether a request that began then may have been in the hands of a killed worker."""

    def __init__(self, scene: Scene, rng: random.Random, deadline: float, lost: Callable[[float, float], bool]) -> None:
        self._scene = scene
        self._rng = rng
        self._deadline = deadline
        self._lost = lost
        self.accounts = {name: Account() for name in ("explained", "many domains", "hostile hosts", "bad HTTP")}
        self._hostile = [self._add_hostile(number, script) for number, script in enumerate(_HOSTILE)]

    def _add_hostile(self, number: int, script: Callable[[], scripts.Script]) -> str:
        name = f"hostile{number}.test"
        # In networks of their own, below those of the load.
        address = f"127.8.{number}.1"
        self._scene.dns.set(name, "MX", dns.mx((10, f"mx.{name}")))
        self._scene.dns.set(f"mx.{name}", "A", dns.a(address))
        self._scene.peers.add(script(), address=address)
        return name

    async def run(self) -> None:
        """Call until cancelled; what is under way then is not counted."""
        asking: Sequence[tuple[str, float, Callable[[aiohttp.ClientSession], Awaitable[tuple[Judged, object]]]]] = (
            ("explained", 0.3, self._explained),
            ("many domains", 1.0, self._many),
            ("hostile hosts", 0.4, self._of_hostile),
        )
        timeout = aiohttp.ClientTimeout(total=self._deadline + SLACK)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            await asyncio.gather(self._badly(), *(self._steadily(session, *each) for each in asking))

    async def _steadily(
        self,
        session: aiohttp.ClientSession,
        name: str,
        pause: float,
        ask: Callable[[aiohttp.ClientSession], Awaitable[tuple[Judged, object]]],
    ) -> None:
        while True:
            began = time.monotonic()
            try:
                judged, why = await ask(session)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                judged, why = Judged.FAILED, f"{type(error).__name__}: {error}"
            self.accounts[name].add(judged, why, lost=self._lost(began, time.monotonic()))
            await asyncio.sleep(pause)

    async def _explained(self, session: aiohttp.ClientSession) -> tuple[Judged, object]:
        domain = self._rng.choice(self._scene.senders.warm)
        url = f"{self._scene.service.url}/v1/check"
        async with session.get(url, params={"sender": f"a@{domain.name}", "explain": "1"}) as response:
            body = await response.json(content_type=None)
        if response.status == 200 and not body["domains"][0].get("trace"):
            return Judged.WRONG, body
        return self._held(domain, response.status, body), body

    async def _many(self, session: aiohttp.ClientSession) -> tuple[Judged, object]:
        known = [*self._scene.senders.warm, *self._scene.senders.cold]
        chosen = {domain.name: domain for domain in self._rng.sample(known, min(_BULK, len(known)))}
        body = {"mime_from": [f"a@{name}" for name in chosen]}
        async with session.post(f"{self._scene.service.url}/v1/check", json=body) as response:
            reply = await response.json(content_type=None)
        if response.status != 200:
            return Judged.FAILED, (response.status, reply)
        told = {each["domain"]: each["verdict"] for each in reply["domains"]}
        if told.keys() != chosen.keys():
            return Judged.WRONG, reply
        wrong = {
            name: verdict
            for name, verdict in told.items()
            if verdict != chosen[name].kind.value.verdict and verdict not in _NOT_KNOWN
        }
        if wrong:
            return Judged.WRONG, wrong
        return (Judged.NOT_KNOWN if _NOT_KNOWN & set(told.values()) else Judged.TRUE), ""

    async def _of_hostile(self, session: aiohttp.ClientSession) -> tuple[Judged, object]:
        name = self._rng.choice(self._hostile)
        async with session.post(f"{self._scene.service.url}/v1/check", json={"sender": f"a@{name}"}) as response:
            body = await response.json(content_type=None)
        if response.status != 200:
            return Judged.FAILED, (response.status, body)
        verdict = body["domains"][0]["verdict"]
        if verdict.partition(":")[0] not in _OF_HOSTILE:
            return Judged.WRONG, (name, verdict)
        return (Judged.NOT_KNOWN if verdict in _NOT_KNOWN else Judged.TRUE), ""

    async def _badly(self) -> None:
        while True:
            request, statuses = self._rng.choice(_BAD_REQUESTS)
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._deadline + SLACK):
                    judged, why = await self._bad_request(request, statuses)
            except OSError as error:  # a timeout is one, too
                # A peer that resets what it does not want to read has said so.
                judged = Judged.TRUE if isinstance(error, ConnectionError) else Judged.FAILED
                why = f"{request[:60]!r}: {type(error).__name__}: {error}"
            self.accounts["bad HTTP"].add(judged, why, lost=self._lost(began, time.monotonic()))
            await asyncio.sleep(0.2)

    async def _bad_request(self, request: bytes, statuses: Sequence[int]) -> tuple[Judged, object]:
        target = urlsplit(self._scene.service.url)
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        try:
            writer.write(request)
            line = await reader.readline()
            ok = line == _ENDS or line.split(b" ")[1:2] in ([b"%d" % status] for status in statuses)
            # Half of them hang up in the middle of what else there is.
            if self._rng.random() < 0.5:
                writer.transport.abort()
            return (Judged.TRUE if ok else Judged.WRONG), (request[:60], line)
        finally:
            writer.close()

    def _held(self, domain: Domain, status: int, body: Any) -> Judged:
        return Request(domain, "warm", 0.0, 0.0, status, body).judged(self._deadline)
