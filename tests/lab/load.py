"""A steady load on a service whose every reply is held to the truth, and every request accounted for.

    senders = Senders(dns_server, smtp_peers)
    load = Load(service.url, senders, rate=50, deadline=3.0)
    async with load.flowing():
        await load.flow(5)
    assert [one for one in load.requests if one.judged(load.patience) is not Judged.TRUE] == []

The loop is open: a request is sent when its time has come, whether or not those before it were answered. Half of them
are for domains that are asked for all the time, three in ten for one that nobody has asked for before, and two in ten
for one of these once more, so that what a fault has left in the cache is seen.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

import aiohttp

from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.smtp import SmtpPeers
from tests.lab.waiting import Changes

SLACK: Final = 1.0
"""Seconds that a reply may take beyond its deadline on a busy machine, client and lab included."""
_GIVEN_UP: Final = 10.0
"""Seconds after the deadline when a reply is waited for no longer."""
_COSTS_NOTHING: Final = frozenset({"inflight", "redis_error", "unavailable", "ratelimited", "df"})
"""Verdicts that say 'not known': they tell nothing about the sender, whatever became of us."""
_MIX: Final = ("warm", "cold", "warm", "again", "warm", "cold", "warm", "again", "warm", "cold")
_FIRST_NETWORK: Final = 16
"""The mail hosts are at 127.16.0.1, 127.16.1.1, …: each in a network of its own, so that no limit of probes is met."""

Mix = Literal["warm", "cold", "again"]


class Truth(NamedTuple):
    """What a check of such a domain has to say."""

    verdict: str
    symbol: str
    score: float
    action: str


class Kind(Enum):
    """The domains that are asked for."""

    GOOD = Truth("gd", "MX_GOOD", -0.1, "no action")
    REFUSED = Truth("rf", "MX_REFUSED", 3.0, "greylist")
    NONE = Truth("no", "MX_NONE", 4.0, "greylist")


_KINDS: Final = (Kind.GOOD, Kind.GOOD, Kind.REFUSED, Kind.GOOD, Kind.NONE)
"""The kinds in turn: mail from the good is what a fault of ours could hurt."""


class Domain(NamedTuple):
    name: str
    kind: Kind


class Judged(Enum):
    """What a request came to."""

    TRUE = "the truth"
    NOT_KNOWN = "said that it is not known, at no cost to the sender"
    WRONG = "told something else than the truth"
    FAILED = "no reply, none in time, or not 200"


@dataclass(slots=True)
class Request:
    """One request: when it was sent and answered (monotonic seconds), and what came of it.

    `ended` is None while it is under way; `problem` tells why there is no reply.
    """

    domain: Domain
    mix: Mix
    sent: float
    ended: float | None = None
    status: int = 0
    body: Any = None
    problem: str = ""

    @property
    def seconds(self) -> float:
        """How long it took; infinity while it is under way."""
        return float("inf") if self.ended is None else self.ended - self.sent

    def judged(self, patience: float) -> Judged:
        """Hold it to the truth; a reply later than `patience` seconds is none."""
        if self.status != 200 or self.seconds > patience:
            return Judged.FAILED
        try:
            (told,) = self.body["domains"]
            said = Truth(told["verdict"], "+".join(self.body["symbols"]), self.body["score"], self.body["action"])
        except (KeyError, TypeError, ValueError):
            return Judged.WRONG
        if said == self.domain.kind.value:
            return Judged.TRUE
        costs_nothing = said.verdict in _COSTS_NOTHING and said.score <= 0 and said.action == "no action"
        return Judged.NOT_KNOWN if costs_nothing else Judged.WRONG


class Senders:
    """Domains whose truth is known, made when they are wanted: their DNS records and mail hosts."""

    def __init__(self, server: DnsServer, peers: SmtpPeers, *, warm: int = 10) -> None:
        self._dns = server
        self._peers = peers
        self._made = 0
        self.warm = [self.new() for _ in range(warm)]
        self.cold: list[Domain] = []

    def new(self) -> Domain:
        """Make one that nobody has asked for yet, of the kind whose turn it is."""
        number, kind = self._made, _KINDS[self._made % len(_KINDS)]
        self._made += 1
        name = f"{kind.name.lower()}{number}.test"
        if kind is not Kind.NONE:
            address = f"127.{_FIRST_NETWORK + number // 256}.{number % 256}.1"
            self._dns.set(name, "MX", dns.mx((10, f"mx.{name}")))
            self._dns.set(f"mx.{name}", "A", dns.a(address))
            if kind is Kind.GOOD:
                self._peers.add(scripts.good(), address=address)
        return Domain(name, kind)

    def pick(self, number: int) -> tuple[Domain, Mix]:
        """Return the domain of the n-th request."""
        mix: Mix = _MIX[number % len(_MIX)]
        if mix == "warm" or (mix == "again" and not self.cold):
            return self.warm[number % len(self.warm)], "warm"
        if mix == "cold":
            self.cold.append(self.new())
            return self.cold[-1], "cold"
        # A prime apart, so that all of them come up sooner or later.
        return self.cold[number * 7919 % len(self.cold)], "again"


class Load:
    """The load; `rate` is requests a second, `deadline` the seconds that each gives the service."""

    def __init__(self, url: str, senders: Senders, *, rate: float = 50.0, deadline: float = 3.0) -> None:
        self._url = f"{url}/v1/check"
        self._senders = senders
        self._rate = rate
        self._deadline = deadline
        self._changes = Changes()
        self._sending = asyncio.Event()
        self._sending.set()
        self._under_way: set[asyncio.Task[None]] = set()
        self.requests: list[Request] = []

    @property
    def deadline(self) -> float:
        return self._deadline

    @property
    def patience(self) -> float:
        """Seconds after which a reply is too late."""
        return self._deadline + SLACK

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Keep the load up within the block; on leaving, every request under way is seen to its end."""
        # A name of the service has one address, and a connection is not to wait for another one to become free.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            sending = asyncio.create_task(self._send(session))
            try:
                yield
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                await asyncio.gather(*self._under_way)
        if not sending.cancelled():
            sending.result()

    def hold(self) -> None:
        """Send nothing more until `resume`, as a load balancer does for a server that is not ready."""
        self._sending.clear()

    def resume(self) -> None:
        """Send again."""
        self._sending.set()

    async def flow(self, seconds: float) -> None:
        """Let it flow for so long."""
        await asyncio.sleep(seconds)

    async def all_true(self, replies: int, within: float) -> bool:
        """Wait until the last so many of the replies to what is sent from now on are the truth; False: not in time."""
        since = time.monotonic()

        def steady() -> bool:
            done = [one for one in self.requests if one.sent >= since and one.ended is not None]
            return len(done) >= replies and all(
                one.judged(self.patience) is Judged.TRUE for one in sorted(done, key=_ended)[-replies:]
            )

        try:
            await self._changes.wait_until(steady, within)
        except AssertionError:
            return False
        return True

    def judged(self, which: Callable[[Request], bool] = lambda _: True) -> dict[Judged, int]:
        """Return how many of the requests came to what; together they are all that were sent."""
        counts = dict.fromkeys(Judged, 0)
        for one in filter(which, self.requests):
            counts[one.judged(self.patience)] += 1
        return counts

    async def _send(self, session: aiohttp.ClientSession) -> None:
        number, due = 0, time.monotonic()
        while True:
            if not self._sending.is_set():
                await self._sending.wait()
                due = time.monotonic()
            task = asyncio.create_task(self._ask(session, *self._senders.pick(number)))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            number, due = number + 1, due + 1 / self._rate
            await asyncio.sleep(due - time.monotonic())

    async def _ask(self, session: aiohttp.ClientSession, domain: Domain, mix: Mix) -> None:
        request = Request(domain, mix, time.monotonic())
        self.requests.append(request)
        body = {"sender": f"user@{domain.name}", "deadline_ms": round(self._deadline * 1000)}
        timeout = aiohttp.ClientTimeout(total=self._deadline + _GIVEN_UP)
        try:
            async with session.post(self._url, json=body, timeout=timeout) as response:
                request.body = await response.json(content_type=None)
                request.status = response.status
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            request.problem = f"{type(error).__name__}: {error}"
        request.ended = time.monotonic()
        self._changes.notify()


def _ended(request: Request) -> float:
    return request.sent + request.seconds
