"""Commands to several servers, where real ones would be too quick or too slow to show it."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ClusterDownError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mxcheck_service.cache.routing import RoutedClient, RoutedPipeline
from mxcheck_service.cache.topology import Primaries, Topology
from mxcheck_service.cache_url import Address

A, B = ("a", 1), ("b", 2)
PATIENCE = 0.05


class Scripted:
    """Stands for nodes and for what tells of them: what each replies to whatever is asked, or does instead."""

    def __init__(self, owner: Address | None, **behaviours: Any) -> None:
        self._owner = owner
        self._behaviours = behaviours
        self.sent: list[str] = []

    async def ask(self) -> Topology:
        return Topology(((0, self._owner),))

    async def close(self) -> None:
        pass

    def client(self, node: Address) -> Any:
        scripted = self

        class Pipeline:
            def __init__(self) -> None:
                self._commands = 0

            def execute_command(self, *args: Any, **options: Any) -> None:
                self._commands += 1

            async def execute(self, raise_on_error: bool) -> list[Any]:
                scripted.sent.append(node[0])
                behaviour = scripted._behaviours[node[0]]
                if behaviour is None:
                    await asyncio.Event().wait()
                if isinstance(behaviour, OSError):
                    raise behaviour
                return [behaviour] * self._commands

        class Client:
            def pipeline(self, transaction: bool) -> Pipeline:
                return Pipeline()

        return Client()


def client(world: Scripted) -> RoutedClient:
    return RoutedClient(Primaries(world), world, PATIENCE)  # type: ignore[arg-type]


def asked(routed: RoutedClient, *keys: str) -> RoutedPipeline:
    """A pipeline that gets these keys."""
    pipeline = routed.pipeline()
    for key in keys:
        pipeline.get(key)
    return pipeline


async def test_no_command_takes_longer_than_it_may() -> None:
    routed = client(Scripted(A, a=None))
    async with asyncio.timeout(10):
        with pytest.raises(RedisTimeoutError):
            await routed.get("k")
        (reply,) = await asked(routed, "k").execute(raise_on_error=False)
        assert isinstance(reply, RedisTimeoutError)
        with pytest.raises(RedisTimeoutError):
            await routed.ping()


async def test_a_teller_that_never_tells_is_an_error_in_time() -> None:
    world = Scripted(A)
    world.ask = asyncio.Event().wait  # type: ignore[assignment]
    async with asyncio.timeout(10):
        with pytest.raises(RedisTimeoutError):
            await client(world).get("k")


async def test_a_fault_of_the_network_is_an_error_of_redis() -> None:
    with pytest.raises(RedisConnectionError, match="no route"):
        await client(Scripted(A, a=OSError("no route"))).get("k")


async def test_a_slot_without_an_owner_is_an_error() -> None:
    with pytest.raises(ClusterDownError):
        await client(Scripted(None)).get("k")


@pytest.mark.parametrize("told", ["1 b:2", "1 :1"])
async def test_servers_that_send_it_in_circles_are_not_asked_for_ever(told: str) -> None:
    world = Scripted(A, a=MovedError(told), b=MovedError("1 a:1"))
    with pytest.raises(MovedError):
        await client(world).get("k")
    assert world.sent == (["a", "b", "a"] if "b" in told else ["a", "a", "a"])


async def test_a_pipeline_without_errors_raises_none() -> None:
    routed = client(Scripted(A, a=b"v"))
    assert await asked(routed, "k", "l").execute() == [b"v", b"v"]
    with pytest.raises(RedisError):
        await asked(client(Scripted(A, a=ClusterDownError("down"))), "k").execute()
