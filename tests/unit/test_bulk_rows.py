"""Rows: written in one line each, and read again as they were written."""

import io
import json

import pytest

from mxcheck_service.bulk.lines import Line
from mxcheck_service.bulk.rows import Csv, ForeignOutput, Format, JsonLines, Row, failed, written
from mxcheck_service.bulk.tally import Tally
from mxcheck_service.core.model import Verdict

GOOD = Row(1, "jo@a.test", "a.test", "gd", "mx.a.test", -0.1, "no action", ("MX_GOOD",))
BAD = Row(2, 'the "b", test', "b.test", "err:554", "mx.b.test", 5.0, "greylist", ("MX_ERROR", "MX_BOGON_MIX"))
OPEN = Row(4, "c.test", "c.test", "df", "c.test", 0.0, "no action", ("MX_DNS_FAIL",))
WRONG = failed(Line(9, "no\x1b\ntarget", 100), "is neither an address nor a domain name")
ROWS = (GOOD, BAD, OPEN, WRONG)
FORMATS = pytest.mark.parametrize("form", [Csv(), JsonLines()], ids=["csv", "jsonl"])


def document(form: Format, *rows: Row) -> bytes:
    return form.head + b"".join(form.encode(row) for row in rows)


@FORMATS
def test_rows_are_read_as_they_were_written(form: Format) -> None:
    data = document(form, *ROWS)
    found = list(written(io.BytesIO(data), form))
    assert [row for row, _ in found] == list(ROWS)
    assert [end for _, end in found] == [len(document(form, *ROWS[: n + 1])) for n in range(len(ROWS))]
    assert data.count(b"\n") == len(ROWS) + bool(form.head)


@FORMATS
def test_wherever_the_last_line_is_torn_the_rows_before_it_are_whole(form: Format) -> None:
    data = document(form, *ROWS)
    whole = [len(document(form, *ROWS[:n])) for n in range(len(ROWS) + 1)]
    for size in range(len(data) + 1):
        found = list(written(io.BytesIO(data[:size]), form))
        complete = sum(end <= size for end in whole[1:])
        assert [row for row, _ in found] == list(ROWS[:complete])
        assert not found or found[-1][1] == whole[complete]


@FORMATS
@pytest.mark.parametrize("foreign", [b"hello\n", b"{}\n", b"1,2,3\n", b"\0\0\0\n", b"[]\n", b"\xff\n"])
def test_what_is_no_row_is_told_with_its_line(form: Format, foreign: bytes) -> None:
    data = document(form, GOOD) + foreign
    with pytest.raises(ForeignOutput, match=f"line {2 + bool(form.head)} is no row"):
        list(written(io.BytesIO(data), form))


def test_another_header_is_told() -> None:
    with pytest.raises(ForeignOutput, match="line 1 is not the header"):
        list(written(io.BytesIO(document(JsonLines(), GOOD)), Csv()))


def test_json_says_null_for_what_there_is_not() -> None:
    said = json.loads(JsonLines().encode(WRONG))
    assert said["verdict"] is said["score"] is said["host"] is None
    assert said["error"] == "is neither an address nor a domain name"
    assert said["input"] == "no\\u001b\\u000atarget"


@pytest.mark.parametrize(
    ("rows", "code"), [((), 0), ((GOOD,), 0), ((GOOD, BAD), 1), ((OPEN, GOOD), 2), ((BAD, WRONG), 2)]
)
def test_the_worst_row_is_the_exit_code(rows: tuple[Row, ...], code: int) -> None:
    tally = Tally()
    for row in rows:
        tally.add(row, 0)
    assert tally.exit_code == code


def test_rows_are_counted_by_verdict() -> None:
    tally = Tally()
    for row in (*ROWS, BAD):
        tally.add(row, row.line * 10)
    assert dict(tally.verdicts) == {Verdict.ERROR: 2, Verdict.GOOD: 1, Verdict.DNS_FAIL: 1}
    assert next(iter(tally.verdicts)) is Verdict.ERROR
    assert (tally.rows, tally.errors, tally.octets) == (5, 1, 20)
