"""The scoreboard of verdicts against the truth."""

from bench.scores import HEAD, Seen, Totals, counted, told
from tests.lab.truth.kind import Truth

_TRUTHS = {
    "good": Truth.YES,
    "blamed": Truth.YES,
    "dead": Truth.NO,
    "missed": Truth.NO,
    "ours": Truth.UNKNOWABLE,
    "ours-blamed": Truth.UNKNOWABLE,
}
_SEEN = {
    "good": Seen("good", 0.0, 0.1, connections=1),
    "blamed": Seen("timeout", 2.0, 3.0, connections=3),
    "dead": Seen("refused", 1.0, 0.2, connections=2),
    "missed": Seen("skip", 0.0, 0.0, connections=7, looks=3),
    "ours": Seen("timeout", 0.0, 9.0, late=True),
    "ours-blamed": Seen("timeout", 2.0, 0.3),
}


def test_totals() -> None:
    totals = Totals.of(_SEEN, _TRUTHS)
    assert totals.false_alarms == ["blamed"]
    assert totals.true_alarms == ["dead"]
    assert totals.misses == ["missed"]
    assert totals.blamed_unknowable == ["ours-blamed"]
    assert totals.late == ["ours"]
    assert (totals.connections, totals.connections_most) == (13, 3)
    assert (totals.seconds_median, totals.seconds_most) == (0.25, 9.0)


def test_a_score_below_zero_is_no_alarm() -> None:
    totals = Totals.of({"good": Seen("good", -0.5, 0.1), "dead": Seen("good", -0.5, 0.1)}, _TRUTHS)
    assert (totals.false_alarms, totals.true_alarms, totals.misses) == ([], [], ["dead"])


def test_a_row_fits_its_head() -> None:
    row = Totals.of(_SEEN, _TRUTHS).row("set-up")
    assert row == ["set-up", "1", "1", "1", "1", "0.25", "9.00", "13", "3", "1"]
    assert len(row) == len(HEAD)


def test_a_cell_and_a_sentence() -> None:
    assert told(_SEEN["blamed"]) == "timeout +2.0 (3.0 s)"
    assert counted(_TRUTHS.values()) == "2 yes, 2 no, 2 unknowable"
