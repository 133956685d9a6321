"""Commands to one Redis server and its replies, on a connection of redis-py's.

What redis-py's pipelines do, less what a pipeline of plain commands can do without: its encoder and a time limit for
every single reply cost several times what is done here.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

Command = tuple[str | bytes | int, ...]


async def exchange(pool: ConnectionPool, commands: Sequence[Command], timeout: float) -> list[Any]:
    """Return the reply to each command in order, a ResponseError in place of one that was refused.

    Within `timeout` seconds for all; raises RedisError, and OSError, of which TimeoutError is one. On a connection that
    the server has closed meanwhile it is tried once more, so that a restarted server costs nobody an error.
    """
    async with asyncio.timeout(timeout):
        try:
            return await _exchange(pool, commands)
        except RedisConnectionError:
            return await _exchange(pool, commands)


async def _exchange(pool: ConnectionPool, commands: Sequence[Command]) -> list[Any]:
    connection = await pool.get_connection()
    replies: list[Any] = []
    try:
        await connection.send_packed_command(b"".join([hiredis.pack_command(command) for command in commands]))
        for _ in commands:
            try:
                replies.append(await connection.read_response(timeout=math.inf))
            except ResponseError as error:
                replies.append(error)
    except BaseException:
        # Replies that nobody has read would answer the next one's commands.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)
    return replies
