"""Log lines: one an event, for people or as JSON, never with control characters from the wire, repeats held back.

structlog writes the lines of the requests, which must cost next to nothing; records of the standard library's loggers,
the service's own and those of libraries, get the same form from it.
"""

import logging
import re
import sys
import time
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final, Literal
from urllib.parse import quote

import orjson
import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, WrappedLogger

from mxcheck_service.ports import Clock, SystemClock

REPEAT_SECONDS: Final = 10.0
"""A message of one kind is written once in this time; the next one tells how many were held back."""
MOST_KINDS: Final = 1000
"""Kinds of messages that are told apart at once; some libraries make every message one of its own."""
SHORTEST_SECRET: Final = 6
"""Characters from which on a secret is looked for in every line; what is shorter stands in many words."""
MASK: Final = b"**********"

_BARE = re.compile(r'[^\s"=\\]+')

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def escape(text: str) -> str:
    """Return the text with whatever is no printable character written as an escape.

    That is control characters and line separators, what turns the direction of writing or cannot be seen (Unicode's
    class Cf), blanks that are no space, and lone surrogates.
    """
    return text if text.isprintable() else "".join(map(_escape_one, text))


class Line:
    """The last processor of structlog's chain: makes the line of an event, in which no secret is to be read."""

    def __init__(self, kind: LogFormat, secrets: Collection[str] = ()) -> None:
        self._write = _json if kind == "json" else _text
        long = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
        # As it is, as a URL has it, as a string of JSON or Python has it, and as a line has what cannot be printed.
        texts = [text for one in long for text in (one, escape(one))]
        forms = {form for text in texts for form in (text, quote(text, safe=""), orjson.dumps(text).decode()[1:-1])}
        self._secrets = [form.encode() for form in sorted(forms, key=len, reverse=True)]

    def __call__(self, _logger: WrappedLogger, level: str, event: EventDict) -> bytes:
        """`event` has `event` and `logger`, `created` (seconds of the epoch) unless it is now, and any fields."""
        line = self._write(
            {
                "time": _stamp(event.pop("created", None) or time.time()),
                "level": level,
                "logger": event.pop("logger"),
                "message": event.pop("event"),
                **event,
            }
        )
        for secret in self._secrets:
            line = line.replace(secret, MASK)
        return line


class Formatter(ProcessorFormatter):
    """Formats a record of the standard library as such a line."""

    def __init__(self, kind: LogFormat, secrets: Collection[str] = ()) -> None:
        line = Line(kind, secrets)
        super().__init__(
            foreign_pre_chain=[_tell_origin, structlog.processors.format_exc_info],
            processors=[ProcessorFormatter.remove_processors_meta, lambda *event: line(*event).decode()],
        )


class StandardError:
    """Where structlog's lines go: each is written at once and as a whole, or lost as the standard library's are.

    A full disk or a reader that has gone is no reason to fail whoever has something to log.
    """

    def __init__(self) -> None:
        self._stream = sys.stderr.buffer

    def write(self, line: bytes) -> None:
        try:
            self._stream.write(line + b"\n")
            self._stream.flush()
        except OSError:
            pass

    debug = info = warning = error = critical = write


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
        # A template without words of its own is no kind.
        key = f"{record.name}:{record.getMessage() if record.msg == '%s' else record.msg}"
        last, held = self._last.pop(key, (-REPEAT_SECONDS, 0))
        if now - last < REPEAT_SECONDS:
            self._last[key] = (last, held + 1)
            return False
        self._last[key] = (now, 0)
        if len(self._last) > MOST_KINDS:
            del self._last[next(iter(self._last))]
        if held:
            record.msg = f"{record.msg} ({held} more like this since)"
        return True


def configure(level: LogLevel, kind: LogFormat, secrets: Collection[str] = ()) -> None:
    """Send the log of the whole process to standard error; `secrets` are masked wherever they turn up.

    The level is that of the standard library's root logger; who writes through structlog asks there first.
    """
    structlog.configure(
        processors=[Line(kind, secrets)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=StandardError,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(kind, secrets))
    handler.addFilter(HoldRepeats(SystemClock()))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def reconfigure(level: LogLevel, kind: LogFormat, secrets: Collection[str]) -> None:
    """As `configure`, where it was called before; a logger of structlog's that is bound already stays as it is."""
    if structlog.is_configured():
        configure(level, kind, secrets)


def _tell_origin(_logger: WrappedLogger, _level: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    event["logger"], event["created"] = record.name, record.created
    return event


def _stamp(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _escape_one(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def _json(event: Mapping[str, Any]) -> bytes:
    try:
        line = orjson.dumps(event)
    except TypeError:
        # A lone surrogate, which is no text.
        return orjson.dumps(_escaped(event))
    # Nearly every line is plain ASCII without an escape in it, and cannot hold anything that must be looked for.
    if line.isascii() and b"\\" not in line and b"\x7f" not in line:
        return line
    return orjson.dumps(_escaped(event))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, Mapping):
        return {escape(key): _escaped(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(each) for each in value]
    return value


def _text(event: EventDict) -> bytes:
    """`2026-01-31T12:00:00.000Z info    message field=value`: no logger, no fields without a value."""
    line = f"{event.pop('time')} {event.pop('level'):7} {event.pop('message')}"
    del event["logger"]
    for name, value in event.items():
        if value is not None and value != []:
            line += f" {name}={_value(value)}"
    return escape(line).encode()


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = ",".join([_item(each) for each in value]) if isinstance(value, list) else str(value)
    if _BARE.fullmatch(text):
        return text
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))


def _item(value: Mapping[str, str] | str) -> str:
    return value if isinstance(value, str) else "/".join(value.values())
