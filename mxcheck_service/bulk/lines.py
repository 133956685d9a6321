"""From octets to what is to be checked: a target a line, or one column of a CSV. No I/O; fed in pieces of any size."""

import csv
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from mxcheck_service.log import escape

LONGEST_LINE: Final = 4096
"""Octets of a line; an address has 254 (RFC 5321 section 4.5.3.1.3), but a CSV has other columns."""
LONGEST_RECORD: Final = 65536
"""Characters of a CSV record whose quoted fields go over several lines."""
_LONGEST_SHOWN: Final = 320


class InputError(Exception):
    """The input cannot be read on; says where and why."""


class Line(NamedTuple):
    """What one line asks for. `number`: of the line, from 1, at which it begins; `end`: octets of the input up to its
    end; `problem`: why it asks for nothing, if it does not."""

    number: int
    text: str
    end: int
    problem: str = ""

    @property
    def shown(self) -> str:
        """The text as it is written out: in one line, without control characters, of bounded length."""
        return escape(self.text if len(self.text) <= _LONGEST_SHOWN else self.text[:_LONGEST_SHOWN] + "…")


class Reader(Protocol):
    """Makes targets of lines."""

    def line(self, number: int, text: str, end: int) -> Iterator[Line]:
        """Take the next line, without its end; raises InputError."""
        ...

    def end(self) -> None:
        """Take note that there are no more; raises InputError."""
        ...


class Lines:
    """Cuts the input into lines. One that is too long is not kept: it becomes a problem of its own."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rest = b""
        self._number = 0
        self._end = 0

    def feed(self, data: bytes) -> Iterator[Line]:
        """Take the next octets of the input; none at all are its end. Raises InputError."""
        *whole, rest = (self._rest + data).split(b"\n")
        for raw in whole:
            yield from self._take(raw, 1)
        if not data:
            if rest:
                yield from self._take(rest, 0)
            self._reader.end()
            return
        # What is too long already need not be kept, whatever it will amount to.
        self._rest = rest[: LONGEST_LINE + 1]
        self._end += len(rest) - len(self._rest)

    def _take(self, raw: bytes, terminator: int) -> Iterator[Line]:
        self._number += 1
        self._end += len(raw) + terminator
        if self._number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if len(raw) > LONGEST_LINE:
            start = raw[:LONGEST_LINE].decode("utf-8", "backslashreplace")
            yield Line(self._number, start, self._end, f"is longer than {LONGEST_LINE} octets")
            return
        yield from self._reader.line(
            self._number, raw.decode("utf-8", "backslashreplace").removesuffix("\r"), self._end
        )


class Plain:
    """One target a line. Blank lines, and those that begin with `#`, ask for nothing."""

    def line(self, number: int, text: str, end: int) -> Iterator[Line]:
        text = text.strip()
        if text and not text.startswith("#"):
            yield Line(number, text, end)

    def end(self) -> None:
        pass


class CsvColumn:
    """One column of a CSV (RFC 4180). `column`: its name, and then the first record is the header; or its number, from
    1, and then there is none."""

    def __init__(self, column: str | int, delimiter: str = ",") -> None:
        self._column = column
        self._delimiter = delimiter
        self._index = column - 1 if isinstance(column, int) else None
        self._open: list[str] = []
        self._began = 0
        self._size = 0

    def line(self, number: int, text: str, end: int) -> Iterator[Line]:
        if not self._open:
            self._began, self._size = number, 0
        self._open.append(f"{text}\n")
        self._size += len(text) + 1
        # Only a quote can end a quoted field.
        if len(self._open) > 1 and '"' not in text:
            record = None
        else:
            try:
                record = self._record()
            except csv.Error as error:
                self._open = []
                yield Line(self._began, text, end, f"is no CSV: {error}")
                return
        if record is None:
            if self._size > LONGEST_RECORD:
                self._not_closed()
            return
        self._open = []
        if not record:
            return
        if self._index is None:
            self._index = self._find(record)
        else:
            yield self._cell(record, self._index, end)

    def end(self) -> None:
        if self._open:
            self._not_closed()
        if self._index is None:
            raise InputError(f"has no header, and so no column {self._column!r}")

    def _record(self) -> list[str] | None:
        """Return the fields of the open record, None when a quoted field goes on."""
        complete = True

        def lines() -> Iterator[str]:
            nonlocal complete
            yield from self._open
            complete = False

        record = next(csv.reader(lines(), delimiter=self._delimiter))
        return record if complete else None

    def _cell(self, record: list[str], index: int, end: int) -> Line:
        if index >= len(record):
            return Line(self._began, "", end, f"the record has {len(record)} of at least {index + 1} columns")
        text = record[index].strip()
        return Line(self._began, text, end, "" if text else "the column is empty")

    def _find(self, header: list[str]) -> int:
        names = [name.strip() for name in header]
        if names.count(str(self._column)) != 1:
            known = escape(", ".join(names))
            several = "more than one column" if self._column in names else "no column"
            raise InputError(f"line {self._began} names {several} {self._column!r}, it has: {known}")
        return names.index(str(self._column))

    def _not_closed(self) -> None:
        raise InputError(f"line {self._began}: a quoted field that begins there has no end")
