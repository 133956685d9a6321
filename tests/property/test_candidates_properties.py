"""Names and headers: whatever a message says, the answer is a clean name or nothing."""

import re
import string
from operator import itemgetter

from hypothesis import given, settings
from hypothesis import strategies as st

from mxcheck_service.core.candidates import Envelope, candidates, decode_words, header_domains, normalize
from mxcheck_service.core.model import Source
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, MxCheckSettings

CLEAN = re.compile(r"[a-z0-9._-]{1,254}", re.ASCII)
SETTINGS = MxCheckSettings()

any_text = st.text(st.characters(codec=None, exclude_categories=()))
specials = st.text('ab1@.,;:<>()"\\[] \t\r\n=?-_\u00e4\u00df\u200d\u3002\ud800\udc00\x00')
words = st.builds(
    "=?{}?{}?{}?=".format,
    st.one_of(st.sampled_from(["utf-8", "iso-8859-1", "us-ascii", "utf-7", "idna", "utf-16", "base64"]), any_text),
    st.sampled_from(["q", "b", "Q", "B", "x", ""]),
    st.one_of(st.text(string.ascii_letters + string.digits + "=_+/", max_size=20), any_text),
)
headers = st.one_of(any_text, specials, st.lists(st.one_of(words, specials, any_text), max_size=5).map("".join))

labels = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=20)
domains = st.lists(labels, min_size=1, max_size=5).map(".".join).filter(lambda name: not re.fullmatch(r"[0-9.]+", name))
atoms = st.text(string.ascii_letters + string.digits + "!#$%&'*+-/=^_`{|}~.", min_size=1, max_size=20)
quoted = st.text(string.printable, max_size=20).map(
    lambda text: '"' + re.sub(r'(["\\])', r"\\\1", text).replace("\r", "").replace("\n", "") + '"'
)
comments = st.one_of(st.just(""), st.text(string.ascii_letters + ',@<>;" ', max_size=10).map(lambda text: f" ({text})"))


@st.composite
def mailboxes(draw: st.DrawFn) -> tuple[str, str]:
    """Return (mailbox, its domain) in one of the forms of RFC 5322 section 3.4."""
    domain = draw(domains)
    address = f"{draw(atoms)}@{domain}"
    match draw(st.sampled_from(["bare", "angle", "atoms", "quoted"])):
        case "bare":
            text = address
        case "angle":
            text = f"<{address}>"
        case "atoms":
            text = f"{draw(atoms)} <{address}>"
        case _:
            text = f"{draw(quoted)} <{address}>"
    return text + draw(comments), domain


@given(st.one_of(any_text, specials, domains), st.booleans())
def test_normalized_name_is_clean_or_none(text: str, skip_literals: bool) -> None:
    name = normalize(text, skip_literals)
    assert name is None or CLEAN.fullmatch(name)


@given(st.one_of(any_text, specials, domains), st.booleans())
def test_normalizing_again_changes_nothing(text: str, skip_literals: bool) -> None:
    name = normalize(text, skip_literals)
    if name is not None:
        assert normalize(name, skip_literals) == name


@given(st.one_of(any_text, specials, domains))
def test_skipping_literals_only_takes_names_away(text: str) -> None:
    skipped = normalize(text, True)
    assert skipped in (None, normalize(text, False))


@given(domains)
def test_ordinary_name_stays_as_it_is(name: str) -> None:
    assert normalize(name, True) == name
    assert normalize(name.upper(), True) == name


@given(headers)
def test_any_header_value_is_taken_apart(value: str) -> None:
    assert all(header_domains(value))


@given(headers)
def test_any_header_value_is_decoded(value: str) -> None:
    text = decode_words(value)
    if "=?" not in value:
        assert text == value


pieces = st.one_of(
    st.sampled_from(
        [
            "a",
            "Jo",
            "one.example",
            ".",
            "@",
            "a@one.example",
            "a@one.example.",
            "<",
            ">",
            "<a@one.example>",
            '"',
            '"a b"',
        ]
    ),
    st.sampled_from(
        [
            '"a,b(c"',
            '"a\\"',
            "(",
            ")",
            "(c)",
            ",",
            ";",
            ":",
            "\\",
            '\\"',
            "[",
            "]",
            "[192.0.2.1]",
            "a@.",
            "b@two.example",
        ]
    ),
    st.sampled_from(
        [" ", "\t", "\r\n ", "\x0b", "\x1c", "\x85", "\xa0", "\u2003", "\x00", "=?utf-8?q?a=40b?=", "\u00e4", "\ud800"]
    ),
)
"""What single addresses are nearly made of. Among the blanks are those which only Unicode knows."""
addresses = st.sampled_from(["a@one.example", "<a@one.example>", "<a@one.example.>", "<a@b@one.example>"])
nearly_addresses = st.one_of(
    st.builds("{0[0]}{0[1]}{1}{0[2]}".format, st.tuples(*[st.one_of(st.just(""), pieces)] * 3), addresses),
    st.lists(pieces, max_size=12).map("".join),
    mailboxes().map(itemgetter(0)),
    headers,
)


@given(nearly_addresses)
@settings(max_examples=2000)
def test_header_of_one_address_is_read_as_it_would_be_in_a_list(value: str) -> None:
    names = [normalize(domain, True, True) for domain in header_domains(value)]
    found = candidates(Envelope(mime_from=[value]), SETTINGS, RECOMMENDED, max_addresses=10_000)
    assert [candidate.domain for candidate in found] == list(dict.fromkeys(filter(None, names)))


@given(st.lists(mailboxes(), min_size=1, max_size=6))
def test_each_mailbox_of_a_list_gives_its_domain(boxes: list[tuple[str, str]]) -> None:
    value = ", ".join(text for text, _ in boxes)
    assert list(header_domains(value)) == [domain for _, domain in boxes]


@given(st.lists(mailboxes(), min_size=1, max_size=4))
def test_group_gives_the_domains_of_its_members(boxes: list[tuple[str, str]]) -> None:
    value = "A group: " + ", ".join(text for text, _ in boxes) + ";"
    assert list(header_domains(value)) == [domain for _, domain in boxes]


@given(
    st.one_of(st.none(), headers),
    st.lists(headers, max_size=3),
    st.lists(headers, max_size=3),
    st.one_of(st.none(), headers),
    st.booleans(),
)
def test_any_envelope_gives_clean_names_each_once_best_source_first(
    sender: str | None, mime_from: list[str], reply_to: list[str], helo: str | None, skip: bool
) -> None:
    envelope = Envelope(sender, mime_from, reply_to, helo)
    found = candidates(envelope, SETTINGS, RECOMMENDED if skip else REFERENCE, max_addresses=10_000)
    assert all(CLEAN.fullmatch(candidate.domain) for candidate in found)
    assert len({candidate.domain for candidate in found}) == len(found)
    order = list(Source)
    places = [order.index(candidate.source) for candidate in found]
    assert places == sorted(places)
    assert places.count(0) <= 1
