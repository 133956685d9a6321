"""Header values taken apart: addresses out of From and Reply-To as people and programs really write them.

Well-formed values: RFC 5322 sections 3.2 to 3.4. Broken ones: whatever comes out, nothing blows up.
"""

import encodings
import time

import pytest

from mxcheck_service.core import candidates as module
from mxcheck_service.core import codec, networks
from mxcheck_service.core.candidates import Envelope, candidates, decode_words, header_domains
from mxcheck_service.core.model import Family
from mxcheck_service.core.settings import RECOMMENDED, MxCheckSettings

LONG = 200_000
FEW_SECONDS = 20.0
"""Of CPU time, tracing included; what grows with the square of the length takes many minutes."""
"""Far more than a linear parser needs for LONG characters, far less than a quadratic one takes."""


@pytest.mark.parametrize(
    ("value", "domains"),
    [
        pytest.param("jo@one.example", ["one.example"], id="bare"),
        pytest.param("<jo@one.example>", ["one.example"], id="angle"),
        pytest.param("Jo <jo@one.example>", ["one.example"], id="display-name"),
        pytest.param("Jo<jo@one.example>", ["one.example"], id="no-blank-before-the-angle"),
        pytest.param("Jo Q. Public <jo@one.example>", ["one.example"], id="dot-in-the-name"),
        pytest.param('"Public, Jo" <jo@one.example>', ["one.example"], id="comma-in-quotes"),
        pytest.param('"jo@wrong.example" <jo@one.example>', ["one.example"], id="at-in-quotes"),
        pytest.param('"<jo@wrong.example>" <jo@one.example>', ["one.example"], id="angle-in-quotes"),
        pytest.param('"a \\" <x@wrong.example>, b" <jo@one.example>', ["one.example"], id="escaped-quote-in-quotes"),
        pytest.param('"a\\\\" <jo@one.example>', ["one.example"], id="escaped-backslash-ends-the-quotes"),
        pytest.param('"(not a comment" <jo@one.example>', ["one.example"], id="parenthesis-in-quotes"),
        pytest.param('"; a@wrong.example ;" <jo@one.example>', ["one.example"], id="semicolon-in-quotes"),
        pytest.param("jo@wrong.example <jo@one.example>", ["one.example"], id="address-as-display-name"),
        pytest.param("Public, Jo <jo@one.example>", ["one.example"], id="comma-not-quoted"),
        pytest.param('"jo q"@one.example', ["one.example"], id="quoted-local-part"),
        pytest.param('"a,b<c@d"@one.example', ["one.example"], id="quoted-local-part-with-specials"),
        pytest.param('<"a,b@c"@one.example>', ["one.example"], id="quoted-local-part-in-angles"),
        pytest.param("<@a.example,@b.example:jo@one.example>", ["one.example"], id="source-route"),
        pytest.param("jo@one.example (Jo)", ["one.example"], id="comment-after"),
        pytest.param("(Jo) jo@one.example", ["one.example"], id="comment-before"),
        pytest.param("jo(x@wrong.example)@one.example", ["one.example"], id="comment-within"),
        pytest.param("(a (b <x@wrong.example>) c) jo@one.example", ["one.example"], id="nested-comment"),
        pytest.param("(a (b) x@wrong.example, c) jo@one.example", ["one.example"], id="comment-goes-on-after-a-nested"),
        pytest.param("(a \\) x@wrong.example) jo@one.example", ["one.example"], id="escaped-parenthesis"),
        pytest.param('(") jo@one.example', ["one.example"], id="quote-within-a-comment"),
        pytest.param("jo@one.example (unclosed, x@wrong.example", ["one.example"], id="unclosed-comment-after"),
        pytest.param("(unclosed jo@one.example", [], id="unclosed-comment-before"),
        pytest.param("jo@one.example) , mo@two.example", None, id="closing-parenthesis-alone"),
        pytest.param("jo@one.example, mo@two.example", ["one.example", "two.example"], id="two-addresses"),
        pytest.param(
            '"A, B" <a@one.example>, b@two.example (c, d), C <c@three.example>',
            ["one.example", "two.example", "three.example"],
            id="three-of-different-forms",
        ),
        pytest.param(", ,jo@one.example,,", ["one.example"], id="empty-members"),
        pytest.param("Team: a@one.example, B <b@two.example>;", ["one.example", "two.example"], id="group"),
        pytest.param("Team: a@one.example; b@two.example", ["one.example", "two.example"], id="group-and-an-address"),
        pytest.param("undisclosed-recipients:;", [], id="empty-group"),
        pytest.param("jo@one.example;mo@two.example", ["one.example", "two.example"], id="semicolon-as-separator"),
        pytest.param("Jo\r\n <jo@one.example>", ["one.example"], id="folded"),
        pytest.param("\tjo@one.example \r\n", ["one.example"], id="blanks-around"),
        pytest.param("jo@One.EXAMPLE", ["One.EXAMPLE"], id="as-written"),
        pytest.param("jo@one.example.", ["one.example"], id="trailing-dot-is-dropped"),
        pytest.param("Jo <jo@one.example.>", ["one.example"], id="trailing-dot-in-angles"),
        pytest.param("jo@[192.0.2.1]", ["192.0.2.1"], id="literal"),
        pytest.param("Jo <jo@[IPv6:2001:db8::1]>", ["IPv6:2001:db8::1"], id="ipv6-literal"),
        pytest.param("jo@b\u00fccher.example", ["b\u00fccher.example"], id="u-label"),
        pytest.param("J\u00f6 <j\u00f6@one.example>", ["one.example"], id="not-ascii-elsewhere"),
        pytest.param("=?utf-8?q?J=C3=B6?= <jo@one.example>", ["one.example"], id="encoded-name"),
        pytest.param("a@b@one.example", ["one.example"], id="last-at-counts"),
        pytest.param("Jo <a@b@one.example>", ["one.example"], id="last-at-counts-in-angles"),
        pytest.param("<jo@one.example> <mo@two.example>", ["one.example", "two.example"], id="no-comma"),
        pytest.param("Jo <jo@one.example", ["one.example"], id="unclosed-angle"),
        pytest.param("jo", [], id="no-at"),
        pytest.param("Jo <jo>", [], id="no-at-in-angles"),
        pytest.param("jo@", [], id="no-domain"),
        pytest.param("jo@.", [], id="only-a-dot-for-a-domain"),
        pytest.param("Jo <jo@.>", [], id="only-a-dot-in-angles"),
        pytest.param("jo@one.example,mo", ["one.example"], id="second-without-at"),
        pytest.param("<>", [], id="null-address"),
        pytest.param("", [], id="empty"),
        pytest.param(" \t\r\n", [], id="blank"),
        pytest.param("@", [], id="at-alone"),
        pytest.param('"', [], id="quote-alone"),
        pytest.param('"unclosed jo@one.example', None, id="unclosed-quote"),
        pytest.param('"unclosed <jo@one.example>', None, id="unclosed-quote-before-an-angle"),
        pytest.param('"unclosed \\', None, id="backslash-at-the-end-of-an-unclosed-quote"),
        pytest.param("(\\", [], id="backslash-at-the-end-of-a-comment"),
        pytest.param("a(b)\\", None, id="backslash-at-the-end"),
        pytest.param("jo@one.example\x00", None, id="nul"),
        pytest.param("\ud800@one.example", ["one.example"], id="lone-surrogate"),
    ],
)
def test_domains_of_a_header_value(value: str, domains: list[str] | None) -> None:
    """None: a broken value with no one right reading; it must only not fail, and not give an empty domain."""
    result = list(header_domains(value))
    assert all(result)
    if domains is not None:
        assert result == domains


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("plain", "plain", id="plain"),
        pytest.param("=?utf-8?q?a=40b?=", "a@b", id="q"),
        pytest.param("=?UTF-8?B?YUBi?=", "a@b", id="b"),
        pytest.param("=?iso-8859-1?q?J=F6?= <jo@one.example>", "J\u00f6 <jo@one.example>", id="beside-plain-text"),
        pytest.param("=?utf-8?q?a?= =?utf-8?q?b?=", "ab", id="blanks-between-words-vanish"),
        pytest.param("=?utf-8*en?q?a?=", None, id="language"),
        pytest.param("=?utf-8?q?a", "=?utf-8?q?a", id="unclosed"),
        pytest.param("=?utf-8?x?a?=", "=?utf-8?x?a?=", id="unknown-encoding"),
        pytest.param("=?KOI8-U?q?=A4?=", "\u0454", id="charset-without-an-alias"),
        pytest.param("=?windows-1252?q?=80?=", "\u20ac", id="charset-by-an-alias"),
        pytest.param("=?UTF--8?q?=C3=A4?=", "\u00e4", id="charset-written-in-another-way"),
        pytest.param("=?unicode_escape?q?=5Cx41?=", "=?unicode_escape?q?=5Cx41?=", id="pythons-own-that-is-no-charset"),
        pytest.param("=?nonsense?q?a?=", "=?nonsense?q?a?=", id="unknown-charset"),
        pytest.param("=?base64?q?a?=", "=?base64?q?a?=", id="codec-that-is-no-charset"),
        pytest.param("=?utf-8?b?!!!?=", None, id="no-base64"),
        pytest.param("=?utf-8?b?YQ?=", None, id="base64-without-padding"),
        pytest.param("=?utf-8?b?Y?=", None, id="base64-of-one-character"),
        pytest.param("=?utf-8?q?=FF?=", None, id="not-in-its-charset"),
        pytest.param("=?us-ascii?q?=FF?=", None, id="not-ascii-in-us-ascii"),
        pytest.param("=?\u00fc?q?a?=", "=?\u00fc?q?a?=", id="charset-is-not-ascii"),
        pytest.param("=?a\x00b?q?a?=", "=?a\x00b?q?a?=", id="charset-with-nul"),
        pytest.param("=?utf-8?q?\ud800?=", None, id="lone-surrogate-within"),
        pytest.param("=?utf-8?b?\ud800?=", None, id="lone-surrogate-within-base64"),
        pytest.param("\ud800 =?utf-8?q?a?=", None, id="lone-surrogate-beside"),
        pytest.param("=??q?a?=", None, id="empty-charset"),
        pytest.param("=?utf-8?q??=", None, id="empty-text"),
        pytest.param("=?=?=?=?", "=?=?=?=?", id="only-marks"),
    ],
)
def test_encoded_words(value: str, text: str | None) -> None:
    """RFC 2047; what cannot be decoded stays as it is. None: a broken word with no one right reading."""
    result = decode_words(value)
    if text is not None:
        assert result == text


def from_and_reply_to(value: str) -> tuple[list[str], list[str]]:
    settings = MxCheckSettings()
    of_from = candidates(Envelope(mime_from=[value]), settings, RECOMMENDED, max_addresses=10)
    of_reply_to = candidates(Envelope(reply_to=[value]), settings, RECOMMENDED, max_addresses=10)
    return [candidate.domain for candidate in of_from], [candidate.domain for candidate in of_reply_to]


@pytest.mark.parametrize(
    ("value", "of_from", "of_reply_to"),
    [
        pytest.param("=?utf-8?q?jo=40one=2Eexample?=", [], ["one.example"], id="whole-address"),
        pytest.param("=?utf-8?b?am9Ab25lLmV4YW1wbGU=?=", [], ["one.example"], id="whole-address-base64"),
        pytest.param(
            "=?utf-8?q?mo=40two=2Eexample=2C_Jo?= <jo@one.example>",
            ["one.example"],
            ["two.example", "one.example"],
            id="comma-and-at-within-the-word-count-only-decoded",
        ),
        pytest.param("=?bogus?q?jo=40two?= <jo@one.example>", ["one.example"], ["one.example"], id="broken-word"),
        pytest.param("=?\u00fc?q?x?= <jo@one.example>", ["one.example"], ["one.example"], id="charset-not-ascii"),
    ],
)
def test_reply_to_is_decoded_before_it_is_parsed_and_from_is_not(
    value: str, of_from: list[str], of_reply_to: list[str]
) -> None:
    """As rspamd does."""
    assert from_and_reply_to(value) == (of_from, of_reply_to)


def in_few_seconds(value: str) -> None:
    start = time.process_time()
    list(header_domains(value))
    decode_words(value)
    candidates(Envelope(mime_from=[value]), MxCheckSettings(), RECOMMENDED, max_addresses=LONG)
    assert time.process_time() - start < FEW_SECONDS


@pytest.mark.parametrize(
    "unit", [*'("<>\\),;:@[] \t=?a', "()", '("', '"(', "<\\", '"\\', "<@", "a@", "a ", "<a", '"a" ', "=?", "?=", "(\\"]
)
def test_long_run_of_one_thing_costs_linear_time(unit: str) -> None:
    in_few_seconds(unit * (LONG // len(unit)))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("=?utf-8?q?x" * (LONG // 11), id="words-never-closed"),
        pytest.param("=?a?q?" * (LONG // 6), id="words-closed-by-the-next"),
        pytest.param("=?utf-8?q?x?= " * (LONG // 14), id="many-words"),
        pytest.param("=?utf-8?q?x?=y " * (LONG // 15), id="words-and-text-in-turn"),
        pytest.param("=?utf-8?q?" + "=41" * (LONG // 3) + "?=", id="one-long-word"),
        pytest.param("=?utf-8?b?" + "QUFB" * (LONG // 4) + "?=", id="one-long-base64-word"),
        pytest.param("=?punycode?q?" + "a" * LONG + "?=", id="codec-that-is-slow-on-purpose"),
        pytest.param("a@b.example, " * 10_000, id="many-addresses"),
        pytest.param('"' + "\\a" * (LONG // 2), id="escapes-in-an-unclosed-quote"),
        pytest.param("(" * (LONG // 2) + ")" * (LONG // 2), id="deep-comment"),
    ],
)
def test_long_value_made_to_hurt_costs_linear_time(value: str) -> None:
    in_few_seconds(value)


def test_names_of_charsets_that_strangers_write_are_not_kept() -> None:
    """Python keeps every name that it was ever asked for, and looks for a file of each new one."""
    before = len(encodings._cache)
    for number in range(100):
        decode_words(f"=?x-{number}?q?a?= =?utf{'-' * number}8?q?a?=")
    assert len(encodings._cache) <= before + 1


@pytest.mark.parametrize("name", ["a" * 100_000, "a." * 50_000, "\u00e4" * 50_000, "1" * 100_000])
def test_what_is_too_long_for_a_name_is_not_kept_either(name: str) -> None:
    """The bound of what is remembered is a number of names, so that each must be no longer than a name."""
    remembered = [module._normalized, networks._parse_ip, codec._domain, codec._host]
    before = [function.cache_info().currsize for function in remembered]
    found = candidates(Envelope(f"a@{name}", [f"a@{name}"], [], name), MxCheckSettings(), RECOMMENDED, max_addresses=9)
    assert not found
    assert networks.parse_ip(name) is None
    assert networks.family_of(name) is Family.NONE
    assert codec.decode_domain(name) is None
    assert codec.decode_host(name) is None
    assert [function.cache_info().currsize for function in remembered] == before
