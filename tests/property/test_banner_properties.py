"""The greeting parser: any octets, in any pieces."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mxcheck_service.core.banner import MAX_GREETING, MAX_LINE, Greeting
from mxcheck_service.core.model import Outcome, Verdict

lines = st.one_of(
    st.sampled_from([b"220 mx", b"220-mx", b"220", b"421 busy", b"554-no", b"250 ok", b"HTTP/1.1 200", b"", b"\n"]),
    st.binary(max_size=20),
    st.builds(lambda start, size: start.ljust(size, b"x"), st.sampled_from([b"220-", b"220 "]), st.integers(4, 9000)),
)
greetings = st.one_of(
    st.lists(lines, max_size=40).map(b"\r\n".join),
    st.lists(lines, max_size=40).map(lambda parts: b"".join(part + b"\r\n" for part in parts)),
    st.binary(max_size=200),
    st.integers(1, 3000).map(lambda count: b"220-a long greeting\r\n" * count + b"220 end\r\n"),
)


def outcome(data: bytes, cuts: list[int], *, whole: bool) -> Outcome:
    """Return what the data comes to when the peer closes after it."""
    greeting = Greeting(whole=whole)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(places):
        found = greeting.feed(data[start:end])
        if found:
            return found
    return greeting.closed()


@given(greetings, st.lists(st.integers(0, 10**6), max_size=10), st.booleans())
def test_outcome_does_not_depend_on_the_pieces(data: bytes, cuts: list[int], whole: bool) -> None:
    assert outcome(data, cuts, whole=whole) == outcome(data, [], whole=whole)


@given(greetings, st.booleans())
def test_outcome_is_one_a_greeting_can_have(data: bytes, whole: bool) -> None:
    found = outcome(data, [], whole=whole)
    if found.verdict is Verdict.ERROR:
        assert found.smtp_code is not None
        assert found.smtp_code[0] in "45"
        assert found.smtp_code.encode() in data
    else:
        assert found.verdict in (Verdict.GOOD, Verdict.INVALID, Verdict.TIMEOUT_READ)
        assert found.smtp_code is None


@given(st.binary(max_size=300), st.integers(1, 100))
def test_endless_greeting_comes_to_an_end(piece: bytes, times: int) -> None:
    """Whatever a peer sends without end, no more than the bounds is ever held."""
    greeting = Greeting(whole=True)
    fed = 0
    while fed <= MAX_GREETING and piece:
        chunk = b"220-" + piece * times
        fed += len(chunk)
        if greeting.feed(chunk):
            return
        assert len(greeting._pending) <= MAX_LINE
    assert not piece or greeting.feed(b"x")


@given(greetings)
def test_good_with_all_lines_read_is_good_with_the_first_alone(data: bytes) -> None:
    if outcome(data, [], whole=True) == Outcome(Verdict.GOOD):
        assert outcome(data, [], whole=False) == Outcome(Verdict.GOOD)
