"""Single values as rspamd's configuration writes them: times, numbers and truth, as such or as text."""

import re
import sys
from typing import Any, Final

_SUFFIXES: Final = {
    "": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400,
}  # fmt: skip
"""Seconds. Those of libucl, and `m` of rspamd's own parse_time_interval."""
_MULTIPLES: Final = {"": 1, "k": 1000, "g": 1_000_000_000, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
_LARGEST: Final = sys.float_info.max
_NUMBER: Final = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.ASCII)
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


class Unreadable(ValueError):
    """A value means nothing; the message says what it should have been."""


def number(value: Any, *, time: bool = True) -> float | int:
    """Return a number, or a text with a suffix such as `90min` as seconds (`time`), `2k` as a multiple."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Unreadable("is not a number")
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip().lower())
        factor = (_SUFFIXES if time else _MULTIPLES).get(match[2]) if match else None
        if match is None or factor is None:
            raise Unreadable("is not a time, such as 30s, 5min or 1d" if time else "is not a number")
        value = float(match[1]) * factor
    if not -_LARGEST <= value <= _LARGEST:  # neither is NaN
        raise Unreadable("is not a number")
    return int(value) if float(value).is_integer() else round(value, 6)


def truth(value: Any) -> bool:
    """Return what yes, no and their like mean; raises Unreadable."""
    text = str(value).strip().lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise Unreadable("is neither true nor false")
