"""Hears from Redis which keys have changed, and keeps the near cache in step.

One connection does all: it redirects the invalidations of every key below the prefix to itself and subscribes to them,
so that losing it loses both at once. While it is lost the near cache is empty and unused.
"""

import logging
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from mxcheck_service.cache.near import NearCache
from mxcheck_service.ports import Clock

_log = logging.getLogger(__name__)

_CHANNEL: Final = "__redis__:invalidate"
HEARTBEAT: Final = 1.0
"""Seconds without a word after which the connection is tried; it must answer within as many again."""
LONGEST_PAUSE: Final = 5.0
"""Seconds between attempts to connect: from a tenth of a second up to this, doubling."""


async def track(client: Redis, near: NearCache, prefix: str, clock: Clock) -> None:
    """Keep `near` in step with the server for as long as this runs; returns when the server does not do tracking.

    `client` speaks RESP2, in which invalidations are messages of a channel.
    """
    pause = 0.1
    while True:
        try:
            async with client.pubsub() as pubsub:
                await _subscribe(pubsub, prefix)
                near.begin()
                pause = 0.1
                await _listen(pubsub, near)
        except ResponseError as error:
            _log.warning("Redis does not tell of changes, so nothing is kept near: %s", error)
            return
        except (RedisError, OSError) as error:
            _log.debug("invalidations are lost: %s", error)
        finally:
            near.end()
        await clock.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


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
            if message["type"] == "message":
                keys = message["data"]
                near.forget(None if keys is None else [key.decode("latin-1") for key in keys])
