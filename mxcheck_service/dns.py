"""DNS over aiodns (c-ares)."""

import asyncio
import math
import os
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

import aiodns.error
import pycares
from pycares import errno

from mxcheck_service.ares import LoopDriven
from mxcheck_service.core.model import Family, MxHost
from mxcheck_service.ports import DnsAnswer, DnsFailure, Found, NotFound

_T = TypeVar("_T")

_ADDRESSES: Final = {Family.V4: pycares.QUERY_TYPE_A, Family.V6: pycares.QUERY_TYPE_AAAA}
_LOOKUP_NAME = re.compile(r"[A-Za-z0-9_.-]{1,254}", re.ASCII)

# An answer that there is no such name or record, told apart from every failure to get an answer. EBADNAME is c-ares
# declining to ask for what cannot be a name (an empty label, one of 64 octets): nothing can exist there.
_NXDOMAIN: Final = frozenset({errno.ARES_ENOTFOUND, errno.ARES_EBADNAME})
_NODATA: Final = errno.ARES_ENODATA
_MOST_KEPT: Final = 5_000
"""Answers after which a channel gives way to a new one. c-ares keeps every answer for its TTL, at most an hour,
with no other bound: about 1.7 KB for each name of a long list."""
_AS_ONE: Final = 8
"""Records that weigh as much as an answer by itself. One may have thousands, if its owner likes."""

_UNASKED: Final = frozenset({errno.ARES_ENOMEM, errno.ARES_EFILE})
_SHORTEST_TRY: Final = 0.25
"""Seconds, or the time limit if that is less, that c-ares gives a server at least."""
_UNCONFIGURED: Final = ("127.0.0.1",)
_SYSTEM: Final = "/etc/resolv.conf"
"""Where the system's servers are named. c-ares reads it for a new channel, and only its own thread would look again."""
_LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at whether that has changed."""


class AresResolver:
    """A `Resolver` that asks the given servers (`ip` or `ip:port`; none: those of the system).

    A question takes `timeout` seconds times `tries` at most. `tcp`: ask over TCP only.
    """

    def __init__(self, nameservers: Sequence[str], *, timeout: float, tries: int, tcp: bool = False) -> None:
        self._limit = timeout * tries
        self._of_system = not nameservers
        self._look_at = 0.0
        self._options: dict[str, Any] = {
            "shortest_try": min(_SHORTEST_TRY, timeout),
            "nameservers": list(nameservers) or None,
            "timeout": timeout,
            "tries": _tries(timeout, tries),
            "flags": pycares.ARES_FLAG_USEVC if tcp else None,
        }
        self._channel = self._open()

    @property
    def nameservers(self) -> tuple[str, ...]:
        """The addresses of the servers, without ports."""
        return tuple(self._channel.resolver.nameservers)

    async def mx(self, name: str) -> DnsAnswer[MxHost]:
        return await self._ask(name, pycares.QUERY_TYPE_MX, _mx_host)

    async def addresses(self, name: str, family: Family) -> DnsAnswer[str]:
        answer = await self._ask(name, _ADDRESSES[family], _address)
        if not isinstance(answer, Found):
            return answer
        # Spreads the probes over equal addresses; here, so that everything after it is deterministic.
        return Found(tuple(random.sample(answer.records, len(answer.records))))

    async def close(self) -> None:
        await self._channel.resolver.close()

    def _open(self) -> "_Channel":
        configured = _configured()  # before it is read: what changes meanwhile is seen at the next look
        return _Channel(LoopDriven(**self._options), configured)

    def _renewed(self) -> "_Channel":
        """Return a new channel, or the former as long as the new one does not know whom to ask.

        Without a file descriptor left c-ares cannot read resolv.conf, says nothing, and asks this host ever after.
        """
        former, fresh = self._channel, self._open()
        nobody = tuple(fresh.resolver.nameservers) == _UNCONFIGURED != tuple(former.resolver.nameservers)
        return former if nobody and not _is_this_host_named() else fresh

    def _is_outdated(self) -> bool:
        """Tell whether the channel has enough answers, or the system has been given other servers."""
        if self._channel.kept >= _MOST_KEPT:
            return True
        now = asyncio.get_running_loop().time()
        if not self._of_system or now < self._look_at:
            return False
        self._look_at = now + _LOOK_AGAIN
        return self._channel.configured != _configured()

    async def _ask(self, name: str, question: int, read: Callable[[Any], _T]) -> DnsAnswer[_T]:
        """Return what `read` makes of the data of each record of the type asked for."""
        if not _LOOKUP_NAME.fullmatch(name):
            return NotFound(nxdomain=True)
        if self._is_outdated():
            self._channel = self._renewed()
        channel = self._channel
        channel.kept += 1
        channel.open += 1
        try:
            query = channel.resolver.ask(name, question, lambda answer: _Told.by(answer, question, read))
            # What is over by now came out of the memory of c-ares, or there was no socket to ask by.
            at_once = query.done()
            async with asyncio.timeout(self._limit):
                told = await query
        except aiodns.error.DNSError as error:
            code = error.args[0]
            if code in _NXDOMAIN or code == _NODATA:
                return NotFound(nxdomain=code in _NXDOMAIN)
            reason = errno.errorcode.get(code, str(code)).removeprefix("ARES_E")
            return DnsFailure(reason, unasked=at_once or code in _UNASKED)
        except TimeoutError:
            return DnsFailure("TIMEOUT")
        finally:
            channel.open -= 1
            if not channel.open and channel is not self._channel:
                await channel.resolver.close()
        channel.kept += told.length // _AS_ONE
        return Found(told.records) if told.records else NotFound(nxdomain=False)


class _Told(NamedTuple, Generic[_T]):
    """What an answer tells: the records of the type asked for, each once (RFC 2181 section 5: they are a set).

    It may also hold the CNAME records that led to them, or nothing else, which is NODATA. `length`: of all records.
    """

    records: tuple[_T, ...]
    length: int

    @classmethod
    def by(cls, answer: pycares.DNSResult, question: int, read: Callable[[Any], _T]) -> Self:
        records = dict.fromkeys(read(record.data) for record in answer.answer if record.type == question)
        return cls(tuple(records), len(answer.answer))


def _mx_host(data: Any) -> MxHost:
    return MxHost(data.priority, data.exchange.removesuffix("."))


def _address(data: Any) -> str:
    return str(data.addr)


def _tries(timeout: float, tries: int) -> int:
    """Return how often c-ares has to ask, so that it does not give up before `timeout` seconds times `tries`.

    It lowers the time of a first try to what a server that has been quick lately may need, 250 ms at the least, doubles
    it with each further one, and makes each of these shorter by up to a half, at random. A resolver with all but the
    name at hand is quick; this name may need it all, and the answer to an earlier try is not taken.
    """
    shortest = min(_SHORTEST_TRY, timeout)
    return max(tries, math.ceil(math.log2(timeout * tries / shortest)) + 1)


def _configured() -> tuple[int, int, int] | None:
    """Return what differs when the file that names the system's servers has been written; None: there is none."""
    try:
        found = os.stat(_SYSTEM)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _is_this_host_named() -> bool:
    """Tell whether the system names the server that c-ares takes when it knows of none."""
    try:
        with open(_SYSTEM, encoding="latin-1") as lines:
            return any(line.split()[:2] == ["nameserver", *_UNCONFIGURED] for line in lines)
    except OSError:
        return False


class _Channel:
    """One c-ares channel: how many answers it may keep, by their weight, how many questions are open, and what the file
    was that names the system's servers."""

    def __init__(self, resolver: LoopDriven, configured: tuple[int, int, int] | None) -> None:
        self.resolver = resolver
        self.configured = configured
        self.kept = self.open = 0
