"""Asks every primary about itself, and tries what the service does with the cache."""

import asyncio
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mxcheck_service.cache.servers import Servers
from mxcheck_service.cache.tracking import hear
from mxcheck_service.cache_url import Address
from mxcheck_service.config import mask_url
from mxcheck_service.core.limits import limits
from mxcheck_service.doctor.facts import CacheFacts, Lost, RedisServer
from mxcheck_service.ports import Clock
from mxcheck_service.settings import Settings

T = TypeVar("T")

_ROUND_TRIPS: Final = 21
_SECONDS_KEPT: Final = 1
_SIGN_ON: Final = ("NOAUTH", "WRONGPASS", "AUTH", "invalid username-password")


async def examine_redis(settings: Settings, servers: Servers, clock: Clock) -> CacheFacts:
    """Ask all primaries, and try each command that the service needs on a key of its own, which goes at once."""
    try:
        async with asyncio.timeout(settings.cache.timeout):
            primaries = await servers.primaries()
    except (RedisError, OSError) as error:
        return CacheFacts(lost=_reason(error), detail=_text(error))
    asked = [_server(settings, servers, primary, clock) for primary in sorted(primaries)]
    found = await asyncio.gather(*asked)
    reached = all(server.lost is None for server in found)
    return CacheFacts(tuple(found), refused=await _refused(settings, servers) if reached else {})


async def _server(settings: Settings, servers: Servers, primary: Address, clock: Clock) -> RedisServer:
    name = f"{primary[0]}:{primary[1]}" if primary[0] else mask_url(settings.cache.url)
    limit = settings.cache.timeout
    async with servers.listener(primary) as client:

        async def ask(call: Callable[[], Awaitable[T]]) -> T | None:
            """Return the reply; None when it may not be asked for."""
            try:
                async with asyncio.timeout(limit):
                    return await call()
            except ResponseError:
                return None

        try:
            trips = await _round_trips(client, clock, limit)
            information = await ask(client.info) or {}
            keys = await ask(client.dbsize)
            ahead = await ask(lambda: _ahead(client))
        except (RedisError, OSError) as error:
            return RedisServer(name, _reason(error), _text(error))
    return RedisServer(
        name,
        version=information.get("redis_version"),
        round_trip=statistics.median(trips),
        keys=keys,
        max_memory=information.get("maxmemory"),
        eviction=information.get("maxmemory_policy"),
        ahead=ahead,
        tracking=await _tracking(settings, servers, primary),
    )


async def _round_trips(client: Redis, clock: Clock, limit: float) -> list[float]:
    trips = []
    for _ in range(_ROUND_TRIPS):
        begun = clock.monotonic()
        async with asyncio.timeout(limit):
            await client.ping()
        trips.append(clock.monotonic() - begun)
    return trips[1:]  # the first one connects


async def _ahead(client: Redis) -> float:
    """Return its clock less ours, half of the round trip allowed for."""
    before = time.time()
    seconds, microseconds = await client.time()
    return float(seconds + microseconds / 1e6 - (before + time.time()) / 2)


async def _tracking(settings: Settings, servers: Servers, primary: Address) -> str:
    """Return why the server does not tell of changes; empty when it does."""
    if not settings.cache.near_entries:
        return ""
    try:
        async with hear(servers.listener(primary), f"{settings.mx_check.key_prefix}:") as heard:
            # The subscription may be refused too, which its confirmation tells.
            confirmed = await heard.get_message(timeout=settings.cache.timeout)
            return "" if confirmed else "it does not confirm the subscription"
    except (RedisError, OSError) as error:
        return _text(error)


async def _refused(settings: Settings, servers: Servers) -> Mapping[str, str]:
    key = f"{settings.mx_check.key_prefix}:doctor:{secrets.token_hex(8)}"
    commands: dict[str, tuple[Any, ...]] = {
        "SET": ("SET", key, b"0", "EX", _SECONDS_KEPT, "NX"),
        "GET": ("GET", key),
        **({"INCRBY": ("INCRBY", key, 1)} if limits(settings.improvements) else {}),
        "PTTL": ("PTTL", key),
        "DEL": ("DEL", key),
    }
    try:
        replies = await servers.execute(list(commands.values()))
    except (RedisError, OSError) as error:
        return {"commands": _text(error)}
    return {name: _text(reply) for name, reply in zip(commands, replies, strict=True) if isinstance(reply, Exception)}


def _reason(error: Exception) -> Lost:
    text = str(error)
    if isinstance(error, AuthenticationError) or any(sign in text for sign in _SIGN_ON):
        return Lost.SIGN_ON
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return Lost.SILENT
    if isinstance(error, RedisConnectionError | OSError):
        return Lost.UNREACHABLE
    return Lost.OTHER


def _text(error: Exception) -> str:
    return str(error) or "no answer in time"
