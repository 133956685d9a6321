"""What a scripted SMTP peer does with one connection: steps, and ready-made scripts for `SmtpPeers.add`.

A script is a tuple of steps. When it ends, the peer closes the connection as `Close` does.
"""

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

_NAME = b"mx.lab.test"
_BYE = b"221 bye\r\n"
_TRICKLE_GAP = 0.001


@dataclass(frozen=True)
class Send:
    """Send these bytes; with `gap` each byte goes alone, that many seconds apart."""

    data: bytes
    gap: float | None = None


@dataclass(frozen=True)
class Repeat:
    """Send these bytes again and again until the client goes away."""

    data: bytes


@dataclass(frozen=True)
class Expect:
    """Wait until the client has sent these bytes (looked for after those of the last `Expect`)."""

    data: bytes


@dataclass(frozen=True)
class Wait:
    """Wait until the event is set, or the client goes away."""

    event: asyncio.Event


@dataclass(frozen=True)
class Stay:
    """Say nothing until the client goes away."""


@dataclass(frozen=True)
class Close:
    """End the stream (the client sees EOF), then wait for the client's end, to see how it comes."""


@dataclass(frozen=True)
class Reset:
    """Drop the connection with a TCP reset."""


Step: TypeAlias = Send | Repeat | Expect | Wait | Stay | Close | Reset
Script: TypeAlias = tuple[Step, ...]


def _polite(*greeting: Step, bye: Script = (Send(_BYE), Close())) -> Script:
    return (*greeting, Expect(b"QUIT\r\n"), *bye)


def good(text: bytes = _NAME + b" ESMTP", *, hold_bye: asyncio.Event | None = None) -> Script:
    """`220 <text>`, and `221` to QUIT, which may be held back until an event is set."""
    bye: Script = (Send(_BYE), Close())
    return _polite(Send(b"220 " + text + b"\r\n"), bye=bye if hold_bye is None else (Wait(hold_bye), *bye))


def good_multi_line(*, hold_last: asyncio.Event | None = None) -> Script:
    """Two `220-` lines and a `220 ` line, which may be held back until an event is set."""
    first = Send(b"220-" + _NAME + b" ESMTP\r\n220-No advertising here\r\n")
    last = Send(b"220 Ready\r\n")
    return _polite(first, last) if hold_last is None else _polite(first, Wait(hold_last), last)


def good_byte_by_byte() -> Script:
    """A multi-line greeting of single bytes."""
    return _polite(Send(b"220-" + _NAME + b" ESMTP\r\n220 Ready\r\n", gap=_TRICKLE_GAP))


def good_bare_code() -> Script:
    """`220` and nothing else in the line."""
    return _polite(Send(b"220\r\n"))


def good_lf_only() -> Script:
    """A multi-line greeting whose lines end with LF alone."""
    return _polite(Send(b"220-" + _NAME + b" ESMTP\n220 Ready\n"))


def banner(line: bytes) -> Script:
    """Any one line (or lines; CRLF is added), then silence: what the client sends is on record."""
    return (Send(line + b"\r\n"), Stay())


def rejects(code: int = 554, *, lines: int = 1, text: bytes = b"no service") -> Script:
    """A rejection of one or more lines, then the end: 421, 450, 521, 554, …; `text` is in the last one."""
    more = b"".join(b"%d-line %d\r\n" % (code, number) for number in range(1, lines))
    return (Send(more + b"%d %b\r\n" % (code, text)), Close())


def mixed_codes() -> Script:
    """`220-`, then a final line of another code, `250 `; QUIT is answered."""
    return _polite(Send(b"220-" + _NAME + b"\r\n250 " + _NAME + b"\r\n"))


def open_greeting_then_eof() -> Script:
    """A `220-` line, then the end: the greeting is never completed."""
    return (Send(b"220-" + _NAME + b" ESMTP\r\n"), Close())


def open_greeting_then_silence() -> Script:
    """A `220-` line, then nothing."""
    return (Send(b"220-" + _NAME + b" ESMTP\r\n"), Stay())


def open_line_then_eof() -> Script:
    """`220 …` without the end of the line, then the end."""
    return (Send(b"220 " + _NAME), Close())


def eof() -> Script:
    """The end of the stream at once."""
    return (Close(),)


def reset() -> Script:
    """A reset at once."""
    return (Reset(),)


def reset_after(data: bytes) -> Script:
    """These bytes, then a reset in place of an answer to the client's first line (such as QUIT)."""
    return (Send(data), Expect(b"\n"), Reset())


def silent() -> Script:
    """Connects, and never says anything."""
    return (Stay(),)


def endless_line() -> Script:
    """A line that never ends."""
    return (Send(b"220 "), Repeat(b"x" * 4096))


def endless_greeting() -> Script:
    """`220-` lines that never end."""
    return (Repeat(b"220-" + _NAME + b" is still getting ready\r\n"),)


def http_server() -> Script:
    """Something that speaks HTTP."""
    return (Send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), Close())


def nul_bytes() -> Script:
    """A line of NUL bytes."""
    return banner(b"\0" * 64)


def good_with_nul_bytes() -> Script:
    """A `220 ` line with NUL bytes in its text."""
    return _polite(Send(b"220 mx\0\0.lab.test ESMTP\r\n"))


def data_after_greeting() -> Script:
    """A good greeting with more lines in the same segment."""
    return _polite(Send(b"220 " + _NAME + b" ESMTP\r\n250-unasked\r\n250 for\r\n"))


def data_after_quit() -> Script:
    """`221`, and then more than anybody asked for."""
    return _polite(Send(b"220 " + _NAME + b" ESMTP\r\n"), bye=(Send(_BYE + b"250 more\r\n" * 2000), Close()))


def never_answers_quit() -> Script:
    """A good greeting; QUIT gets no answer and no end."""
    return _polite(Send(b"220 " + _NAME + b" ESMTP\r\n"), bye=(Stay(),))


def never_closes() -> Script:
    """A good greeting; QUIT gets its 221, but the peer keeps the connection open."""
    return _polite(Send(b"220 " + _NAME + b" ESMTP\r\n"), bye=(Send(_BYE), Stay()))
