"""Log lines: one a record, `key=value` or JSON, never with control characters from the wire, repeats held back."""

import json
import logging
import re
import sys
import time
from typing import Final, Literal

from mxcheck_service.ports import Clock, SystemClock

REPEAT_SECONDS: Final = 10.0
"""A message of one kind is written once in this time; the next one tells how many were held back."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def escape(text: str) -> str:
    """Return the text with control characters, line separators and lone surrogates written as escapes."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class Formatter(logging.Formatter):
    """Formats a record as one line."""

    def __init__(self, kind: LogFormat) -> None:
        super().__init__()
        self._kind = kind

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        message = escape(record.getMessage())
        trouble = escape(self.formatException(record.exc_info)) if record.exc_info else None
        if self._kind == "json":
            line = {"time": stamp, "level": record.levelname.lower(), "logger": record.name, "message": message}
            return json.dumps(line | ({"exception": trouble} if trouble else {}), ensure_ascii=False)
        return f"{stamp} {record.levelname.lower():7} {message}" + (f" exception={trouble}" if trouble else "")


class HoldRepeats(logging.Filter):
    """Lets a warning or error of one kind (one message template) through once per `REPEAT_SECONDS`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now = self._clock.monotonic()
        key = f"{record.name}:{record.msg}"
        last, held = self._last.get(key, (-REPEAT_SECONDS, 0))
        if now - last < REPEAT_SECONDS:
            self._last[key] = (last, held + 1)
            return False
        self._last[key] = (now, 0)
        if held:
            record.msg = f"{record.msg} ({held} more like this since)"
        return True


def configure(level: LogLevel, kind: LogFormat) -> None:
    """Send the log of the whole process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(kind))
    handler.addFilter(HoldRepeats(SystemClock()))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def set_level(level: LogLevel) -> None:
    """Log from this level on, from now on."""
    logging.getLogger().setLevel(level.upper())
