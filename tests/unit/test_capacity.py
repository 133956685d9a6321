"""Places for lookups: who is taken on, who is refused, and whose turn it is."""

import asyncio
import math
from contextlib import AsyncExitStack

import pytest

from mxcheck_service.capacity import FEW, MOST_TOGETHER, TOGETHER, Overloaded, Places, Taken
from tests.unit.fakes import soon

LATE, IN_TIME = (0.05, 1.0), (0.001, 0.1)
AT_WORK, RESTED = (0.001, 1.0), (0.001, 0.9)


class Order:
    """Lookups that note when they begin, and end when told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    def start(self, taken: Taken, *names: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._look_up(taken, name)) for name in names]
        for task in tasks:
            task.add_done_callback(taken.over)
        return tasks

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await soon()

    async def _look_up(self, taken: Taken, name: str) -> None:
        async with taken.place():
            self.begun.append(name)
            self._ends[name] = asyncio.Event()
            await self._ends[name].wait()


def names(request: str, count: int) -> list[str]:
    return [f"{request}{number}" for number in range(count)]


def test_ordinary_messages_are_taken_on_until_so_many_lookups_are_under_way() -> None:
    places = Places(2)
    first = places.take(1)
    assert not places.full
    places.take(FEW)
    assert places.full
    assert places.few == 1 + FEW
    with pytest.raises(Overloaded):
        places.take(1)
    for _ in range(FEW):
        first.over(None)
    places.take(1)


@pytest.mark.parametrize(
    ("few", "coming", "full"), [(4, 1, False), (4, 2, True), (4, 3, True), (6, 0, True), (3, 3, True), (2, 100, False)]
)
def test_those_that_are_coming_fill_what_is_left_of_places_that_are_mostly_taken(
    few: int, coming: int, full: bool
) -> None:
    places = Places(6)
    for _ in range(few):
        places.take(1)
    assert places.full_after(coming) is full


def test_who_has_more_does_not_fill_the_places_of_the_others_nor_they_its_own() -> None:
    places = Places(2)
    places.take(FEW + 1)
    with pytest.raises(Overloaded):
        places.take(FEW + 1)
    places.take(2)
    with pytest.raises(Overloaded):
        places.take(1)
    assert (places.few, places.many, len(places)) == (2, FEW + 1, FEW + 3)


async def test_an_ordinary_message_waits_for_no_turn() -> None:
    places, order = Places(together=0), Order()
    order.start(places.take(FEW), *names("a", FEW))
    await soon()
    assert order.begun == names("a", FEW)


async def test_all_requests_with_more_share_few_places() -> None:
    places, order = Places(), Order()
    for request in "abc":
        order.start(places.take(TOGETHER), *names(request, TOGETHER))
    await soon()
    assert len(order.begun) == TOGETHER
    await order.end("a0")
    assert len(order.begun) == TOGETHER + 1


async def test_they_take_turns_by_request() -> None:
    places, order = Places(together=1), Order()
    order.start(places.take(5), *names("a", 5))
    await soon()
    order.start(places.take(4), *names("b", 4))
    await soon()
    while len(order.begun) < 9:
        await order.end(order.begun[-1])
    assert order.begun == ["a0", "a1", "b0", "a2", "b1", "a3", "b2", "a4", "b3"]
    await order.end("b3")
    assert len(places) == 0


async def test_a_place_is_not_lost_with_who_held_or_awaited_it() -> None:
    places, order = Places(together=1), Order()
    tasks = order.start(places.take(6), *names("a", 6))
    await soon()
    tasks[1].cancel()
    await soon()
    # Told that it is its turn, and cancelled before it knew.
    tasks[0].cancel()
    await asyncio.sleep(0)
    tasks[2].cancel()
    await soon()
    assert order.begun == ["a0", "a3"]
    await order.end("a3")
    await order.end("a4")
    await order.end("a5")
    assert len(places) == 0
    async with AsyncExitStack() as stack:
        await asyncio.wait_for(stack.enter_async_context(places.take(FEW + 1).place()), 5)


def test_fewer_are_taken_on_while_the_loop_is_late_and_soon_all_again() -> None:
    places = Places(1000)
    places.adapt(*LATE)
    assert 700 < places.limit < 1000
    for _ in range(50):
        places.adapt(*LATE)
    assert places.limit == 64
    for _ in range(60):
        places.adapt(*IN_TIME)
    assert places.limit == 1000


def test_a_small_bound_is_kept_and_none_stays_none() -> None:
    small, none = Places(3), Places()
    for places in (small, none):
        for _ in range(100):
            places.adapt(*LATE)
    assert small.limit == 3
    assert none.limit == math.inf


async def test_who_has_more_gets_more_places_while_the_processor_has_time() -> None:
    places, order = Places(), Order()
    order.start(places.take(100), *names("a", 100))
    await soon()
    assert len(order.begun) == TOGETHER
    for more in (1, 2):
        places.adapt(*IN_TIME)
        await soon()
        assert len(order.begun) == TOGETHER + more
    for _ in range(100):
        places.adapt(*IN_TIME)
    await soon()
    assert len(order.begun) == MOST_TOGETHER
    # Fewer again: none is taken away, and as many have to end before the next one begins.
    for _ in range(100):
        places.adapt(*LATE)
    assert places.together == TOGETHER
    for number in range(MOST_TOGETHER - TOGETHER):
        await order.end(f"a{number}")
    assert len(order.begun) == MOST_TOGETHER
    await order.end(f"a{MOST_TOGETHER - TOGETHER}")
    assert len(order.begun) == MOST_TOGETHER + 1


class TestTogether:
    """Lookups of ordinary messages where the loop has been late for a while."""

    def crowded(self, most: float = 1000) -> Places:
        places = Places(most)
        for _ in range(5):
            places.adapt(*LATE)
        return places

    async def test_they_begin_at_the_fourth_look(self) -> None:
        places, order = self.crowded(), Order()
        order.start(places.take(1), "a")
        for _ in range(3):
            places.adapt(*AT_WORK)
            order.start(places.take(1), "b")
            await soon()
        assert order.begun == []
        places.adapt(*AT_WORK)
        await soon()
        assert order.begun == ["a", "b", "b", "b"]
        order.start(places.take(1), "c")
        places.adapt(*AT_WORK)
        await soon()
        assert "c" not in order.begun

    @pytest.mark.parametrize("told", [RESTED, IN_TIME])
    async def test_they_begin_as_soon_as_the_processor_has_rested(self, told: tuple[float, float]) -> None:
        places, order = self.crowded(), Order()
        order.start(places.take(1), "a")
        await soon()
        assert order.begun == []
        places.adapt(*told)
        await soon()
        assert order.begun == ["a"]

    async def test_they_begin_at_once_again_when_the_loop_is_late_no_more(self) -> None:
        places, order = self.crowded(), Order()
        for _ in range(20):
            places.adapt(*AT_WORK)
        order.start(places.take(1), "a")
        await soon()
        assert order.begun == ["a"]

    @pytest.mark.parametrize("most", [3, math.inf])
    async def test_where_as_many_are_taken_on_as_ever_they_begin_at_once(self, most: float) -> None:
        places, order = self.crowded(most), Order()
        order.start(places.take(1), "a")
        await soon()
        assert order.begun == ["a"]

    async def test_one_that_is_given_up_meanwhile_takes_no_other_along(self) -> None:
        places, order = self.crowded(), Order()
        given_up, _ = order.start(places.take(2), "a", "b")
        await soon()
        given_up.cancel()
        places.adapt(*RESTED)
        await soon()
        assert order.begun == ["b"]
        assert places.few == 1
        assert places._beginners == []
