"""The service, run on a scenario: the real checker on fakes of its seams, in virtual time."""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import assert_never

from mxcheck_service import app, config
from mxcheck_service.background import Background
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.checker import Adapters
from mxcheck_service.core.model import Family, MxHost
from mxcheck_service.ports import CacheError, ConnectError, ConnectProblem, DnsAnswer, DnsFailure, Found, NotFound
from mxcheck_service.web import schema
from tests.parity.virtual_time import VirtualClock
from tests.parity.world import (
    CONNECT_LATENCY,
    DNS_LATENCY,
    REDIS_LATENCY,
    WRONG_TYPE,
    DnsReply,
    Hit,
    Outcome,
    Peer,
    Scenario,
)

A_YEAR = 365 * 86400


class FakeResolver:
    """Answers from the scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    async def mx(self, name: str) -> DnsAnswer[MxHost]:
        """Answer an MX question."""
        await asyncio.sleep(DNS_LATENCY)
        reply = self._scenario.resolve("MX", name)
        hosts = tuple(MxHost(preference, exchange) for preference, exchange in reply.exchanges)
        return Found(hosts) if hosts else self._failure(reply)

    async def addresses(self, name: str, family: Family) -> DnsAnswer[str]:
        """Answer an A or AAAA question, in the scenario's order."""
        await asyncio.sleep(DNS_LATENCY)
        reply = self._scenario.resolve("A" if family is Family.V4 else "AAAA", name)
        return Found(reply.addresses) if reply.addresses else self._failure(reply)

    @staticmethod
    def _failure(reply: DnsReply) -> NotFound | DnsFailure:
        match reply.status:
            case "nxdomain":
                return NotFound(nxdomain=True)
            case "nodata" | "empty":
                return NotFound(nxdomain=False)
            case _:
                return DnsFailure(reply.status)


class FakeConnection:
    """Plays a peer back, which sends when its time has come, whether or not anybody reads."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        start = asyncio.get_running_loop().time()
        self._chunks = deque((start + (n + 1) * peer.pause, chunk) for n, chunk in enumerate(peer.chunks))
        self.sent = b""

    async def receive(self) -> bytes:
        """Return the next chunk, and with it what has come in time that nobody read; or end as the peer ends."""
        if self._chunks:
            arrives, data = self._chunks.popleft()
            await asyncio.sleep(max(0.0, arrives - asyncio.get_running_loop().time()))
            while self._chunks and self._chunks[0][0] < asyncio.get_running_loop().time():
                data += self._chunks.popleft()[1]
            return data.encode("latin-1")
        match self._peer.ending:
            case "eof":
                return b""
            case "reset":
                raise ConnectionResetError
            case "silence":
                await asyncio.sleep(A_YEAR)
                raise AssertionError("nobody waits so long")
            case never:
                assert_never(never)

    async def send(self, data: bytes) -> None:
        """Note what was sent."""
        self.sent += data

    def close(self) -> None:
        """Close."""


class FakeDialer:
    """Connects to the peers of the scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.connections: dict[str, FakeConnection] = {}

    async def connect(self, ip: str, port: int, timeout: float) -> FakeConnection:
        """Connect, or fail as the scenario says."""
        assert port == self._scenario.settings.get("port", 25)
        peer = self._scenario.peer(ip)
        connection = self.connections[ip] = FakeConnection(peer)
        if peer.connect != "unavailable":
            await asyncio.sleep(timeout if peer.connect == "timeout" else CONNECT_LATENCY)
        match peer.connect:
            case "ok":
                return connection
            case "refused" | "reset":
                raise ConnectError(ConnectProblem.REFUSED, peer.connect)
            case "timeout":
                raise ConnectError(ConnectProblem.TIMEOUT, peer.connect)
            case "unreachable" | "no route":
                raise ConnectError(ConnectProblem.UNREACHABLE, peer.connect)
            case "denied" | "unavailable":
                raise ConnectError(ConnectProblem.LOCAL, peer.connect)
            case never:
                assert_never(never)


class FakeRedis:
    """The package's own memory cache with Redis's troubles: failures, keys of another type, other workers."""

    def __init__(self, scenario: Scenario) -> None:
        self._memory = MemoryCache(100_000, VirtualClock())
        self._initial = scenario.redis
        self._mode = scenario.redis.mode
        self._wrong_type = set(scenario.redis.wrong_type)
        self._races = dict(scenario.redis.races)
        self._ttls: dict[str, int] = {}
        self.locks: dict[str, int] = {}

    async def fill(self) -> None:
        """Put the initial content in."""
        for key, value in self._initial.entries.items():
            await self._memory.set(key, value, A_YEAR)

    def content(self) -> dict[str, tuple[str, int | None]]:
        """Return every key with its value and the TTL it was written with, None if it was not."""
        present: dict[str, tuple[str, int | None]] = dict.fromkeys(self._wrong_type, (WRONG_TYPE, None))
        return present | {key: (value, self._ttls.get(key)) for key, (value, _) in self._memory.snapshot().items()}

    @property
    def version(self) -> int:
        """Nothing is kept in the process."""
        return 0

    def known_for(self, reads: Collection[tuple[str, str | None]]) -> float:
        """Nothing is kept in the process."""
        return 0.0 if reads else float("inf")

    async def get(self, key: str) -> str | None:
        """GET."""
        await self._reading()
        if key in self._wrong_type:
            raise CacheError("WRONGTYPE")
        return await self._memory.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """MGET; a key of another type is nil."""
        await self._reading()
        return await self._memory.get_many(keys)

    async def seconds_left(self, keys: Sequence[str]) -> list[float]:
        """PTTL."""
        await self._reading()
        return await self._memory.seconds_left(keys)

    async def set(self, key: str, value: str, ttl: int) -> None:
        """SET EX."""
        await self._writing()
        self._wrong_type.discard(key)
        self._note(key, value, ttl)
        await self._memory.set(key, value, ttl)

    async def put(self, key: str, value: str, ttl: int) -> None:
        """SET EX; a failure is lost."""
        with suppress(CacheError):
            await self.set(key, value, ttl)

    async def set_if_absent(self, key: str, value: str, ttl: int) -> bool:
        """SET NX EX."""
        await self._writing()
        if key in self._races:
            published = self._races.pop(key)
            if published is not None:
                await self._memory.set(key, published, A_YEAR)
            return False
        if key in self._wrong_type or not await self._memory.set_if_absent(key, value, ttl):
            return False
        self._note(key, value, ttl)
        return True

    async def delete(self, key: str) -> None:
        """DEL."""
        await self._writing()
        self._wrong_type.discard(key)
        await self._memory.delete(key)

    async def count(self, keys: Sequence[str], by: int, ttl: int) -> list[int]:
        """Never asked: the reference has no limits."""
        raise AssertionError("counts, which the reference does not")

    def watch(self, key: str) -> AbstractContextManager[asyncio.Event | None]:
        """Nothing tells."""
        return nullcontext()

    async def ping(self) -> None:
        """PING."""

    async def close(self) -> None:
        """Close."""

    def _note(self, key: str, value: str, ttl: int) -> None:
        self._ttls[key] = ttl
        if value == "l":
            self.locks[key] = ttl

    async def _reading(self) -> None:
        await asyncio.sleep(REDIS_LATENCY)
        if self._mode in ("down", "no upstream", "reads fail"):
            raise CacheError(self._mode)

    async def _writing(self) -> None:
        await asyncio.sleep(REDIS_LATENCY)
        if self._mode in ("down", "no upstream", "writes fail", "no write upstream"):
            raise CacheError(self._mode)


async def run(scenario: Scenario) -> Outcome:
    """Check the scenario's request under preset `reference`. To be run in a VirtualTimeLoop."""
    try:
        settings = config.parse({"preset": "reference", "mx_check": dict(scenario.settings)}).settings
    except config.ConfigError:
        return Outcome(disabled=True)
    redis, dialer, background = FakeRedis(scenario), FakeDialer(scenario), Background()
    await redis.fill()
    world = Adapters(redis, FakeResolver(scenario), dialer, VirtualClock(), background)
    library, _ = await app.load_maps(settings)
    checker = app.checker(settings, library.maps(settings.mx_check).maps, world)
    message = schema.CheckRequest.model_validate(dict(scenario.request.body)).message()
    reply = schema.reply(await checker.check(message), 0.0)
    await background.drain(A_YEAR)
    return Outcome(
        symbols={name: Hit(symbol["weight"], tuple(symbol["options"])) for name, symbol in reply["symbols"].items()},
        # A partial answer is none that the reference could give.
        action=f"{reply['action']} (partial)" if reply["partial"] else reply["action"],
        message=reply["messages"].get("smtp_message"),
        redis=scenario.redis.changes(redis.content()),
        locks=redis.locks,
        probed=tuple(sorted(dialer.connections)),
        quits=tuple(sorted(ip for ip, peer in dialer.connections.items() if peer.sent == b"QUIT\r\n")),
    )
