"""The circuit breaker: what it believes, when it opens, and what closes it."""

from collections.abc import Iterable

import pytest

from mxcheck_service.core.breaker import (
    ASK_FIRST,
    ASK_LAST,
    ASKED,
    DOUBT,
    ENOUGH,
    MOST_FAILURES,
    RECENT,
    SLACK,
    TRIAL_FIRST,
    TRIAL_LAST,
    WINDOW,
    WITNESS_AGE,
    WITNESSES,
    Admission,
    Attempt,
    Belief,
    Breaker,
    Evidence,
)

CONNECTED, REFUSED, SILENT, FAULT = Evidence
TRUE, ASK, FALSE = Belief
TIMEOUT = 2.0
"""Seconds that a silent attempt takes."""


class Lab:
    """A breaker with a clock of its own. An attempt of number n goes to a network of its own."""

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.now = 1000.0

    def ends(self, number: int, evidence: Evidence, *, strict: bool = False, trial: bool = False) -> Belief:
        began = self.now
        self.now += TIMEOUT if evidence is SILENT else 0.01
        attempt = Attempt(f"192.0.{number}.1", f"192.0.{number}.0/24", began, evidence, trial)
        return self.breaker.ended(attempt, self.now, strict=strict)

    def hears(self, word: Evidence | None, doubted: Evidence = SILENT) -> Belief:
        return self.breaker.heard(word, self.now, self.now, doubted)

    def all_end(self, numbers: Iterable[int], evidence: Evidence) -> list[Belief]:
        return [self.ends(number, evidence) for number in numbers]

    def open(self, cause: Evidence = SILENT) -> "Lab":
        """Open it by the word of witnesses."""
        self.now += WINDOW
        numbers = range(100, 100 + (RECENT if cause is REFUSED else DOUBT))
        assert self.all_end(numbers, cause)[-1] is ASK
        assert self.hears(cause, cause) is FALSE
        assert self.breaker.cause is cause
        return self

    def trial(self) -> Admission:
        """Ask for admission when the next trial is due."""
        self.now += TRIAL_LAST
        return self.breaker.admit(self.now)


@pytest.fixture
def lab() -> Lab:
    return Lab()


class TestBelief:
    def test_the_third_silent_network_in_a_row_is_doubted(self, lab: Lab) -> None:
        assert lab.all_end(range(4), SILENT) == [TRUE, TRUE, ASK, ASK]

    def test_one_network_is_one_however_many_hosts_are_silent(self, lab: Lab) -> None:
        assert lab.all_end([1, 1, 1, 2, 1, 2, 1], SILENT) == [TRUE] * 7

    def test_the_operators_own_witnesses_are_asked_about_the_first(self, lab: Lab) -> None:
        assert lab.ends(1, SILENT, strict=True) is ASK

    @pytest.mark.parametrize("answer", [CONNECTED, REFUSED])
    def test_an_answer_since_the_attempt_began_settles_it(self, lab: Lab, answer: Evidence) -> None:
        lab.all_end(range(5), SILENT)
        lab.ends(9, answer)
        lab.now += SLACK
        assert lab.ends(10, SILENT, strict=True) is TRUE

    def test_an_answer_before_that_does_not(self, lab: Lab) -> None:
        lab.ends(9, CONNECTED)
        lab.now += SLACK + 0.1
        assert lab.ends(10, SILENT, strict=True) is ASK

    def test_a_refusal_in_between_ends_the_run(self, lab: Lab) -> None:
        lab.all_end(range(2), SILENT)
        lab.ends(9, REFUSED)
        lab.now += SLACK + 1
        assert lab.all_end(range(3, 6), SILENT) == [TRUE, TRUE, ASK]

    def test_a_good_word_holds_until_they_may_be_asked_again(self, lab: Lab) -> None:
        lab.all_end(range(3), SILENT)
        assert lab.breaker.asks(lab.now)
        assert lab.hears(CONNECTED) is TRUE
        assert lab.ends(4, SILENT) is TRUE
        lab.now += ASK_FIRST + SLACK
        assert lab.ends(5, SILENT) is ASK

    def test_who_refuses_a_witness_call_has_answered(self, lab: Lab) -> None:
        lab.all_end(range(3), SILENT)
        assert lab.hears(REFUSED) is TRUE

    def test_an_answer_while_they_were_asked_counts_more_than_their_silence(self, lab: Lab) -> None:
        lab.all_end(range(3), SILENT)
        asked = lab.now
        lab.ends(9, REFUSED)
        assert lab.breaker.heard(SILENT, asked, lab.now, SILENT) is TRUE

    def test_what_was_long_ago_is_no_run(self, lab: Lab) -> None:
        lab.all_end(range(2), SILENT)
        lab.now += WINDOW + 1
        assert lab.ends(3, SILENT) is TRUE


class TestOpening:
    @pytest.mark.parametrize("word", [SILENT, FAULT])
    def test_silent_witnesses_open_it(self, lab: Lab, word: Evidence) -> None:
        lab.all_end(range(DOUBT), SILENT)
        assert lab.hears(word, FAULT) is FALSE
        assert (lab.breaker.cause, lab.breaker.since) == (SILENT, lab.now)

    def test_with_nobody_to_ask_it_takes_more_networks(self, lab: Lab) -> None:
        for number in range(ENOUGH):
            assert lab.breaker.cause is None, number
            if lab.ends(number, SILENT) is ASK:
                lab.hears(None)
        assert lab.breaker.cause is SILENT

    def test_what_was_on_its_way_when_it_opened_is_not_believed(self, lab: Lab) -> None:
        lab.open()
        assert lab.ends(50, SILENT) is FALSE
        assert lab.ends(51, FAULT) is FALSE

    def test_faults_of_this_host_open_it_without_asking_anybody(self, lab: Lab) -> None:
        assert lab.all_end(range(ENOUGH), FAULT) == [*[TRUE] * (ENOUGH - 1), FALSE]
        assert lab.breaker.cause is SILENT

    def test_a_few_faults_do_not(self, lab: Lab) -> None:
        lab.ends(1, CONNECTED)
        lab.now += SLACK + 1
        lab.all_end(range(2, 2 + ENOUGH), FAULT)
        assert lab.breaker.cause is None

    def test_refusals_alone_never_open_it(self, lab: Lab) -> None:
        beliefs = lab.all_end(range(RECENT), REFUSED)
        assert beliefs == [*[TRUE] * (RECENT - 1), ASK]
        assert lab.hears(None, REFUSED) is TRUE
        assert lab.breaker.cause is None

    @pytest.mark.parametrize("word", [REFUSED, SILENT])
    def test_refusals_and_witnesses_that_are_kept_off_open_it(self, lab: Lab, word: Evidence) -> None:
        lab.all_end(range(RECENT), REFUSED)
        assert lab.hears(word, REFUSED) is FALSE
        assert lab.breaker.cause is REFUSED

    def test_refusals_and_a_witness_that_accepts_do_not(self, lab: Lab) -> None:
        lab.all_end(range(RECENT), REFUSED)
        assert lab.breaker.asks(lab.now)
        assert lab.hears(CONNECTED, REFUSED) is TRUE
        assert lab.ends(99, REFUSED) is TRUE, "and for a while nobody is asked again"

    def test_one_that_accepts_among_those_that_refuse_is_enough(self, lab: Lab) -> None:
        lab.ends(99, CONNECTED)
        lab.now += SLACK + 1
        assert ASK not in lab.all_end(range(RECENT - 1), REFUSED)


class TestTrials:
    def test_closed_it_lets_everything_pass(self, lab: Lab) -> None:
        assert {lab.breaker.admit(lab.now) for _ in range(9)} == {Admission.FREE}

    def test_open_it_lets_one_pass_now_and_then(self, lab: Lab) -> None:
        lab.open()
        assert lab.breaker.admit(lab.now) is Admission.WITHHELD
        lab.now += TRIAL_FIRST
        assert lab.breaker.admit(lab.now) is Admission.TRIAL
        assert lab.trial() is Admission.WITHHELD, "there is one on its way"

    def test_trials_that_fail_become_rare(self, lab: Lab) -> None:
        lab.open()
        pauses = []
        for number in range(8):
            begun = lab.now
            while lab.breaker.admit(lab.now) is Admission.WITHHELD:
                lab.now += 0.5
            pauses.append(lab.now - begun)
            assert lab.ends(number, SILENT, trial=True) is ASK
            assert lab.hears(None) is FALSE
        assert pauses == [1, 2, 4, 8, 16, TRIAL_LAST, TRIAL_LAST, TRIAL_LAST]

    def test_one_that_is_given_up_makes_room_for_another(self, lab: Lab) -> None:
        lab.open()
        assert lab.trial() is Admission.TRIAL
        lab.breaker.abandoned(lab.now)
        assert lab.breaker.admit(lab.now) is Admission.WITHHELD
        assert lab.trial() is Admission.TRIAL

    @pytest.mark.parametrize("answer", [CONNECTED, REFUSED])
    def test_an_answer_closes_it(self, lab: Lab, answer: Evidence) -> None:
        lab.open().trial()
        assert lab.ends(1, answer, trial=True) is TRUE
        assert lab.breaker.cause is None
        assert lab.breaker.admit(lab.now) is Admission.FREE

    def test_an_answer_to_what_was_on_its_way_does_so_too(self, lab: Lab) -> None:
        lab.open()
        assert lab.ends(1, CONNECTED) is TRUE
        assert lab.breaker.cause is None

    def test_a_silent_trial_is_believed_when_the_witnesses_are_back(self, lab: Lab) -> None:
        lab.open().trial()
        assert lab.ends(1, SILENT, trial=True) is ASK
        assert lab.hears(CONNECTED) is TRUE
        assert lab.breaker.cause is None

    def test_where_everybody_refuses_only_an_open_port_closes_it(self, lab: Lab) -> None:
        lab.open(REFUSED).trial()
        assert lab.ends(1, REFUSED, trial=True) is ASK
        assert lab.hears(REFUSED, REFUSED) is FALSE
        lab.trial()
        assert lab.ends(2, SILENT, trial=True) is ASK
        assert lab.hears(REFUSED, SILENT) is FALSE
        lab.trial()
        assert lab.ends(3, CONNECTED, trial=True) is TRUE

    def test_after_closing_it_counts_anew(self, lab: Lab) -> None:
        """With nobody to ask, the failures from before would open it after three more."""
        lab.all_end(range(RECENT), SILENT)
        assert lab.hears(None) is FALSE
        lab.trial()
        lab.ends(99, REFUSED, trial=True)
        lab.now += SLACK + 1
        assert lab.all_end(range(30, 33), SILENT) == [TRUE, TRUE, ASK]
        assert lab.hears(None) is TRUE

    def test_after_closing_witnesses_can_be_asked_soon(self, lab: Lab) -> None:
        lab.open()
        for _ in range(5):
            lab.now += ASK_LAST
            assert lab.breaker.asks(lab.now)
            assert lab.hears(SILENT) is FALSE
        lab.ends(1, REFUSED)
        lab.now += ASK_FIRST
        assert lab.breaker.asks(lab.now)


class TestWitnesses:
    def test_the_latest_that_accepted_are_asked(self, lab: Lab) -> None:
        lab.all_end([*range(WITNESSES + 4), 2], CONNECTED)
        lab.ends(99, REFUSED)
        assert lab.breaker.witnesses(lab.now) == ["192.0.2.1", "192.0.11.1", "192.0.10.1"][:ASKED]

    def test_not_those_of_yesterday(self, lab: Lab) -> None:
        lab.ends(1, CONNECTED)
        lab.now += WITNESS_AGE + 1
        assert lab.breaker.witnesses(lab.now) == []

    def test_only_so_many_are_kept(self, lab: Lab) -> None:
        lab.ends(0, CONNECTED)
        lab.now += WITNESS_AGE - 10
        lab.all_end(range(1, WITNESSES + 1), CONNECTED)
        assert len(lab.breaker._witnesses) == WITNESSES
        assert "192.0.0.0/24" not in lab.breaker._witnesses

    def test_they_are_asked_more_and_more_seldom(self, lab: Lab) -> None:
        pauses = []
        for _ in range(6):
            begun = lab.now
            while not lab.breaker.asks(lab.now):
                lab.now += 0.5
            pauses.append(lab.now - begun)
        assert pauses == [0, ASK_FIRST, 2 * ASK_FIRST, 4 * ASK_FIRST, ASK_LAST, ASK_LAST]

    def test_an_open_port_elsewhere_makes_it_oftener_again(self, lab: Lab) -> None:
        for _ in range(6):
            lab.now += ASK_LAST
            assert lab.breaker.asks(lab.now)
        lab.ends(1, CONNECTED)
        lab.now += ASK_LAST
        assert lab.breaker.asks(lab.now)
        lab.now += ASK_FIRST
        assert lab.breaker.asks(lab.now)


class TestTakingBack:
    def test_failures_of_the_last_minutes_each_once(self, lab: Lab) -> None:
        lab.ends(90, SILENT)
        lab.now += WINDOW + 1
        lab.all_end([1, 2, 1], SILENT)
        lab.ends(3, FAULT)
        lab.ends(4, REFUSED)
        lab.ends(5, CONNECTED)
        lab.now += SLACK + 1
        lab.all_end([6, 7, 8], SILENT)
        assert lab.hears(SILENT) is FALSE
        assert lab.breaker.taken_back(lab.now) == [f"192.0.{number}.1" for number in (2, 1, 3, 6, 7, 8)]
        assert lab.breaker.taken_back(lab.now) == []

    def test_of_refusals_when_these_are_not_believed(self, lab: Lab) -> None:
        lab.ends(90, SILENT)
        lab.all_end(range(RECENT), REFUSED)
        lab.hears(REFUSED, REFUSED)
        assert lab.breaker.taken_back(lab.now) == [f"192.0.{number}.1" for number in range(RECENT)]

    def test_not_more_than_a_bound(self, lab: Lab) -> None:
        for number in range(MOST_FAILURES + 5):
            lab.breaker.ended(Attempt(f"host {number}", "192.0.2.0/24", lab.now, SILENT), lab.now)
        lab.all_end(range(DOUBT), SILENT)
        lab.hears(SILENT)
        assert len(lab.breaker.taken_back(lab.now)) == MOST_FAILURES
