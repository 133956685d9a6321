"""One line of the doctor's report."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """How it is, from good to bad."""

    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


_EXIT: Final = {Status.OK: 0, Status.SKIP: 0, Status.WARN: 1, Status.FAIL: 2}


@dataclass(frozen=True, slots=True)
class Row:
    """`see` is a heading of docs/troubleshooting.md."""

    status: Status
    area: str
    found: str
    advice: str = ""
    see: str = ""


def ok(area: str, found: str) -> Row:
    return Row(Status.OK, area, found)


def skip(area: str, found: str, advice: str) -> Row:
    return Row(Status.SKIP, area, found, advice)


def warn(area: str, found: str, advice: str, see: str = "") -> Row:
    return Row(Status.WARN, area, found, advice, see)


def fail(area: str, found: str, advice: str, see: str = "") -> Row:
    return Row(Status.FAIL, area, found, advice, see)


def exit_code(rows: Iterable[Row]) -> int:
    """Return 0 when nothing is wrong, 1 with warnings, 2 with failures."""
    return max((_EXIT[row.status] for row in rows), default=0)
