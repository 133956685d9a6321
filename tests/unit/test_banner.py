"""The greeting parser (reference: read_line). Each case is fed whole, octet by octet, and cut in two everywhere."""

from collections.abc import Iterable, Iterator

import pytest

from mxcheck_service.core.banner import MAX_GREETING, MAX_LINE, MAX_LINES, Greeting
from mxcheck_service.core.model import Outcome, Verdict

GOOD = Outcome(Verdict.GOOD)
INVALID = Outcome(Verdict.INVALID)
SILENT = Outcome(Verdict.TIMEOUT_READ)


def error(code: str) -> Outcome:
    return Outcome(Verdict.ERROR, code)


# (what the peer sends, outcome when the first 220 is enough, outcome when all lines are read).
# None: the greeting is not complete.
CASES: list[tuple[str, bytes, Outcome | None, Outcome | None]] = [
    ("good", b"220 mx.example.com ESMTP\r\n", GOOD, GOOD),
    ("good-without-text", b"220 \r\n", GOOD, GOOD),
    ("more-after-the-greeting", b"220 a\r\n250 b\r\n", GOOD, GOOD),
    ("continued", b"220-mx.example.com\r\n", GOOD, None),
    ("continued-to-its-end", b"220-a\r\n220-b\r\n220 c\r\n", GOOD, GOOD),
    ("continued-then-another-code", b"220-a\r\n250 b\r\n", GOOD, INVALID),
    ("continued-then-error", b"220-a\r\n554 b\r\n", GOOD, error("554")),
    ("continued-then-text", b"220-a\r\nhello\r\n", GOOD, INVALID),
    ("continued-then-bare-code", b"220-a\r\n220\r\n", GOOD, INVALID),
    ("continued-then-cut-off", b"220-a\r\n220 b", GOOD, None),
    ("bare-code", b"220\r\n", INVALID, INVALID),
    ("code-and-tab", b"220\tmx\r\n", INVALID, INVALID),
    ("code-and-letter", b"220x mx\r\n", INVALID, INVALID),
    ("four-digits", b"2200 mx\r\n", INVALID, INVALID),
    ("two-digits", b"22 mx\r\n", INVALID, INVALID),
    ("blank-first", b" 220 mx\r\n", INVALID, INVALID),
    ("1xx", b"120 mx\r\n", INVALID, INVALID),
    ("another-2xx", b"221 mx\r\n", INVALID, INVALID),
    ("250", b"250 mx\r\n", INVALID, INVALID),
    ("250-continued", b"250-mx\r\n", INVALID, INVALID),
    ("3xx", b"354 mx\r\n", INVALID, INVALID),
    ("6xx", b"620 mx\r\n", INVALID, INVALID),
    ("0xx", b"020 mx\r\n", INVALID, INVALID),
    ("4xx", b"421 too busy\r\n", error("421"), error("421")),
    ("4xx-continued", b"450-a\r\n450 b\r\n", error("450"), error("450")),
    ("5xx", b"554 no\r\n", error("554"), error("554")),
    ("5xx-continued", b"554-a\r\n", error("554"), error("554")),
    ("500-without-separator", b"500\r\n", INVALID, INVALID),
    ("empty-line", b"\r\n", INVALID, INVALID),
    ("empty-line-first", b"\r\n220 mx\r\n", INVALID, INVALID),
    ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n", INVALID, INVALID),
    ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n", INVALID, INVALID),
    ("tls-alert", b"\x15\x03\x01\x00\x02\x02\x0a\r\n", INVALID, INVALID),
    ("nul-octets", b"\x00\x00\x00\r\n", INVALID, INVALID),
    ("octets-above-127-in-the-text", b"220 \xff\xfe\r\n", GOOD, GOOD),
    ("digits-above-127", b"\xb2\xb2\xb0 mx\r\n", INVALID, INVALID),
    ("lf-only", b"220 mx\n", None, None),
    ("lf-lines-then-crlf", b"220-a\n220 b\r\n", GOOD, None),
    ("lf-before-the-code", b"\n220 mx\r\n", INVALID, INVALID),
    ("cr-only", b"220 mx\r", None, None),
    ("lf-cr", b"220 mx\n\r", None, None),
    ("cr-cr-lf", b"220 mx\r\r\n", GOOD, GOOD),
    ("cut-off", b"220 mx", None, None),
    ("nothing", b"", None, None),
]

LONG_CASES: list[tuple[str, bytes, Outcome | None, Outcome | None]] = [
    ("longest-line", b"220 ".ljust(MAX_LINE - 2, b"x") + b"\r\n", GOOD, GOOD),
    ("line-one-octet-too-long", b"220 ".ljust(MAX_LINE - 1, b"x") + b"\r\n", SILENT, SILENT),
    ("line-too-long-without-end", b"220 ".ljust(MAX_LINE + 1, b"x"), SILENT, SILENT),
    ("text-too-long", b"x" * (2 * MAX_LINE) + b"\r\n", SILENT, SILENT),
    ("long-line-then-another", b"220-".ljust(MAX_LINE + 10, b"x") + b"\r\n220 mx\r\n", SILENT, SILENT),
]


def chunkings(data: bytes) -> Iterator[list[bytes]]:
    """Yield the data whole, octet by octet, and cut in two at every place."""
    yield [data]
    yield [data[index : index + 1] for index in range(len(data))]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]


def outcome_of(chunks: Iterable[bytes], *, whole: bool) -> Outcome | None:
    greeting = Greeting(whole=whole)
    return next((outcome for chunk in chunks if (outcome := greeting.feed(chunk))), None)


@pytest.mark.parametrize(("data", "first", "whole"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_outcome_is_the_same_however_the_greeting_arrives(
    data: bytes, first: Outcome | None, whole: Outcome | None
) -> None:
    for chunks in chunkings(data):
        assert outcome_of(chunks, whole=False) == first, chunks
        assert outcome_of(chunks, whole=True) == whole, chunks


@pytest.mark.parametrize(("data", "first", "whole"), [pytest.param(*case[1:], id=case[0]) for case in LONG_CASES])
def test_line_past_its_bound_counts_as_no_line_however_it_arrives(
    data: bytes, first: Outcome | None, whole: Outcome | None
) -> None:
    """MAX_LINE counts CRLF; what is longer comes to what waiting for its end would: a read timeout."""
    cuts = (1, 4, MAX_LINE - 2, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, len(data) - 1)
    octets = [data[index : index + 1] for index in range(len(data))]
    for chunks in ([data], octets, *([data[:cut], data[cut:]] for cut in cuts)):
        assert outcome_of(chunks, whole=False) == first
        assert outcome_of(chunks, whole=True) == whole


@pytest.mark.parametrize(
    ("size", "outcome"),
    [
        pytest.param(MAX_GREETING, GOOD, id="at-the-bound"),
        pytest.param(MAX_GREETING + 1, SILENT, id="past-the-bound"),
        pytest.param(MAX_GREETING + 4096, SILENT, id="far-past-the-bound"),
    ],
)
def test_greeting_past_its_bound_counts_as_no_end_however_it_arrives(size: int, outcome: Outcome) -> None:
    last = b"220 end\r\n"
    lines = b"220-" + b"x" * 74 + b"\r\n"
    data = (lines * (size // len(lines) + 1))[: size - len(last) - 2] + b"\r\n" + last
    assert len(data) == size
    # The line cut short by the slice must be a continuation line still.
    assert all(line.startswith(b"220-") for line in data.split(b"\r\n")[:-2])
    octets = [data[index : index + 1] for index in range(size)]
    thousands = [data[index : index + 1000] for index in range(0, size, 1000)]
    for chunks in ([data], thousands, octets):
        assert outcome_of(chunks, whole=True) == outcome


@pytest.mark.parametrize(("before", "outcome"), [(MAX_LINES - 1, GOOD), (MAX_LINES, SILENT)])
def test_no_more_lines_are_judged_than_anybody_needs(before: int, outcome: Outcome) -> None:
    data = b"220-\r\n" * before + b"220 \r\n"
    assert len(data) < MAX_GREETING
    for size in (len(data), 1000, 1):
        pieces = [data[index : index + size] for index in range(0, len(data), size)]
        assert outcome_of(pieces, whole=True) == outcome


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("data", [b"", b"220", b"220 mx", b"220-mx"])
def test_peer_that_closes_before_its_greeting_is_complete_is_invalid(data: bytes, whole: bool) -> None:
    greeting = Greeting(whole=whole)
    assert greeting.feed(data) is None
    assert greeting.closed() == INVALID


@pytest.mark.parametrize("whole", [False, True])
def test_peer_that_stays_silent_is_a_read_timeout(whole: bool) -> None:
    greeting = Greeting(whole=whole)
    assert greeting.timed_out() == SILENT


def test_lines_that_were_judged_are_kept_for_the_trace() -> None:
    greeting = Greeting(whole=True)
    assert greeting.feed(b"220-a\r\n220-") is None
    assert greeting.lines == [b"220-a"]
    assert greeting.feed(b"b\r\n554 c\r\n220 never read\r\n") == error("554")
    assert greeting.lines == [b"220-a", b"220-b", b"554 c"]
