"""Who the primaries are: reading what nodes tell, and asking once for all."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from mxcheck_service.cache.topology import ClusterSource, Primaries, Topology
from mxcheck_service.cache_url import Address

A, B = ("a", 1), ("b", 2)


class ToldNodes:
    """Stands for nodes that reply to CLUSTER SLOTS, or fail."""

    def __init__(self, replies: dict[Address, Any]) -> None:
        self._replies = replies
        self.asked: list[Address] = []

    def client(self, node: Address) -> Any:
        told = self

        class Client:
            async def execute_command(self, *args: str) -> Any:
                assert args == ("CLUSTER", "SLOTS")
                told.asked.append(node)
                reply = told._replies[node]
                if isinstance(reply, Exception):
                    raise reply
                return reply

        return Client()

    async def aclose(self) -> None:
        pass


def source(*seeds: Address, **replies: Any) -> tuple[ClusterSource, ToldNodes]:
    nodes = ToldNodes({(host, port): replies[host] for host, port in (A, B) if host in replies})
    return ClusterSource(seeds, nodes, timeout=1), nodes  # type: ignore[arg-type]


async def test_every_slot_has_the_owner_that_was_told_or_none() -> None:
    told, _ = source(A, a=[[100, 199, [b"b", 2, b"id"]], [0, 49, [b"a", 1, b"id"], [b"b", 2, b"id"]]])
    topology = await told.ask()
    owners = {slot: topology.owner(slot) for slot in (0, 49, 50, 99, 100, 199, 200, 16383)}
    assert owners == {0: A, 49: A, 50: None, 99: None, 100: B, 199: B, 200: None, 16383: None}
    assert topology.primaries == {A, B}


async def test_slots_side_by_side_leave_no_gap() -> None:
    told, _ = source(A, a=[[0, 8000, [b"a", 1]], [8001, 16383, [b"b", 2]]])
    topology = await told.ask()
    assert [topology.owner(slot) for slot in (0, 8000, 8001, 16383)] == [A, A, B, B]
    assert topology == Topology(((0, A), (8001, B)))


@pytest.mark.parametrize("host", [b"", None])
async def test_a_node_without_a_name_is_the_one_that_was_asked(host: bytes | None) -> None:
    told, _ = source(A, a=[[0, 16383, [host, 7]]])
    assert (await told.ask()).owner(5) == ("a", 7)


async def test_a_node_that_fails_or_serves_nothing_is_passed_over() -> None:
    replies: list[Any] = [RedisConnectionError("refused"), OSError("no route"), TimeoutError(), []]
    for bad in replies:
        told, nodes = source(A, B, a=bad, b=[[0, 16383, [b"b", 2]]])
        while A not in nodes.asked:
            assert (await told.ask()).primaries == {B}
            told._nodes = [A, B]


async def test_nodes_that_were_told_of_are_asked_beside_the_first_ones() -> None:
    told, nodes = source(A, a=[[0, 16383, [b"b", 2]]], b=[[0, 16383, [b"b", 2]]])
    await told.ask()
    assert sorted(told._nodes) == [A, B]
    assert nodes.asked == [A]


async def test_when_nobody_tells_the_reason_is_named() -> None:
    for reply, reason in ((RedisConnectionError("refused"), "refused"), ([], "none serves anything")):
        told, _ = source(A, a=reply)
        with pytest.raises(RedisConnectionError, match=reason):
            await told.ask()


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(b"OK", id="text"),
        pytest.param(7, id="number"),
        pytest.param([[0, 100]], id="nobody-serves"),
        pytest.param([[0, 100, [b"c", b"3"]]], id="port-of-letters"),
        pytest.param([[0, 100, [b"c", 0]]], id="no-port"),
        pytest.param([[0, 100, [b"\xff", 3]]], id="host-that-is-no-text"),
        pytest.param([[b"x", 100, [b"c", 3]]], id="slot-of-letters"),
        pytest.param([[0], 1], id="rows-of-several-kinds"),
    ],
)
async def test_a_node_that_tells_nonsense_is_passed_over(rows: Any) -> None:
    asked, nodes = source(A, B, a=rows, b=[[0, 16383, [b"b", 2]]])
    for _ in range(5):
        assert (await asked.ask()).primaries == {B}
    assert B in nodes.asked
    with pytest.raises(RedisConnectionError, match="no node of the cluster"):
        await source(A, a=rows)[0].ask()


class CountingSource:
    def __init__(self) -> None:
        self.asked = 0
        self.primary = A

    async def ask(self) -> Topology:
        self.asked += 1
        await asyncio.sleep(0)
        return Topology(((0, self.primary),))

    async def close(self) -> None:
        pass


async def test_all_who_want_to_know_ask_once() -> None:
    counting = CountingSource()
    primaries = Primaries(counting)
    first, *others = await asyncio.gather(*(primaries.present() for _ in range(10)))
    assert counting.asked == 1
    for _ in range(10):
        primaries.forget(first)
        await primaries.present()
        assert all(other is first for other in others)
    assert counting.asked == 2, "what was replaced already is not asked for again"


async def test_a_change_is_noticed_when_anybody_learns_of_it() -> None:
    counting = CountingSource()
    primaries = Primaries(counting)
    watching = asyncio.create_task(primaries.changed(frozenset({A}), every=3600))
    known = await primaries.present()
    primaries.forget(known)
    known = await primaries.present()
    await asyncio.sleep(0)
    assert not watching.done()
    counting.primary = B
    primaries.forget(known)
    await primaries.present()
    await asyncio.wait_for(watching, 10)


async def test_a_change_that_nobody_learns_of_is_asked_for() -> None:
    counting = CountingSource()
    primaries = Primaries(counting)
    watching = asyncio.create_task(primaries.changed(frozenset({A}), every=0.001))
    await primaries.present()
    counting.primary = B
    await asyncio.wait_for(watching, 10)
