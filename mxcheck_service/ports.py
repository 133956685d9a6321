"""Every seam to the world outside the process, on one page.

Adapters implement these; the pipeline knows nothing else of them. An adapter raises no error of its library: what can
go wrong is part of the answer, or `CacheError` and `ConnectError`.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from mxcheck_service.core.model import Family, MxHost, Outcome

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A DNS answer with at least one record of the type asked for."""

    records: tuple[T, ...]


@dataclass(frozen=True, slots=True)
class NotFound:
    """An answer that there is none: NXDOMAIN, or NODATA when the name exists."""

    nxdomain: bool


@dataclass(frozen=True, slots=True)
class DnsFailure:
    """No usable answer (SERVFAIL, REFUSED, timeout, ...): says nothing about the name.

    `unasked`: this host had no socket to ask by.
    """

    reason: str
    unasked: bool = field(default=False, compare=False)


DnsAnswer = Found[T] | NotFound | DnsFailure


class Resolver(Protocol):
    async def mx(self, name: str) -> DnsAnswer[MxHost]:
        """Ask for MX records. The root as exchange is the empty string."""
        ...

    async def addresses(self, name: str, family: Family) -> DnsAnswer[str]:
        """Ask for A or AAAA records, in an order shuffled anew each time."""
        ...


class ConnectProblem(StrEnum):
    """Why no connection came about. LOCAL is a fault on our side of the network; WITHHELD: such a fault is supposed, so
    it was not tried, or its failure is not believed. EXHAUSTED: this process has no room for a socket, which tells
    nothing about any network."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    LOCAL = "local"
    EXHAUSTED = "exhausted"
    WITHHELD = "withheld"


class ConnectError(Exception):
    """A connection could not be made."""

    def __init__(self, problem: ConnectProblem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


class Connection(Protocol):
    """An open TCP connection. Both calls raise OSError once it is of no more use."""

    async def receive(self) -> bytes:
        """Return what has arrived, waiting for at least one octet; empty when the peer has closed."""
        ...

    async def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Dialer(Protocol):
    async def connect(self, ip: str, port: int, timeout: float) -> Connection:
        """Open a TCP connection within `timeout` seconds; raises ConnectError."""
        ...


class Settling(Protocol):
    """A greeting that is still to come, on a connection that is open until one of these has been called."""

    async def settled(self) -> "Probed":
        """Wait for it as long as makes sense; return what the probe told in the end, and close."""
        ...

    def abandon(self) -> None:
        """Close. After the end this does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe told about its target, the greeting lines it was told by, and the seconds until it was connected.

    With `settling` the outcome is provisional.
    """

    outcome: Outcome
    greeting: tuple[bytes, ...] = ()
    connect_seconds: float | None = field(default=None, compare=False)
    settling: Settling | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LocalFault:
    """The probe told nothing: our own network kept it from the target.

    `withheld`: the system has reported nothing. The network is supposed to be at fault, since others could not be
    reached, or there is no place for one more connection.
    """

    reason: str
    withheld: bool = False


class Prober(Protocol):
    async def probe(self, ip: str) -> Probed | LocalFault:
        """Connect to the address and judge what answers."""
        ...


class CacheError(Exception):
    """The cache could not be read or written."""


class CacheBackend(Protocol):
    """Keys and values as text (octets 0-255), lifetimes in seconds. Every call that waits raises CacheError."""

    @property
    def version(self) -> int:
        """Another number than before whenever something that was known (`known_for`) may not be known any more."""
        ...

    def known_for(self, reads: Collection[tuple[str, str | None]]) -> float:
        """Return for how many seconds more the process knows, without asking, that each key holds just this value.

        None stands for an absent key; 0: the process does not know.
        """
        ...

    async def get(self, key: str) -> str | None: ...

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """Return the values in the order of `keys`; None for a key that is absent or of another type."""
        ...

    async def seconds_left(self, keys: Sequence[str]) -> list[float]:
        """Return how long each key has to live: infinity for one without end, 0 for an absent one."""
        ...

    async def set(self, key: str, value: str, ttl: int) -> None: ...

    async def put(self, key: str, value: str, ttl: int) -> None:
        """Set the key without waiting for it; whatever is asked later finds it set. A failure is logged, not raised."""
        ...

    async def set_if_absent(self, key: str, value: str, ttl: int) -> bool:
        """Set the key only if it does not exist; tell whether it was set."""
        ...

    async def delete(self, key: str) -> None: ...

    async def count(self, keys: Sequence[str], by: int, ttl: int) -> list[int]:
        """Add to the number under each key, 0 if it is absent, and return what it is then, in the order of `keys`.

        Nobody's addition is lost to another's. A key that comes about lives `ttl` seconds from then on.
        """
        ...

    def watch(self, key: str) -> AbstractContextManager[asyncio.Event | None]:
        """Yield an event that is set when the key may have changed; None: nothing tells, one has to look."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


class Clock(Protocol):
    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        ...

    def time(self) -> float:
        """Return seconds since 1970, which other machines count, too; may jump."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The clock of the process."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
