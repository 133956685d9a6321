"""Turns: so many at a time in one network, whatever goes wrong, and nothing kept of networks that are done."""

import asyncio

import pytest

from mxcheck_service.politeness import PerNetwork
from mxcheck_service.ports import ConnectError, ConnectProblem
from tests.unit.fakes import FakeDialer, soon


class Visits:
    """Tasks that take turns; each stays until it is told to leave."""

    def __init__(self, turns: PerNetwork) -> None:
        self._turns = turns
        self.inside: list[str] = []
        self.leave: dict[str, asyncio.Event] = {}

    async def visit(self, ip: str) -> None:
        self.leave[ip] = asyncio.Event()
        async with self._turns.turn(ip):
            self.inside.append(ip)
            await self.leave[ip].wait()
            self.inside.remove(ip)


async def test_one_network_has_so_many_turns_and_others_have_their_own() -> None:
    turns = PerNetwork(2)
    visits = Visits(turns)
    async with asyncio.TaskGroup() as group:
        for ip in ("11.0.0.1", "11.0.0.2", "11.0.0.3", "11.0.1.1"):
            group.create_task(visits.visit(ip))
        await soon()
        assert visits.inside == ["11.0.0.1", "11.0.0.2", "11.0.1.1"]
        visits.leave["11.0.0.1"].set()
        await soon()
        assert visits.inside == ["11.0.0.2", "11.0.1.1", "11.0.0.3"]
        for event in visits.leave.values():
            event.set()
    assert len(turns) == 0


async def test_a_visitor_that_is_cancelled_leaves_no_gap() -> None:
    turns = PerNetwork(1)
    visits = Visits(turns)
    tasks = [asyncio.create_task(visits.visit(f"11.0.0.{number}")) for number in range(3)]
    await soon()
    tasks[1].cancel()  # waits
    tasks[0].cancel()  # is inside
    await soon()
    assert visits.inside[-1] == "11.0.0.2"
    visits.leave["11.0.0.2"].set()
    await tasks[2]
    assert len(turns) == 0


async def test_a_connection_keeps_the_place_until_it_is_closed() -> None:
    turns = PerNetwork(1)
    dialer = turns.dialer(FakeDialer())
    async with turns.turn("11.0.0.1"):
        connection = await dialer.connect("11.0.0.1", 25, 1.0)
    second = asyncio.create_task(Visits(turns).visit("11.0.0.2"))
    await soon()
    assert len(turns) == 1
    visits = Visits(turns)
    third = asyncio.create_task(visits.visit("11.0.0.3"))
    await soon()
    second.cancel()
    await soon()
    assert visits.inside == [], "the connection is open"
    await connection.send(b"QUIT\r\n")
    assert await connection.receive() == b""
    connection.close()
    connection.close()
    await soon()
    assert visits.inside == ["11.0.0.3"]
    visits.leave["11.0.0.3"].set()
    await third
    assert len(turns) == 0


async def test_a_connection_that_does_not_come_about_keeps_nothing() -> None:
    turns = PerNetwork(1)
    dialer = turns.dialer(FakeDialer({"11.0.0.1": ConnectProblem.REFUSED}))
    with pytest.raises(ConnectError):
        async with turns.turn("11.0.0.1"):
            await dialer.connect("11.0.0.1", 25, 1.0)
    assert len(turns) == 0
