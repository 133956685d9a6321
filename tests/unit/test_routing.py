"""Commands to several servers, where real ones would be too quick or too slow to show it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ClusterDownError, MovedError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mxcheck_service.cache import topology
from mxcheck_service.cache.exchange import Command, NotAnswering
from mxcheck_service.cache.routing import Router
from mxcheck_service.cache.topology import Primaries, Topology
from mxcheck_service.cache_url import Address

A, B = ("a", 1), ("b", 2)
PATIENCE = 0.05
Ask = Callable[..., Awaitable[list[Any]]]


class Scripted:
    """Stands for nodes and for what tells of them: what each replies to whatever is asked, or does instead.

    `owners`: who is told to own all slots, one after the other; the last one stays.
    """

    def __init__(self, *owners: Address | None, **behaviours: Any) -> None:
        self._owners = list(owners)
        self._behaviours = behaviours
        self.sent: list[str] = []

    async def ask(self) -> Topology:
        return Topology(((0, self._owners.pop(0) if len(self._owners) > 1 else self._owners[0]),))

    async def close(self) -> None:
        pass

    def link(self, node: Address) -> Any:
        return SimpleNamespace(exchange=partial(self._exchange, node))

    async def _exchange(self, node: Address, commands: Sequence[Command], timeout: float) -> list[Any]:
        self.sent.append(node[0])
        behaviour = self._behaviours[node[0]]
        if behaviour is None:
            async with asyncio.timeout(timeout):
                await asyncio.Event().wait()
        if isinstance(behaviour, OSError | RedisTimeoutError):
            raise behaviour
        return [behaviour] * len(commands)


@pytest.fixture
def ask() -> Ask:
    """Get keys of scripted servers."""

    async def ask(world: Scripted, *keys: str) -> list[Any]:
        router = Router(Primaries(world), world, PATIENCE)  # type: ignore[arg-type]
        if keys:
            return await router.execute([("GET", key) for key in keys])
        await router.ping()
        return []

    return ask


async def test_no_command_takes_longer_than_it_may(ask: Ask) -> None:
    async with asyncio.timeout(10):
        (reply,) = await ask(Scripted(A, a=None), "k")
        assert isinstance(reply, RedisTimeoutError)
        with pytest.raises(RedisTimeoutError):
            await ask(Scripted(A, a=None))


async def test_a_teller_that_never_tells_is_an_error_in_time(ask: Ask) -> None:
    world = Scripted(A)
    world.ask = asyncio.Event().wait  # type: ignore[assignment]
    async with asyncio.timeout(10):
        with pytest.raises(RedisTimeoutError):
            await ask(world, "k")


async def test_a_fault_of_the_network_is_an_error_of_redis(ask: Ask) -> None:
    (reply,) = await ask(Scripted(A, a=OSError("no route")), "k")
    assert isinstance(reply, RedisConnectionError)
    assert "no route" in str(reply)


async def test_a_slot_without_an_owner_is_an_error(ask: Ask) -> None:
    (reply,) = await ask(Scripted(None), "k")
    assert isinstance(reply, ClusterDownError)


@pytest.mark.parametrize("told", ["1 b:2", "1 :1"])
async def test_servers_that_send_it_in_circles_are_not_asked_for_ever(ask: Ask, told: str) -> None:
    world = Scripted(A, a=MovedError(told), b=MovedError("1 a:1"))
    (reply,) = await ask(world, "k")
    assert isinstance(reply, MovedError)
    assert world.sent == (["a", "b", "a"] if "b" in told else ["a", "a", "a"])


async def test_commands_for_one_server_go_out_together(ask: Ask) -> None:
    world = Scripted(A, a=b"v")
    assert await ask(world, "k", "l") == [b"v", b"v"]
    assert world.sent == ["a"]


async def test_a_command_that_a_hanging_server_was_spared_goes_to_the_one_in_its_place(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "FRESH", 0.0)
    world = Scripted(A, B, a=NotAnswering("hangs"), b=b"v")
    assert await ask(world, "k") == [b"v"]
    assert world.sent == ["a", "b"]


async def test_what_has_just_been_told_is_not_asked_for_again_because_a_server_hangs(ask: Ask) -> None:
    world = Scripted(A, B, a=NotAnswering("hangs"), b=b"v")
    (reply,) = await ask(world, "k")
    assert isinstance(reply, NotAnswering)
    assert world.sent == ["a"]


async def test_what_timed_out_is_not_sent_elsewhere_since_it_may_have_been_carried_out(ask: Ask) -> None:
    world = Scripted(A, B, a=RedisTimeoutError("late"), b=b"v")
    (reply,) = await ask(world, "k")
    assert isinstance(reply, RedisTimeoutError)
    assert world.sent == ["a"]
