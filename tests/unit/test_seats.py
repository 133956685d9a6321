"""Seats for connections to mail hosts: the bound, the share of a network, and who gives way."""

import asyncio

import pytest

from mxcheck_service.seats import Seat, Seats


def host(network: int, number: int = 1) -> str:
    return f"192.0.{network}.{number}"


def take(seats: Seats, ip: str, most: int) -> Seat:
    seat = seats.take(ip, most)
    assert seat is not None
    return seat


def taken(seats: Seats, network: int, most: int) -> int:
    """Take seats for addresses of one network until there are no more; return how many there were."""
    return sum(seats.take(host(network, number % 250), most) is not None for number in range(most + 1))


@pytest.mark.parametrize(("most", "share"), [(1, 1), (2, 1), (10, 5), (101, 51)])
def test_a_network_alone_gets_half(most: int, share: int) -> None:
    seats = Seats(1000)
    assert taken(seats, 1, most) == share
    assert (seats.open, seats.busy) == (share, share)


def test_a_second_network_gets_its_share_of_the_rest() -> None:
    seats = Seats(1000)
    assert [taken(seats, network, 64) for network in range(4)] == [32, 16, 8, 4]
    assert seats.refused == 4 * 65 - 60


def test_many_networks_get_all_and_no_more() -> None:
    seats = Seats(1000)
    assert sum(seats.take(host(network), 16) is not None for network in range(50)) == 16


def test_no_more_than_the_descriptors_allow() -> None:
    assert taken(Seats(10), 1, 1000) == 5


def test_any_number_when_no_bound_is_wished_for() -> None:
    seats = Seats(10)
    kept = [take(seats, host(1), 0) for _ in range(1000)]
    assert seats.open == 1000
    for seat in kept:
        seat.leave()
    assert (seats.open, seats.busy) == (0, 0)


def test_a_place_is_left_once() -> None:
    seats = Seats(10)
    seat = take(seats, host(1), 10)
    seat.leave()
    seat.leave()
    assert (seats.open, seats.busy) == (0, 0)
    assert taken(seats, 1, 10) == 5


async def spare(seats: Seats, seat: Seat, *, close: bool = True) -> asyncio.Task[None]:
    """Return a task that holds a seat to spare, until it is cancelled."""

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            if close:
                seat.leave()

    task = asyncio.create_task(linger())
    seat.give_way(task)
    await asyncio.sleep(0)
    return task


async def test_what_is_spare_counts_for_no_network() -> None:
    seats = Seats(1000)
    tasks = [await spare(seats, take(seats, host(1), 10)) for _ in range(8)]
    assert (seats.open, seats.busy) == (8, 0)
    assert taken(seats, 1, 10) == 5
    assert [task.cancelling() for task in tasks] == [1, 1, 1, 0, 0, 0, 0, 0]
    await asyncio.gather(*tasks[:3], return_exceptions=True)
    assert (seats.open, seats.busy) == (10, 5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_nothing_gives_way_while_there_is_room() -> None:
    seats = Seats(1000)
    task = await spare(seats, take(seats, host(1), 3))
    take(seats, host(2), 3)
    take(seats, host(3), 3)
    assert not task.cancelling()
    take(seats, host(4), 3)
    await asyncio.wait([task])
    assert task.cancelled()
    assert (seats.open, seats.busy) == (3, 3)
    assert seats.take(host(5), 3) is None


async def test_each_gives_way_for_one_only() -> None:
    """Those that are leaving still count: nobody else has to leave for what they keep open for a moment."""
    seats = Seats(1000)
    first = await spare(seats, take(seats, host(1), 2), close=False)
    take(seats, host(2), 2)
    take(seats, host(3), 2)
    await asyncio.wait([first])
    assert seats.open == 3
    assert seats.take(host(4), 2) is None


async def test_a_place_that_was_left_gives_no_way() -> None:
    seats = Seats(1000)
    seat = take(seats, host(1), 1)
    seat.leave()
    task = asyncio.create_task(asyncio.sleep(0))
    seat.give_way(task)
    take(seats, host(2), 1)
    await task


async def test_the_last_who_holds_it_gives_way() -> None:
    """A greeting that came late is followed by QUIT, which is another task."""
    seats = Seats(1000)
    seat = take(seats, host(1), 1)
    first, second = (asyncio.create_task(asyncio.Event().wait()) for _ in range(2))
    seat.give_way(first)
    seat.give_way(second)
    take(seats, host(2), 1)
    assert (first.cancelling(), second.cancelling()) == (0, 1)
    first.cancel()
    await asyncio.wait([first, second])
