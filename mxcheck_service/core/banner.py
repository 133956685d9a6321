"""The SMTP greeting, judged line by line without I/O (RFC 5321 sections 3.1, 4.2; reference: probe_with_greeting)."""

import re
from typing import Final

from mxcheck_service.core.complaints import complaint
from mxcheck_service.core.model import Outcome, Verdict

MAX_LINE: Final = 4096
"""Octets of one line, CRLF included: eight times what RFC 5321 section 4.5.3.1.5 allows."""
MAX_GREETING: Final = 65536
"""Octets of the whole greeting."""
MAX_LINES: Final = 1024
"""Lines of the whole greeting. Judging one costs far more than receiving it: 64 KiB of empty ones are an attack."""
NEVER: Final = b"521"
"""The reply code of a host that never accepts mail (RFC 7504 section 3)."""

_REPLY = re.compile(rb"([0-9]{3})([ -])")
_TOLERANT_REPLY = re.compile(rb"([0-9]{3})(?:([ -])|\0|\Z)")
_CODE_SIZE: Final = 4
"""Octets that tell whether a line is a reply: the code, and what separates it from the text."""


class Greeting:
    """Feed it what the peer sends, in pieces of any size, until it answers with an outcome.

    Without `whole` the first `220` line is proof enough; with it (QUIT is to follow) a multi-line greeting is read to
    its last line, and each line is judged. Only CRLF ends a line. `lines` keeps what was judged, for the trace. With
    `believe_521` that code is REFUSED, as if nobody listened, unless the text says that it is meant for us alone.
    """

    def __init__(self, *, whole: bool, believe_521: bool = False) -> None:
        self._whole = whole
        self._believe_521 = believe_521
        self._pending = b""
        self._size = 0
        self.lines: list[bytes] = []

    def feed(self, data: bytes) -> Outcome | None:
        """Take more octets; return the outcome, or None while the greeting is not complete.

        A line or a greeting past its bound is TIMEOUT_READ, what waiting for its end would come to.
        """
        *lines, self._pending = (self._pending + data).split(b"\r\n")
        for line in lines:
            if self._is_past_its_bound(len(line)):
                return self.timed_out()
            self._size += len(line) + 2
            self.lines.append(line)
            outcome = self._judge(line)
            if outcome:
                return outcome
            if len(self.lines) >= MAX_LINES:
                return self.timed_out()
        # The last octet may be the first half of a CRLF.
        return self.timed_out() if self._is_past_its_bound(len(self._pending) - 1) else None

    def closed(self) -> Outcome:
        """Return the outcome of a peer that closed or reset the connection before its greeting was complete."""
        return Outcome(Verdict.INVALID)

    def timed_out(self) -> Outcome:
        """Return the outcome of a peer that did not complete its greeting in time."""
        return Outcome(Verdict.TIMEOUT_READ)

    def _is_past_its_bound(self, length: int) -> bool:
        """Tell whether a line of this many octets, CRLF apart, is too long for itself or for the whole greeting."""
        return length + 2 > min(MAX_LINE, MAX_GREETING - self._size)

    def _judge(self, line: bytes) -> Outcome | None:
        reply = _REPLY.match(line)
        if not reply:
            return Outcome(Verdict.INVALID)
        code, separator = reply[1], reply[2]
        if code == b"220":
            return None if self._whole and separator == b"-" else Outcome(Verdict.GOOD)
        if code[:1] in (b"4", b"5"):
            return self._turned_away(code, line)
        return Outcome(Verdict.INVALID)

    def _turned_away(self, code: bytes, text: bytes) -> Outcome:
        if self._believe_521 and code == NEVER and not complaint(text):
            return Outcome(Verdict.REFUSED)
        return Outcome(Verdict.ERROR, code.decode("ascii"))


class TolerantGreeting(Greeting):
    """Judges as a sending MTA does, after Postfix' SMTP client (smtp_chat.c, smtp_proto.c; held to it by a test).

    Any 2xx greets. A line ends with LF, whatever CRs are before it, and its code may stand alone. What is no reply is
    passed over, but is INVALID if nothing better follows. A line past its bound is judged by its code all the same.

    Unlike Postfix it judges 4xx and 5xx by the first line, as soon as that says so, and without `whole` 2xx, too. A 521
    that is to be believed is read to its end, since its text counts. `lines` keeps what has come until then.
    """

    def __init__(self, *, whole: bool, believe_521: bool = False) -> None:
        super().__init__(whole=whole, believe_521=believe_521)
        self._is_strange = False
        self._is_never = False

    def feed(self, data: bytes) -> Outcome | None:
        room = MAX_GREETING - self._size
        self._size += len(data)
        outcome = self._take(data[:room])
        return self.timed_out() if outcome is None and len(data) > room else outcome

    def closed(self) -> Outcome:
        return self._cut_off() or super().closed()

    def timed_out(self) -> Outcome:
        return self._cut_off() or (super().closed() if self._is_strange else super().timed_out())

    def _take(self, data: bytes) -> Outcome | None:
        *lines, rest = (self._pending + data).split(b"\n")
        judged = len(self.lines)
        room = MAX_LINES - judged
        # What is cut off of a line has no say in its judgement.
        self._pending = rest[:MAX_LINE]
        self.lines += [line[:MAX_LINE].rstrip(b"\r") for line in lines[:room]]
        outcomes = (self._judge_part(line, complete=True) for line in self.lines[judged:])
        outcome = next(filter(None, outcomes), None)
        if outcome is None and len(lines) >= room:
            # However much of the next line has come along: it is not read.
            self._pending = b""
            return self.timed_out()
        outcome = outcome or self._judge_part(self._pending, complete=len(rest) >= MAX_LINE)
        if outcome and self._pending:
            self.lines.append(self._pending)
        return outcome

    def _judge_part(self, line: bytes, *, complete: bool) -> Outcome | None:
        """Judge a line, or what has come of it; None: go on reading."""
        reply = _TOLERANT_REPLY.match(line.rstrip(b"\r"))
        if not reply:
            self._is_strange = self._is_strange or complete or len(line) >= _CODE_SIZE
            return None
        code, separator = reply[1], reply[2]
        if not (complete or separator):
            return None
        match code[:1]:
            case b"2" if self._whole:
                return Outcome(Verdict.GOOD) if complete and separator != b"-" else None
            case b"2":
                return Outcome(Verdict.GOOD)
            case b"4" | b"5" if complete or code != NEVER or not self._believe_521:
                outcome = self._turned_away(code, line)
                if outcome.verdict is Verdict.ERROR or separator != b"-":
                    return outcome
                self._is_never = True
                return None
            case b"4" | b"5":
                self._is_never = True
                return None
            case _:
                return Outcome(Verdict.INVALID)

    def _cut_off(self) -> Outcome | None:
        """Return the outcome of a greeting that turned us away and has not come to its end."""
        return self._turned_away(NEVER, self._pending) if self._is_never else None
