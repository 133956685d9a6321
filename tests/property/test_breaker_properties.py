"""The circuit breaker by itself, with nobody to ask: when it opens and when it cannot."""

from hypothesis import given
from hypothesis import strategies as st

from mxcheck_service.core.breaker import (
    ENOUGH,
    RECENT,
    TRIAL_LAST,
    Admission,
    Attempt,
    Belief,
    Breaker,
    Evidence,
)

NOTHING = st.sampled_from([Evidence.SILENT, Evidence.FAULT])
ANSWER = st.sampled_from([Evidence.CONNECTED, Evidence.REFUSED])
PAUSE = st.floats(0, 20)


class Alone:
    """A breaker that gets no word from anybody."""

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.now = 0.0

    def ends(self, network: int, evidence: Evidence, pause: float = 3.0, *, trial: bool = False) -> bool:
        """Have an attempt end, and tell whether it is believed."""
        began = self.now + pause
        self.now = began + 2.0
        attempt = Attempt(f"host {network}", f"network {network}", began, evidence, trial)
        belief = self.breaker.ended(attempt, self.now)
        if belief is Belief.ASK:
            belief = self.breaker.heard(None, self.now, self.now, evidence)
        return belief is Belief.TRUE


@given(st.lists(st.tuples(NOTHING, PAUSE), min_size=ENOUGH, max_size=2 * RECENT))
def test_it_opens_when_all_of_enough_networks_are_silent(attempts: list[tuple[Evidence, float]]) -> None:
    alone = Alone()
    for network, (evidence, pause) in enumerate(attempts):
        alone.ends(network, evidence, pause)
    assert alone.breaker.cause is Evidence.SILENT


@given(st.data(), st.integers(1, 12))
def test_it_never_opens_while_one_network_in_five_answers(data: st.DataObject, length: int) -> None:
    """In any order, as long as one of each five that are tried in a row answers, whoever else is tried again."""
    alone = Alone()
    network = 0
    for _ in range(length):
        five = [data.draw(ANSWER), *data.draw(st.lists(st.one_of(NOTHING, ANSWER), min_size=4, max_size=4))]
        for evidence in five:
            network += 1
            alone.ends(network, evidence, data.draw(PAUSE))
            assert alone.breaker.cause is None


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(Evidence), PAUSE), max_size=80))
def test_one_answer_to_a_trial_closes_it_whatever_came_before(history: list[tuple[int, Evidence, float]]) -> None:
    alone = Alone()
    for network, evidence, pause in history:
        alone.now += pause
        if alone.breaker.admit(alone.now) is not Admission.WITHHELD:
            alone.ends(network, evidence, 0.0, trial=alone.breaker.cause is not None)
    for network in range(ENOUGH):
        alone.ends(100 + network, Evidence.SILENT)
    if alone.breaker.cause is None:
        return
    alone.now += TRIAL_LAST
    assert alone.breaker.admit(alone.now) is Admission.TRIAL
    assert alone.ends(200, Evidence.CONNECTED, 0.0, trial=True)
    assert alone.breaker.cause is None
    assert alone.breaker.admit(alone.now) is Admission.FREE


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(Evidence), PAUSE), max_size=80))
def test_an_answer_is_always_believed_and_refusals_alone_never_open_it(
    history: list[tuple[int, Evidence, float]],
) -> None:
    alone = Alone()
    for network, evidence, pause in history:
        believed = alone.ends(network, evidence, pause)
        assert believed or evidence in (Evidence.SILENT, Evidence.FAULT)
        assert alone.breaker.cause is not Evidence.REFUSED
