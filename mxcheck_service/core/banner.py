"""The SMTP greeting, judged line by line without I/O (RFC 5321 sections 3.1, 4.2; reference: probe_with_greeting)."""

import re
from typing import Final

from mxcheck_service.core.model import Outcome, Verdict

MAX_LINE: Final = 4096
"""Octets of one line, CRLF included: eight times what RFC 5321 section 4.5.3.1.5 allows."""
MAX_GREETING: Final = 65536
"""Octets of the whole greeting."""

_REPLY = re.compile(rb"([0-9]{3})([ -])")


class Greeting:
    """Feed it what the peer sends, in pieces of any size, until it answers with an outcome.

    Without `whole` the first `220` line is proof enough; with it (QUIT is to follow) a multi-line greeting is read to
    its last line, and each line is judged. Only CRLF ends a line. `lines` keeps what was judged, for the trace.
    """

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole
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
            return Outcome(Verdict.ERROR, code.decode("ascii"))
        return Outcome(Verdict.INVALID)
