"""The tolerant greeting parser. Each case is fed whole, octet by octet, and cut in two everywhere.

That these outcomes are what a real Postfix makes of such peers is tested in tests/e2e/test_tolerant_greeting.py.
"""

import pytest

from mxcheck_service.core.banner import MAX_GREETING, MAX_LINE, MAX_LINES, Greeting, TolerantGreeting
from mxcheck_service.core.model import Outcome, Verdict
from tests.unit.test_banner import GOOD, INVALID, SILENT, chunkings, error

REFUSED = Outcome(Verdict.REFUSED)


# (what the peer sends, outcome when the first 2xx is enough, outcome when all lines are read).
# None: the greeting is not complete.
CASES: list[tuple[str, bytes, Outcome | None, Outcome | None]] = [
    ("good", b"220 mx.example.com ESMTP\r\n", GOOD, GOOD),
    ("good-without-text", b"220 \r\n", GOOD, GOOD),
    ("more-after-the-greeting", b"220 a\r\n250 b\r\n", GOOD, GOOD),
    ("continued", b"220-mx.example.com\r\n", GOOD, None),
    ("continued-to-its-end", b"220-a\r\n220-b\r\n220 c\r\n", GOOD, GOOD),
    ("continued-then-another-2xx", b"220-a\r\n250 b\r\n", GOOD, GOOD),
    ("continued-then-error", b"220-a\r\n554 b\r\n", GOOD, error("554")),
    ("continued-then-text", b"220-a\r\nhello\r\n220 b\r\n", GOOD, GOOD),
    ("continued-then-bare-code", b"220-a\r\n220\r\n", GOOD, GOOD),
    ("continued-then-3xx", b"220-a\r\n354 b\r\n", GOOD, INVALID),
    ("the-four-octets-alone", b"220 ", GOOD, None),
    ("the-four-octets-of-a-continued-one", b"220-", GOOD, None),
    ("three-octets", b"220", None, None),
    ("bare-code", b"220\r\n", GOOD, GOOD),
    ("bare-code-and-lf", b"220\n", GOOD, GOOD),
    ("bare-code-and-cr-cr-lf", b"220\r\r\n", GOOD, GOOD),
    ("bare-code-and-cr", b"220\r", None, None),
    ("code-and-nul", b"220\0mx\r\n", GOOD, GOOD),
    ("code-and-cr-in-the-line", b"220\rmx\n", None, None),
    ("code-and-tab", b"220\tmx\r\n", None, None),
    ("code-and-letter", b"220x mx\r\n", None, None),
    ("four-digits", b"2200 mx\r\n", None, None),
    ("blank-first", b" 220 mx\r\n", None, None),
    ("another-2xx", b"221 mx\r\n", GOOD, GOOD),
    ("250-continued", b"250-mx\r\n", GOOD, None),
    ("299", b"299 mx\r\n", GOOD, GOOD),
    ("1xx", b"120 mx\r\n", INVALID, INVALID),
    ("3xx", b"354 mx\r\n", INVALID, INVALID),
    ("6xx", b"620 mx\r\n", INVALID, INVALID),
    ("0xx", b"020 mx\r\n", INVALID, INVALID),
    ("4xx", b"421 too busy\r\n", error("421"), error("421")),
    ("4xx-at-once", b"421 ", error("421"), error("421")),
    ("5xx-at-once", b"554-", error("554"), error("554")),
    ("500-without-separator", b"500\r\n", error("500"), error("500")),
    ("text-first", b"hello\r\n220 mx\r\n", GOOD, GOOD),
    ("text-first-then-error", b"hello\r\n554 mx\r\n", error("554"), error("554")),
    ("empty-line-first", b"\r\n220 mx\r\n", GOOD, GOOD),
    ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n", None, None),
    ("lf-only", b"220 mx\n", GOOD, GOOD),
    ("lf-lines", b"220-a\n220 b\n", GOOD, GOOD),
    ("cr-only", b"220 mx\r", GOOD, None),
    ("cr-cr-lf", b"220 mx\r\r\n", GOOD, GOOD),
    ("digits-above-127", b"\xb2\xb2\xb0 mx\r\n", None, None),
    ("nothing", b"", None, None),
]

# The same with `believe_521`, whoever parses; the last outcome is that of a peer that closes after it.
NEVER_CASES: list[tuple[str, bytes, Outcome | None, Outcome]] = [
    ("never", b"521 mx.example accepts no mail\r\n", REFUSED, REFUSED),
    ("never-without-text", b"521 \r\n", REFUSED, REFUSED),
    ("never-to-us-a-list-says-why", b"521 5.7.1 blocked using zen.spamhaus.org\r\n", error("521"), error("521")),
    ("never-to-us-postscreen", b"521 5.3.2 Service currently unavailable\r\n", error("521"), error("521")),
    ("554-stays", b"554 no mail here\r\n", error("554"), error("554")),
]
TOLERANT_NEVER_CASES: list[tuple[str, bytes, Outcome | None, Outcome]] = [
    ("bare-code", b"521\n", REFUSED, REFUSED),
    ("line-without-end", b"521 no", None, REFUSED),
    ("to-us-without-end", b"521 you are listed", None, error("521")),
    ("continued", b"521-never\r\n", None, REFUSED),
    ("continued-to-its-end", b"521-a\r\n521 b\r\n", REFUSED, REFUSED),
    ("continued-with-the-list", b"521-a\r\n521 listed\r\n", error("521"), error("521")),
    ("half-a-code", b"52", None, INVALID),
    ("long-line", b"521 ".ljust(MAX_LINE, b"x"), REFUSED, REFUSED),
]


def fed(greeting: Greeting, chunks: list[bytes]) -> Outcome | None:
    return next((outcome for chunk in chunks if (outcome := greeting.feed(chunk))), None)


@pytest.mark.parametrize(("data", "first", "whole"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_outcome_is_the_same_however_the_greeting_arrives(
    data: bytes, first: Outcome | None, whole: Outcome | None
) -> None:
    for chunks in chunkings(data):
        assert fed(TolerantGreeting(whole=False), chunks) == first, chunks
        assert fed(TolerantGreeting(whole=True), chunks) == whole, chunks


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("data", "outcome", "closed"),
    [pytest.param(*case[1:], id=case[0]) for case in (*NEVER_CASES, *TOLERANT_NEVER_CASES)],
)
def test_521_is_believed_unless_it_is_meant_for_us(
    data: bytes, outcome: Outcome | None, closed: Outcome, whole: bool
) -> None:
    for chunks in chunkings(data) if len(data) < 100 else ([data], [data[:50], data[50:]]):
        greeting = TolerantGreeting(whole=whole, believe_521=True)
        assert fed(greeting, chunks) == outcome, chunks
        assert outcome or greeting.closed() == closed
        assert outcome or greeting.timed_out() == (SILENT if closed == INVALID else closed)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("data", "outcome", "_"), [pytest.param(*case[1:], id=case[0]) for case in NEVER_CASES])
def test_521_is_believed_by_the_other_parser_too(data: bytes, outcome: Outcome, _: Outcome, whole: bool) -> None:
    for chunks in chunkings(data):
        assert fed(Greeting(whole=whole, believe_521=True), chunks) == outcome, chunks


def test_521_is_an_error_like_others_when_it_is_not_to_be_believed() -> None:
    assert TolerantGreeting(whole=False).feed(b"521 ") == error("521")
    assert Greeting(whole=False).feed(b"521 \r\n") == error("521")


LONG_CASES: list[tuple[str, bytes, Outcome | None, Outcome | None]] = [
    ("longest-line", b"220 ".ljust(MAX_LINE, b"x") + b"\r\n", GOOD, GOOD),
    ("longer-line", b"220 ".ljust(3 * MAX_LINE, b"x") + b"\r\n", GOOD, GOOD),
    ("longer-line-without-end", b"220 ".ljust(3 * MAX_LINE, b"x"), GOOD, GOOD),
    ("line-that-may-get-longer", b"220 ".ljust(MAX_LINE - 1, b"x"), GOOD, None),
    ("longer-continued-line", b"220-".ljust(2 * MAX_LINE, b"x") + b"\r\n", GOOD, None),
    ("longer-continued-line-and-the-last", b"220-".ljust(2 * MAX_LINE, b"x") + b"\r\n220 mx\r\n", GOOD, GOOD),
    ("longer-line-of-another-code", b"554 ".ljust(2 * MAX_LINE, b"x"), error("554"), error("554")),
    ("longer-text-then-greeting", b"x" * (2 * MAX_LINE) + b"\r\n220 mx\r\n", GOOD, GOOD),
    ("code-and-crs", b"220".ljust(2 * MAX_LINE, b"\r") + b"\n", GOOD, GOOD),
    ("code-and-crs-and-text", b"220".ljust(MAX_LINE - 1, b"\r") + b"x\n", None, None),
    ("code-and-more-crs-and-text", b"220".ljust(MAX_LINE, b"\r") + b"x\n", GOOD, GOOD),
]


@pytest.mark.parametrize(("data", "first", "whole"), [pytest.param(*case[1:], id=case[0]) for case in LONG_CASES])
def test_long_line_is_judged_by_its_code_however_it_arrives(
    data: bytes, first: Outcome | None, whole: Outcome | None
) -> None:
    cuts = (1, 4, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, len(data) - 1)
    octets = [data[index : index + 1] for index in range(len(data))]
    for chunks in ([data], octets, *([data[:cut], data[cut:]] for cut in cuts)):
        assert fed(TolerantGreeting(whole=False), chunks) == first
        assert fed(TolerantGreeting(whole=True), chunks) == whole


@pytest.mark.parametrize(
    ("line", "end", "outcome"),
    [
        (b"220-never the last".ljust(80) + b"\r\n", b"220 end\r\n", SILENT),
        (b"what is this".ljust(80) + b"\r\n", b"220 end\r\n", INVALID),
    ],
)
def test_greeting_past_its_bound_has_come_to_its_end(line: bytes, end: bytes, outcome: Outcome) -> None:
    lines = line * (MAX_GREETING // len(line))
    padded = lines + line[:1] * (MAX_GREETING - len(lines) - len(end) - 1) + b"\n" + end
    for data, expected in ((padded[-MAX_GREETING:], GOOD), (line + padded, outcome)):
        thousands = [data[index : index + 1000] for index in range(0, len(data), 1000)]
        octets = [data[index : index + 1] for index in range(len(data))]
        for chunks in ([data], thousands, octets):
            assert fed(TolerantGreeting(whole=True), chunks) == expected


@pytest.mark.parametrize(
    ("before", "last", "outcome"),
    [
        (b"\n" * (MAX_LINES - 1), b"220 mx\n", GOOD),
        (b"\n" * MAX_LINES, b"220 mx\n", INVALID),
        (b"220-\n" * MAX_LINES, b"220 mx\n", SILENT),
        # What the cut-off line says is not read, in whatever pieces it comes.
        (b"521-\n" * MAX_LINES, b"521 you are listed\n", REFUSED),
    ],
)
def test_no_more_lines_are_judged_than_anybody_needs(before: bytes, last: bytes, outcome: Outcome) -> None:
    data = before + last
    for size in (len(data), len(before) + 9, 1000, 1):
        greeting = TolerantGreeting(whole=True, believe_521=True)
        assert fed(greeting, [data[index : index + size] for index in range(0, len(data), size)]) == outcome
        assert len(greeting.lines) <= MAX_LINES


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("data", [b"", b"22", b"220", b"220\r"])
def test_peer_that_says_nothing_wrong_is_silent(data: bytes, whole: bool) -> None:
    greeting = TolerantGreeting(whole=whole)
    assert greeting.feed(data) is None
    assert greeting.timed_out() == SILENT
    assert greeting.closed() == INVALID


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n", b"\r\n", b"\0\0\0\0", b"hello", b"220x", b"220\rm"])
def test_peer_that_says_something_else_and_no_more_is_no_mail_host(data: bytes, whole: bool) -> None:
    greeting = TolerantGreeting(whole=whole)
    assert greeting.feed(data) is None
    assert greeting.timed_out() == INVALID
    assert greeting.closed() == INVALID


def test_what_has_come_is_kept_for_the_trace() -> None:
    greeting = TolerantGreeting(whole=True)
    assert greeting.feed(b"hello\r\n220-") is None
    assert greeting.lines == [b"hello"]
    assert greeting.feed(b"a\n554-b\r\n554 c") == error("554")
    assert greeting.lines == [b"hello", b"220-a", b"554-b", b"554 c"]
