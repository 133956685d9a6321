"""Typed access to the layers `d:`, `m:` and `i:`, and the probe lock in `i:` (reference: cache_get, cache_set, *_lock).

The cache may fail at any time. A failed read is a miss and a failed write is lost; only a failed claim is told, since a
probe without its lock could become a herd.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from mxcheck_service.core import codec
from mxcheck_service.core.codec import LOCK, AddressEntry, DomainEntry, HostEntry, Slot
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.core.policy import lock_ttl, provisional_ttl, verdict_ttl
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.ports import CacheBackend, CacheError
from mxcheck_service.trace import Fact, Trace

_log = logging.getLogger(__name__)


_GOOD: Final = Outcome(Verdict.GOOD)


class Claim(StrEnum):
    """How a claim of the probe lock ended, when it did not end with somebody's verdict."""

    WON = "won"
    HELD = "held"
    FAILED = "failed"


Layer = Literal["d", "m", "i"]
Decoded = DomainEntry | HostEntry | AddressEntry | None
"""What a value says; None for what is outside the grammar."""
DECODE: Final[Mapping[Layer, Callable[[str], Decoded]]] = {
    "d": codec.decode_domain,
    "m": codec.decode_host,
    "i": codec.decode_address,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands under a key. `left`: seconds to its end, infinity for none. `age`: seconds since it was written, as
    far as the settings tell how long it lives; None when they do not. `near`: this process answers it from memory."""

    key: str
    value: str
    decoded: Decoded
    left: float
    age: float | None
    near: bool


class CacheLayers:
    """The layers under one set of settings. Safe to build anew at any time: all state is in the backend."""

    def __init__(self, backend: CacheBackend, settings: MxCheckSettings, improvements: Improvements) -> None:
        self._backend = backend
        self._settings = settings
        self._prefix = settings.key_prefix
        self._dns_ttl = settings.expire_dns
        fail_ttl = improvements.expire_dns_fail
        self._dns_fail_ttl = settings.expire_dns if fail_ttl is None else fail_ttl
        self._provisional_ttl = provisional_ttl(settings, improvements)
        self._is_provisional_at_times = settings.verify_greeting and improvements.slow_greeting is not None

    async def domain(self, domain: str, trace: Trace) -> DomainEntry | None:
        """Return the `d:` entry of a domain."""
        if not self._dns_ttl:
            return None
        (value,) = await self._read("d", [domain], trace)
        return None if value is None else codec.decode_domain(value)

    async def store_domain(self, domain: str, entry: DomainEntry) -> None:
        await self._store_dns(self._key("d", domain), entry, codec.encode(entry, implicit=True))

    async def hosts(self, names: Sequence[str], trace: Trace) -> list[HostEntry | None]:
        """Return the `m:` entries of several hosts, in their order."""
        if not self._dns_ttl:
            return [None] * len(names)
        values = await self._read("m", names, trace)
        return [None if value is None else codec.decode_host(value) for value in values]

    async def store_host(self, name: str, entry: HostEntry) -> None:
        await self._store_dns(self._key("m", name), entry, codec.encode(entry))

    async def addresses(self, ips: Sequence[str], trace: Trace) -> list[AddressEntry | None]:
        """Return the `i:` entries of several addresses, in their order."""
        values = await self._read("i", ips, trace)
        return [None if value is None else codec.decode_address(value) for value in values]

    async def store_verdict(self, ip: str, outcome: Outcome) -> None:
        """Write a verdict over the lock, with the lifetime of its kind."""
        await self._backend.put(self._key("i", ip), codec.encode(outcome), verdict_ttl(self._settings, outcome))

    async def store_provisional(self, ip: str, outcome: Outcome) -> None:
        """Write a verdict over the lock that is to be overwritten when the greeting has come, or has not."""
        await self._backend.put(self._key("i", ip), codec.encode(outcome), self._provisional_ttl)

    async def claim(self, ip: str) -> Claim | Outcome:
        """Claim the probe of an address; an Outcome is a verdict that another worker has published meanwhile."""
        key = self._key("i", ip)
        try:
            if await self._backend.set_if_absent(key, LOCK, lock_ttl(self._settings)):
                return Claim.WON
            value = await self._backend.get(key)
        except CacheError as error:
            _log.error("probe lock of %s: %s", ip, error)
            return Claim.FAILED
        match codec.decode_address(value or ""):
            case Outcome() as outcome:
                return outcome
            case Slot.GARBAGE:
                return await self.force_claim(ip)
            case _:
                return Claim.HELD

    async def force_claim(self, ip: str) -> Claim:
        """Write the lock over whatever stands there. For garbage only, which would fail every ordinary claim."""
        try:
            await self._backend.set(self._key("i", ip), LOCK, lock_ttl(self._settings))
        except CacheError as error:
            _log.error("probe lock of %s: %s", ip, error)
            return Claim.FAILED
        return Claim.WON

    async def claim_task(self, layer: str, name: str, seconds: float) -> bool:
        """Claim to ask about a name for all workers, while its own entry cannot hold a lock.

        Nobody gives it up: the claim ends after so many seconds. When the cache fails everybody wins.
        """
        try:
            return await self._backend.set_if_absent(self._key(f"r:{layer}", name), LOCK, math.ceil(seconds))
        except CacheError as error:
            _log.debug("claim of %s %s: %s", layer, name, error)
            return True

    async def count(self, window: int, names: Sequence[str], seconds: int, *, by: int = 1) -> list[int]:
        """Add to the numbers that a window has by these names, and return them; raises CacheError.

        A number lives for so many seconds. Its key (`p:`) is of no layer: the reference has none like it.
        """
        return await self._backend.count([self._key("p", f"{window}:{name}") for name in names], by, seconds)

    async def release(self, ip: str) -> None:
        """Give a lock up without a verdict. Only for its holder, while it holds."""
        try:
            await self._backend.delete(self._key("i", ip))
        except CacheError as error:
            _log.error("probe lock of %s: not released, it expires: %s", ip, error)

    async def take_back(self, ips: Sequence[str], verdict: Verdict) -> int:
        """Delete this verdict on those of the addresses that still have it; return how many had it.

        One that another worker publishes in between goes with it, which costs a probe and no more.
        """
        keys = [self._key("i", ip) for ip in ips]
        try:
            values = await self._backend.get_many(keys)
            stale = [key for key, value in zip(keys, values, strict=True) if value == codec.encode(Outcome(verdict))]
            await asyncio.gather(*map(self._backend.delete, stale))
        except CacheError as error:
            _log.error("verdicts %s on %d addresses: not taken back, they expire: %s", verdict, len(ips), error)
            return 0
        return len(stale)

    async def forget_failures(self, entries: Collection[tuple[Layer, str]]) -> None:
        """Delete those of these entries of DNS layers that say that DNS has failed."""
        keys = [self._key(layer, name) for layer, name in entries]
        failure = codec.encode(Verdict.DNS_FAIL)
        try:
            values = await self._backend.get_many(keys)
            stale = [key for key, value in zip(keys, values, strict=True) if value == failure]
            await asyncio.gather(*map(self._backend.delete, stale))
        except CacheError as error:
            _log.error("DNS answers again, but %d failures stay cached until they expire: %s", len(keys), error)
            return
        _log.warning("DNS answers again: %d failures of the time when it answered nothing are forgotten", len(stale))

    def known_for(self, key: str, value: str) -> float:
        """Return for how many seconds more a key is known to hold a value (see `CacheBackend.known_for`)."""
        return self._backend.known_for([(key, value)])

    def taken_apart(self, key: str) -> tuple[str, str]:
        """Return the layer (`d`, `m` or `i`) and the name of a key."""
        layer, _, name = key.removeprefix(f"{self._prefix}:").partition(":")
        return layer, name

    async def entry(self, layer: Layer, name: str) -> Entry | None:
        """Return what the cache itself holds for a name, whatever is kept near; raises CacheError."""
        key = self._key(layer, name)
        value = await self._backend.get(key)
        (left,) = await self._backend.seconds_left([key])
        if value is None or not left:
            return None
        decoded = DECODE[layer](value)
        return Entry(key, value, decoded, left, self._age(decoded, left), self.known_for(key, value) > 0)

    async def purge(self, layer: Layer, name: str) -> str:
        """Delete what the cache holds for a name, and return the key; raises CacheError."""
        key = self._key(layer, name)
        await self._backend.delete(key)
        return key

    def watch(self, layer: str, name: str) -> AbstractContextManager[asyncio.Event | None]:
        """Yield an event that is set when an entry may have changed; None: nothing tells."""
        return self._backend.watch(self._key(layer, name))

    def _key(self, layer: str, name: str) -> str:
        return f"{self._prefix}:{layer}:{name}"

    async def _store_dns(self, key: str, entry: DomainEntry | HostEntry, value: str) -> None:
        ttl = self._lifetime(entry)
        if self._dns_ttl and ttl:
            await self._backend.put(key, value, ttl)

    def _lifetime(self, decoded: Decoded) -> int | None:
        """Return for how many seconds such an entry is written; None for what is not written here."""
        match decoded:
            case None | Slot.GARBAGE:
                return None
            case Slot.LOCKED:
                return lock_ttl(self._settings)
            case Outcome() as outcome:
                return verdict_ttl(self._settings, outcome)
            case Verdict.DNS_FAIL:
                return self._dns_fail_ttl
            case _:
                return self._dns_ttl

    def _age(self, decoded: Decoded, left: float) -> float | None:
        lifetime = self._lifetime(decoded)
        if self._is_provisional_at_times and decoded == _GOOD and left <= self._provisional_ttl:
            # It may be one that has just been written for so long.
            return None
        return lifetime - left if lifetime and 0 < left <= lifetime else None

    async def _read(self, layer: Layer, names: Sequence[str], trace: Trace) -> list[str | None]:
        keys = [self._key(layer, name) for name in names]
        since = trace.elapsed() if trace.explain else None
        try:
            values = await self._backend.get_many(keys)
        except CacheError as error:
            _log.debug("cache read %s: %s", keys, error)
            values = [None] * len(keys)
        told = await self._ages(layer, keys, values) if trace.explain else {}
        for name, key, value in zip(names, keys, values, strict=True):
            trace.read(layer, name, key, value, since=since, **told.get(key, {}))
        return values

    async def _ages(
        self, layer: Layer, keys: Sequence[str], values: Sequence[str | None]
    ) -> dict[str, dict[str, Fact]]:
        """Return what is to be told of the entries that were found: how old they are, and how long they will last."""
        found = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        try:
            left = await self._backend.seconds_left(list(found)) if found else []
        except CacheError as error:
            _log.debug("cache ages %s: %s", list(found), error)
            return {}
        return {
            key: {"age_s": _seconds(self._age(DECODE[layer](value), rest)), "left_s": _seconds(rest)}
            for (key, value), rest in zip(found.items(), left, strict=True)
        }


def _seconds(seconds: float | None) -> float | None:
    return None if seconds is None or math.isinf(seconds) else round(seconds, 3)
