"""Hears from Redis which keys have changed, and keeps the near cache in step.

One connection to each primary does all: it redirects the invalidations of every key below the prefix to itself and
subscribes to them, so that losing it loses both at once. While one is lost, or others have become primaries, the near
cache is empty and unused.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from mxcheck_service.cache.exchange import UNREADABLE
from mxcheck_service.cache.near import NearCache
from mxcheck_service.cache.servers import Servers
from mxcheck_service.ports import Clock

_log = logging.getLogger(__name__)

_CHANNEL: Final = "__redis__:invalidate"
HEARTBEAT: Final = 1.0
"""Seconds without a word after which the connection is tried; it must answer within as many again."""
LONGEST_PAUSE: Final = 5.0
"""Seconds between attempts to connect: from a tenth of a second up to this, doubling."""


async def track(servers: Servers, near: NearCache, prefix: str, clock: Clock, *, untold: float = 0.0) -> None:
    """Keep `near` in step with the servers for as long as this runs.

    Returns when one of them does not do tracking; what is read is then kept for `untold` seconds at most.
    """
    try:
        await _track(servers, near, prefix, clock)
    except ResponseError as error:
        kept = f"what it holds is kept near for {untold:g} s at most" if untold else "nothing is kept near"
        _log.warning("Redis does not tell of changes, so %s: %s", kept, error)
        if untold:
            near.begin(untold)


async def _track(servers: Servers, near: NearCache, prefix: str, clock: Clock) -> None:
    pause = 0.1
    while True:
        try:
            async with AsyncExitStack() as stack:
                heard = await servers.primaries()
                subscribed = [await stack.enter_async_context(hear(servers.listener(one), prefix)) for one in heard]
                near.begin()
                pause = 0.1
                await _first_end(servers.changed(heard, HEARTBEAT), *(_listen(pubsub, near) for pubsub in subscribed))
        except ResponseError:
            raise
        except (RedisError, OSError, *UNREADABLE) as error:
            _log.debug("invalidations are lost: %s", error)
        finally:
            near.end()
        await clock.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _first_end(*endless: Coroutine[None, None, None]) -> None:
    """Run all until one of them ends or raises, which this does then too; the others are cancelled."""
    tasks = [asyncio.create_task(each) for each in endless]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def hear(client: Redis, prefix: str) -> AsyncIterator[Any]:
    """Subscribe to the changes at one server; raises RedisError and OSError, ResponseError when it is not allowed.

    `client`, which is closed in the end, speaks RESP2, in which changes are messages of a channel.
    """
    async with client, client.pubsub() as pubsub:
        async with asyncio.timeout(2 * HEARTBEAT):
            await _subscribe(pubsub, prefix)
        yield pubsub


async def _subscribe(pubsub: Any, prefix: str) -> None:
    await pubsub.connect()
    connection = pubsub.connection
    await connection.send_command("CLIENT", "ID")
    own_id = await connection.read_response()
    await connection.send_command("CLIENT", "TRACKING", "ON", "REDIRECT", str(own_id), "BCAST", "PREFIX", prefix)
    await connection.read_response()
    await pubsub.subscribe(_CHANNEL)


async def _listen(pubsub: Any, near: NearCache) -> None:
    """Pass on what is heard; raises RedisError or OSError (TimeoutError too) when nothing can be heard any more."""
    tried = False
    while True:
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=HEARTBEAT)
        if message is None:
            # Subscription confirmations come as None as well, and cost one heartbeat more.
            if tried:
                raise TimeoutError("no answer to a heartbeat")
            await pubsub.ping()
            tried = True
        else:
            tried = False
            keys = message["data"]
            # Whoever may publish can say something else on this channel; of Redis it is a list or nothing.
            if message["type"] == "message" and isinstance(keys, list | None):
                near.forget(None if keys is None else [key.decode("utf-8", "replace") for key in keys])
