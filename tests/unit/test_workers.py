"""How a dead worker is started again. What real processes do is in tests/e2e/test_workers.py."""

from itertools import pairwise

from mxcheck_service.workers import Pauses


def test_the_pause_grows_up_to_a_bound() -> None:
    pauses = Pauses()
    found = [pauses.after(0, lived=1.0) for _ in range(12)]
    assert found[0] == 0.1
    assert found[-1] == found[-2] == 10.0
    assert all(later == min(10.0, 2 * earlier) for earlier, later in pairwise(found))


def test_each_worker_has_a_pause_of_its_own() -> None:
    pauses = Pauses()
    assert [pauses.after(number, lived=1.0) for number in (0, 0, 1, 0)] == [0.1, 0.2, 0.1, 0.4]


def test_after_a_long_life_a_death_is_the_first_one_again() -> None:
    pauses = Pauses()
    assert [pauses.after(0, lived) for lived in (1.0, 1.0, 60.0, 59.9)] == [0.1, 0.2, 0.1, 0.2]
