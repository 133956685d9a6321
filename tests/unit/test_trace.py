"""What a lookup read, saw and did."""

import pytest

from mxcheck_service.trace import Trace
from tests.unit.fakes import FakeClock


def test_steps_come_in_order_with_the_seconds_since_the_beginning() -> None:
    clock = FakeClock()
    trace = Trace(clock)
    trace.read("d", "one.example", "rmx:d:one.example", "no")
    clock.now += 2
    trace.saw("verdict", verdict="no")
    clock.now += 1
    trace.did("dns", question="one.example")
    assert [(step.at, step.name, step.facts) for step in trace.steps] == [
        (0, "cache", {"layer": "d", "key": "one.example", "value": "no"}),
        (2, "verdict", {"verdict": "no"}),
        (3, "dns", {"question": "one.example"}),
    ]
    assert trace.elapsed() == 3


def test_a_step_that_takes_time_tells_how_long() -> None:
    clock = FakeClock()
    trace = Trace(clock)
    clock.now += 1
    since = trace.elapsed()
    clock.now += 0.25
    trace.did("dns", since=since)
    trace.read("m", "a", "k:a", None, since=since)
    assert [(step.at, step.facts["took_ms"]) for step in trace.steps] == [(1.25, 250.0), (1.25, 250.0)]


@pytest.mark.parametrize("explain", [True, False])
def test_reading_and_seeing_can_be_repeated_and_doing_cannot(explain: bool) -> None:
    trace = Trace(FakeClock(), explain=explain)
    trace.read("d", "a", "k:a", None)
    trace.read("m", "b", "k:b", "1")
    trace.saw("map")
    assert trace.repeatable
    assert trace.reads == {"k:a": None, "k:b": "1"}
    trace.did("dns")
    assert not trace.repeatable
    assert len(trace.steps) == (4 if explain else 0)


@pytest.mark.parametrize("text", ["1", None])
def test_reading_the_same_again_is_no_step_and_changes_nothing(text: str | None) -> None:
    trace = Trace(FakeClock())
    for _ in range(2):
        trace.read("i", "a", "k:a", text)
    assert trace.repeatable
    assert len(trace.steps) == 1


@pytest.mark.parametrize(("first", "second"), [("1", "2"), (None, "1"), ("1", None)])
def test_an_entry_that_changed_under_the_lookup_makes_it_unrepeatable(first: str | None, second: str | None) -> None:
    trace = Trace(FakeClock())
    trace.read("i", "a", "k:a", first)
    trace.read("i", "a", "k:a", second)
    assert not trace.repeatable
    assert trace.reads == {"k:a": second}
    assert [step.facts["value"] for step in trace.steps] == [first, second]
