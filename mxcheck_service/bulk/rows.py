"""The rows that are written: CSV or JSON lines, one physical line each, and read again when a run is resumed.

A row holds nothing that differs from run to run, such as times: an interrupted run that was resumed has written what an
uninterrupted one writes.
"""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple, Protocol

import orjson

from mxcheck_service.bulk.lines import Line
from mxcheck_service.checker import Report
from mxcheck_service.core.model import Verdict
from mxcheck_service.log import escape
from mxcheck_service.targets import AGAINST, FAILED, OK, UNKNOWN


class Row(NamedTuple):
    """What became of a line: an error, or all the rest. `score`: sum of the symbols' scores."""

    line: int
    input: str
    domain: str = ""
    verdict: str = ""
    host: str = ""
    score: float | None = None
    action: str = ""
    symbols: tuple[str, ...] = ()
    error: str = ""

    @property
    def kind(self) -> Verdict | None:
        """The verdict without the reply code of an SMTP error; None when there is none."""
        return Verdict(self.verdict.partition(":")[0]) if self.verdict else None

    @property
    def exit_code(self) -> int:
        if self.score is None:
            return FAILED
        if self.score > 0:
            return AGAINST
        return FAILED if self.kind in UNKNOWN else OK


def failed(line: Line, error: str) -> Row:
    return Row(line.number, line.shown, error=error)


def checked(line: Line, report: Report) -> Row:
    """Return the row of a report about at most one domain."""
    if not report.domains:
        return failed(line, "was not checked: mx_check.check_from is off")
    (domain,) = report.domains
    lookup = domain.result.lookup
    return Row(
        line.number,
        line.shown,
        domain.result.candidate.domain,
        str(lookup.outcome),
        escape(lookup.host),
        round(report.score, 6),
        report.action,
        tuple(report.symbols),
    )


class Format(Protocol):
    """How rows are written. `head` comes before the first one."""

    head: bytes

    def encode(self, row: Row) -> bytes: ...

    def decode(self, data: bytes) -> Row:
        """Return the row of one line; raises ValueError."""
        ...


class JsonLines:
    """One object a line; what there is not is null."""

    head = b""

    def encode(self, row: Row) -> bytes:
        document = {name: None if value == "" else value for name, value in row._asdict().items()}
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)

    def decode(self, data: bytes) -> Row:
        document = orjson.loads(data)
        if not isinstance(document, dict) or tuple(document) != Row._fields:
            raise ValueError("these are not the fields")
        texts = {name: "" if value is None else value for name, value in document.items() if name != "score"}
        return _checked(Row(**texts | {"score": document["score"], "symbols": tuple(document["symbols"])}))


class Csv:
    """A header and one record a line; symbols with blanks between them."""

    head = ",".join(Row._fields).encode() + b"\n"

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\n")

    def encode(self, row: Row) -> bytes:
        self._text.seek(0)
        self._text.truncate()
        self._writer.writerow((*row[:-2], " ".join(row.symbols), row.error))
        return self._text.getvalue().encode()

    def decode(self, data: bytes) -> Row:
        fields = next(csv.reader([data.decode()]), [])
        if len(fields) != len(Row._fields):
            raise ValueError("these are not the columns")
        line, text, domain, verdict, host, score, action, symbols, error = fields
        number = float(score) if score else None
        return _checked(Row(int(line), text, domain, verdict, host, number, action, tuple(symbols.split()), error))


FORMATS: Final[dict[str, type[Format]]] = {"csv": Csv, "jsonl": JsonLines}


class ForeignOutput(ValueError):
    """The file holds something else than rows of this format; says where."""


def written(file: BinaryIO, form: Format) -> Iterator[tuple[Row, int]]:
    """Yield each row of a file, and where the file goes on after it; a last line that was torn is no row.

    Raises ForeignOutput.
    """
    number, end = 0, 0
    if form.head:
        number, end = 1, len(form.head)
        head = file.readline()
        if not form.head.startswith(head):
            raise ForeignOutput("line 1 is not the header that would be written now")
    for data in file:
        number += 1
        if not data.endswith(b"\n"):
            return
        end += len(data)
        try:
            row = form.decode(data)
        except (ValueError, TypeError, KeyError, csv.Error):
            raise ForeignOutput(f"line {number} is no row of this format") from None
        yield row, end


def _checked(row: Row) -> Row:
    """Return the row; raises ValueError when its verdict is none that there is."""
    _ = row.kind
    return row
