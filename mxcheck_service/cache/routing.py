"""Several Redis servers: every command goes to the primary that serves its key.

In place of redis-py's RedisCluster, whose pipelines fail as a whole with one primary, close the connections of all
others when it is lost, and with one connection too many; and for Sentinel alike, so that a demoted primary is asked
nothing more.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mxcheck_service.cache.exchange import Command, NotAnswering
from mxcheck_service.cache.topology import Nodes, Primaries, Topology
from mxcheck_service.cache_url import Address

_ATTEMPTS: Final = 3
"""How often a command is sent: at first, where it was redirected to, and once more while slots move."""
_OUTDATED: Final = (RedisConnectionError, RedisTimeoutError, ReadOnlyError, ClusterDownError, MovedError)
"""Replies and failures after which the topology is asked for anew."""
_ELSEWHERE: Final = (RedisConnectionError, ReadOnlyError, ClusterDownError, NotAnswering)
"""Those of them after which the command may be sent to a primary that has come in the old one's place."""


class _Place(NamedTuple):
    """Where a command goes; `asking`: though the slot is only on its way there."""

    address: Address | None
    asking: bool = False


class Router:
    """Sends commands with one key each; none takes longer than `timeout` seconds.

    A primary that is lost costs an error to the commands it would have served, and to no others.
    """

    def __init__(self, primaries: Primaries, nodes: Nodes, timeout: float) -> None:
        self._primaries = primaries
        self._nodes = nodes
        self._timeout = timeout

    async def ping(self) -> None:
        """Ask every primary; raises RedisError when one does not answer."""
        end = asyncio.get_running_loop().time() + self._timeout
        topology = await self._topology(end)
        for place in map(_Place, topology.primaries):
            (reply,) = await self._ask_one(place, [("PING",)], end)
            if isinstance(reply, Exception):
                self._primaries.forget(topology)
                raise reply

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies in order, an exception in place of each that failed.

        Raises RedisError when nobody tells who serves what.
        """
        end = asyncio.get_running_loop().time() + self._timeout
        slots = [key_slot(str(command[1]).encode()) for command in commands]
        replies: list[Any] = [None] * len(commands)
        topology = await self._topology(end)
        places = {number: _Place(topology.owner(slot)) for number, slot in enumerate(slots)}
        for _ in range(_ATTEMPTS):
            await self._ask(commands, places, replies, end)
            failed = {number: place for number, place in places.items() if isinstance(replies[number], Exception)}
            outdated = [replies[number] for number in failed if isinstance(replies[number], _OUTDATED)]
            if any(not isinstance(problem, NotAnswering) for problem in outdated):
                self._primaries.forget(topology)
            elif outdated:
                self._primaries.doubt(topology)
            if any(isinstance(replies[number], _ELSEWHERE) for number in failed):
                with suppress(RedisError):
                    topology = await self._topology(end)
            places = {}
            for number, place in failed.items():
                better = _better(place, replies[number], topology.owner(slots[number]))
                if better:
                    places[number] = better
            if not places:
                break
        return replies

    async def close(self) -> None:
        await self._primaries.close()
        await self._nodes.aclose()

    async def _topology(self, end: float) -> Topology:
        try:
            async with asyncio.timeout_at(end):
                return await self._primaries.present()
        except OSError as error:
            raise _in_time(error) from error

    async def _ask(
        self, commands: Sequence[Command], places: dict[int, _Place], replies: list[Any], end: float
    ) -> None:
        """Send the commands to their places, and put the replies of each into its position."""
        together: dict[_Place, list[int]] = {}
        for number, place in places.items():
            together.setdefault(place, []).append(number)
        answers = await asyncio.gather(
            *(
                self._ask_one(place, [commands[number] for number in numbers], end)
                for place, numbers in together.items()
            )
        )
        for numbers, answer in zip(together.values(), answers, strict=True):
            for number, reply in zip(numbers, answer, strict=True):
                replies[number] = reply

    async def _ask_one(self, place: _Place, commands: Sequence[Command], end: float) -> list[Any]:
        if place.address is None:
            return [ClusterDownError("no primary serves the slot")] * len(commands)
        sent = [word for command in commands for word in (("ASKING",), command)] if place.asking else commands
        link = self._nodes.link(place.address)
        try:
            replies = await link.exchange(sent, end - asyncio.get_running_loop().time())
        except RedisError as error:
            return [error] * len(commands)
        except OSError as error:
            return [_in_time(error)] * len(commands)
        return replies[1::2] if place.asking else replies


def _better(place: _Place, reply: Exception, owner: Address | None) -> _Place | None:
    """Return where the command is to be sent again after this reply: `owner` serves the slot as is known now."""
    if isinstance(reply, AskError):  # MovedError is one, too; a node that does not know its own host leaves it out
        host = reply.host or (place.address or ("", 0))[0]
        return _Place((host, reply.port), asking=not isinstance(reply, MovedError))
    return _Place(owner) if isinstance(reply, _ELSEWHERE) and owner and owner != place.address else None


def _in_time(error: OSError) -> RedisError:
    """Return the error as one of redis-py's, of which a TimeoutError is none."""
    return (
        RedisTimeoutError("no answer in time") if isinstance(error, TimeoutError) else RedisConnectionError(str(error))
    )
