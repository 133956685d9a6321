"""Stand-ins for the world outside: a resolver, a prober, a dialer, a clock, and a cache that fails."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field

from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.model import Family, MxHost, Outcome, Verdict
from mxcheck_service.ports import (
    CacheError,
    ConnectError,
    ConnectProblem,
    DnsAnswer,
    DnsFailure,
    Found,
    LocalFault,
    NotFound,
    Probed,
)

GOOD = Probed(Outcome(Verdict.GOOD))
REFUSED = Probed(Outcome(Verdict.REFUSED))
NO_CONNECTION = Probed(Outcome(Verdict.TIMEOUT_CONNECT))
SILENT = Probed(Outcome(Verdict.TIMEOUT_READ))
NOT_SMTP = Probed(Outcome(Verdict.INVALID))
TURNED_AWAY = Probed(Outcome(Verdict.ERROR, "554"))
FAULT = LocalFault("no route from here")

NXDOMAIN = NotFound(nxdomain=True)
NODATA = NotFound(nxdomain=False)


def mx(*exchanges: str) -> Found[MxHost]:
    """Return an answer with these MX hosts, in order of preference."""
    return Found(tuple(MxHost(10 * index, exchange) for index, exchange in enumerate(exchanges, start=1)))


def a(*ips: str) -> Found[str]:
    return Found(ips)


async def soon() -> None:
    """Let everything that is ready have its turn."""
    for _ in range(50):
        await asyncio.sleep(0)


class FakeClock:
    """A clock that stands still but for `sleep`. `at` plans what happens in between."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []
        self._plans: list[tuple[float, Callable[[], Awaitable[object]]]] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        due = [plan for plan in self._plans if plan[0] <= self.now]
        self._plans = [plan for plan in self._plans if plan[0] > self.now]
        for _, action in due:
            await action()
        await asyncio.sleep(0)

    def at(self, seconds: float, action: Callable[[], Awaitable[object]]) -> None:
        """Do something as soon as the clock has come this many seconds further."""
        self._plans.append((self.now + seconds, action))


class FakeResolver:
    """Answers from tables; a name that is in none does not exist. `hold` keeps every question waiting."""

    def __init__(
        self,
        mx: Mapping[str, DnsAnswer[MxHost] | Exception] | None = None,
        a: Mapping[str, DnsAnswer[str] | Exception] | None = None,
        aaaa: Mapping[str, DnsAnswer[str] | Exception] | None = None,
    ) -> None:
        self._mx = dict(mx or {})
        self._addresses = {Family.V4: dict(a or {}), Family.V6: dict(aaaa or {})}
        self.hold: asyncio.Event | None = None
        self.asked: list[tuple[str, str]] = []

    def answers(self, name: str, failure: DnsFailure | Exception) -> None:
        """Fail every question about a name from now on."""
        self._mx[name] = self._addresses[Family.V4][name] = self._addresses[Family.V6][name] = failure

    async def mx(self, name: str) -> DnsAnswer[MxHost]:
        await self._ask("MX", name)
        answer = self._mx.get(name, NXDOMAIN)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def addresses(self, name: str, family: Family) -> DnsAnswer[str]:
        await self._ask("A" if family is Family.V4 else "AAAA", name)
        answer = self._addresses[family].get(name, NXDOMAIN)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _ask(self, question: str, name: str) -> None:
        self.asked.append((question, name))
        await asyncio.sleep(0)
        if self.hold:
            await self.hold.wait()


class FakeSettling:
    """A greeting that ends with a result; `hold` keeps it waiting."""

    def __init__(self, end: Probed | Exception, *, hold: bool = False) -> None:
        self._end = end
        self.go = asyncio.Event()
        self.abandoned = False
        if not hold:
            self.go.set()

    async def settled(self) -> Probed:
        await self.go.wait()
        if isinstance(self._end, Exception):
            raise self._end
        return self._end

    def abandon(self) -> None:
        self.abandoned = True


Result = Probed | LocalFault | Exception


class FakeProber:
    """Probes by a table: one result per address, or several for as many probes of it. `hold` keeps probes waiting."""

    def __init__(self, results: Mapping[str, Result | Sequence[Result]] | None = None) -> None:
        self._results = dict(results or {})
        self.hold: asyncio.Event | None = None
        self.during: Callable[[str], Awaitable[object]] | None = None
        self.probed: list[str] = []

    async def probe(self, ip: str) -> Probed | LocalFault:
        count = self.probed.count(ip)
        self.probed.append(ip)
        await asyncio.sleep(0)
        if self.during:
            await self.during(ip)
        if self.hold:
            await self.hold.wait()
        results = self._results.get(ip, GOOD)
        result = results[count] if isinstance(results, Sequence) else results
        if isinstance(result, Exception):
            raise result
        return result


class FakeConnection:
    """A peer that sends its pieces and then closes."""

    def __init__(self, pieces: Sequence[bytes] = ()) -> None:
        self._pieces = list(pieces)
        self.sent = b""
        self.closed = False

    async def receive(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def send(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True


class FakeDialer:
    """Connects by a table: what a peer says, or why there is no connection. An address not in it accepts, and is mute.

    `hold` keeps every connection attempt waiting.
    """

    def __init__(self, peers: Mapping[str, Sequence[bytes] | ConnectProblem] | None = None) -> None:
        self.peers = dict(peers or {})
        self.hold: asyncio.Event | None = None
        self.dialled: list[tuple[str, int, float]] = []

    async def connect(self, ip: str, port: int, timeout: float) -> FakeConnection:
        self.dialled.append((ip, port, timeout))
        await asyncio.sleep(0)
        if self.hold:
            await self.hold.wait()
        peer = self.peers.get(ip, ())
        if isinstance(peer, ConnectProblem):
            raise ConnectError(peer, peer.value)
        return FakeConnection(peer)


@dataclass
class FailingCache:
    """A cache whose calls named in `failing` raise CacheError; all of them when none is named."""

    inner: MemoryCache
    failing: Collection[str] = ()
    calls: list[str] = field(default_factory=list)

    @property
    def version(self) -> int:
        return 0

    def known_for(self, reads: Collection[tuple[str, str | None]]) -> float:
        return 0.0 if reads else float("inf")

    async def get(self, key: str) -> str | None:
        self._call("get")
        return await self.inner.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        self._call("get_many")
        return await self.inner.get_many(keys)

    async def seconds_left(self, keys: Sequence[str]) -> list[float]:
        self._call("seconds_left")
        return await self.inner.seconds_left(keys)

    async def set(self, key: str, value: str, ttl: int) -> None:
        self._call("set")
        await self.inner.set(key, value, ttl)

    async def put(self, key: str, value: str, ttl: int) -> None:
        """As promised: a failure is not raised."""
        with suppress(CacheError):
            await self.set(key, value, ttl)

    async def set_if_absent(self, key: str, value: str, ttl: int) -> bool:
        self._call("set_if_absent")
        return await self.inner.set_if_absent(key, value, ttl)

    async def delete(self, key: str) -> None:
        self._call("delete")
        await self.inner.delete(key)

    def watch(self, key: str) -> AbstractContextManager[asyncio.Event | None]:
        return nullcontext()

    async def ping(self) -> None:
        self._call("ping")

    async def close(self) -> None:
        self._call("close")

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if not self.failing or name in self.failing:
            raise CacheError(f"{name} failed")
