"""From octets to targets, whatever pieces the octets come in."""

import pytest

from mxcheck_service.bulk.lines import LONGEST_LINE, CsvColumn, InputError, Line, Lines, Plain, Reader


def parsed(data: bytes, reader: Reader | None = None, *, piece: int = 7) -> list[Line]:
    lines = Lines(reader or Plain())
    found: list[Line] = []
    for start in range(0, len(data), piece):
        found += lines.feed(data[start : start + piece])
    return [*found, *lines.feed(b"")]


def texts(data: bytes, reader: Reader | None = None) -> list[str]:
    return [line.text for line in parsed(data, reader)]


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
def test_lines_have_their_number_and_end_in_the_input(piece: int) -> None:
    data = b"a.test\r\n\n  # nothing\n jo@b.test \nc.test"
    assert parsed(data, piece=piece) == [
        Line(1, "a.test", 8),
        Line(4, "jo@b.test", 8 + 1 + 12 + 12),
        Line(5, "c.test", len(data)),
    ]


def test_an_empty_input_has_no_lines() -> None:
    assert parsed(b"") == []


def test_the_byte_order_mark_of_spreadsheets_is_no_part_of_the_first_line() -> None:
    assert texts(b"\xef\xbb\xbfa.test\n\xef\xbb\xbfb.test\n") == ["a.test", "\ufeffb.test"]


def test_what_is_not_utf_8_is_shown_as_escapes() -> None:
    assert texts("jo@bücher.test\n".encode() + b"jo@b\xfccher.test\n") == ["jo@bücher.test", "jo@b\\xfccher.test"]


@pytest.mark.parametrize("piece", [1000, 10**6])
def test_a_line_that_is_too_long_is_a_problem_of_its_own(piece: int) -> None:
    long = b"x" * (LONGEST_LINE * 3)
    first, second, third = parsed(b"a.test\n" + long + b"\nb.test\n", piece=piece)
    assert (first.text, third) == ("a.test", Line(3, "b.test", 7 + len(long) + 8))
    assert second.problem == f"is longer than {LONGEST_LINE} octets"
    assert second.end == 7 + len(long) + 1
    assert len(second.shown) < 400


def test_a_line_without_end_is_not_kept() -> None:
    lines = Lines(Plain())
    for _ in range(100):
        assert list(lines.feed(b"x" * 100_000)) == []
        assert len(lines._rest) <= LONGEST_LINE + 1


def test_control_characters_are_not_shown() -> None:
    (line,) = parsed(b"a\x1b[31mb.test\x00\n")
    assert line.shown == "a\\u001b[31mb.test\\u0000"


class TestCsv:
    def test_a_column_by_name_has_a_header(self) -> None:
        data = b'id, mail ,note\n1,jo@a.test,"x, ""y"""\n\n2, b.test ,\n'
        assert [(line.number, line.text) for line in parsed(data, CsvColumn("mail"))] == [
            (2, "jo@a.test"),
            (4, "b.test"),
        ]

    def test_a_column_by_number_has_none(self) -> None:
        assert texts(b"1;a.test\r\n2;b.test", CsvColumn(2, ";")) == ["a.test", "b.test"]

    def test_quoted_fields_go_over_lines(self) -> None:
        data = b'"one\ntwo, ""q"" \n\nthree",a.test\n"x",b.test\n'
        assert [(line.number, line.text) for line in parsed(data, CsvColumn(2))] == [(1, "a.test"), (5, "b.test")]

    def test_a_quote_inside_a_field_opens_nothing(self) -> None:
        assert texts(b'5" disk,a.test\nx,b.test\n', CsvColumn(2)) == ["a.test", "b.test"]

    def test_a_column_that_is_not_there_or_empty_is_a_problem(self) -> None:
        problems = [line.problem for line in parsed(b"1,a.test\n2\n3,\n", CsvColumn(2))]
        assert problems == ["", "the record has 1 of at least 2 columns", "the column is empty"]

    def test_what_csv_cannot_read_is_a_problem(self) -> None:
        problem, fine = parsed(b"1,a\rb\n2,b.test\n", CsvColumn(2))
        assert problem.problem.startswith("is no CSV: ")
        assert fine.text == "b.test"

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"id,email\n", "line 1 names no column 'mail', it has: id, email"),
            (b"\nmail,mail\n", "line 2 names more than one column 'mail', it has: mail, mail"),
            (b"", "has no header, and so no column 'mail'"),
            (b'mail\na.test\n"b.test\nc.test\n', "line 3: a quoted field that begins there has no end"),
            (b'mail\n"' + b"x\n" * 40_000, "line 2: a quoted field that begins there has no end"),
        ],
    )
    def test_an_input_that_cannot_be_read_on(self, data: bytes, says: str) -> None:
        with pytest.raises(InputError) as error:
            parsed(data, CsvColumn("mail"), piece=1000)
        assert str(error.value) == says
