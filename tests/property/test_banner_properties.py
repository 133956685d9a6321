"""The greeting parsers: any octets, in any pieces."""

import itertools
from collections.abc import Callable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from mxcheck_service.core.banner import MAX_GREETING, MAX_LINE, Greeting, TolerantGreeting
from mxcheck_service.core.model import Outcome, Verdict

lines = st.one_of(
    st.sampled_from([b"220 mx", b"220-mx", b"220", b"421 busy", b"554-no", b"250 ok", b"HTTP/1.1 200", b"", b"\n"]),
    st.sampled_from([b"521 never", b"521-never", b"521 listed", b"521 unlistedly", b"521", b"220\0", b"220\r\r"]),
    st.sampled_from([b"220-a\n220 b\n", b"220\n", b"554-a\n554 b"]),
    st.binary(max_size=20),
    st.builds(lambda start, size: start.ljust(size, b"x"), st.sampled_from([b"220-", b"220 "]), st.integers(4, 9000)),
)
greetings = st.one_of(
    st.lists(lines, max_size=40).map(b"\r\n".join),
    st.lists(lines, max_size=40).map(lambda parts: b"".join(part + b"\r\n" for part in parts)),
    st.binary(max_size=200),
    st.integers(1, 3000).map(lambda count: b"220-a long greeting\r\n" * count + b"220 end\r\n"),
)


parsers = st.sampled_from(
    [partial(kind, believe_521=believe) for kind in (Greeting, TolerantGreeting) for believe in (False, True)]
)
Parser = Callable[..., Greeting]


def outcome(data: bytes, cuts: list[int], *, whole: bool, parser: Parser = Greeting) -> Outcome:
    """Return what the data comes to when the peer closes after it."""
    greeting = parser(whole=whole)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(places):
        found = greeting.feed(data[start:end])
        if found:
            return found
    return greeting.closed()


@given(greetings, st.lists(st.integers(0, 10**6), max_size=10), st.booleans(), parsers)
def test_outcome_does_not_depend_on_the_pieces(data: bytes, cuts: list[int], whole: bool, parser: Parser) -> None:
    assert outcome(data, cuts, whole=whole, parser=parser) == outcome(data, [], whole=whole, parser=parser)


@given(greetings, st.booleans(), parsers)
def test_outcome_is_one_a_greeting_can_have(data: bytes, whole: bool, parser: Parser) -> None:
    found = outcome(data, [], whole=whole, parser=parser)
    if found.verdict is Verdict.ERROR:
        assert found.smtp_code is not None
        assert found.smtp_code[0] in "45"
        assert found.smtp_code.encode() in data
    else:
        assert found.verdict in (Verdict.GOOD, Verdict.INVALID, Verdict.TIMEOUT_READ, Verdict.REFUSED)
        assert found.verdict is not Verdict.REFUSED or b"521" in data
        assert found.smtp_code is None


@given(st.binary(max_size=300), st.integers(1, 100), parsers)
def test_endless_greeting_comes_to_an_end(piece: bytes, times: int, parser: Parser) -> None:
    """Whatever a peer sends without end, no more than the bounds is ever held."""
    greeting = parser(whole=True)
    fed = 0
    while fed <= MAX_GREETING and piece:
        chunk = b"220-" + piece * times
        fed += len(chunk)
        if greeting.feed(chunk):
            return
        assert len(greeting._pending) <= MAX_LINE
        assert sum(map(len, greeting.lines)) <= MAX_GREETING
    assert not piece or greeting.feed(b"x")


@given(greetings, parsers)
def test_good_with_all_lines_read_is_good_with_the_first_alone(data: bytes, parser: Parser) -> None:
    if outcome(data, [], whole=True, parser=parser) == Outcome(Verdict.GOOD):
        assert outcome(data, [], whole=False, parser=parser) == Outcome(Verdict.GOOD)


@given(greetings, st.booleans())
def test_what_the_strict_parser_takes_the_tolerant_one_takes(data: bytes, whole: bool) -> None:
    if outcome(data, [], whole=whole) == Outcome(Verdict.GOOD):
        assert outcome(data, [], whole=whole, parser=TolerantGreeting) == Outcome(Verdict.GOOD)
