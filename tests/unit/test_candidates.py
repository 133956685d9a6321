"""Which domains a message is checked for, and where each was found (reference: mx_check; RFC 5321, RFC 5322)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from mxcheck_service.core.candidates import Envelope, TooManyAddresses, candidates, normalize
from mxcheck_service.core.model import Candidate, Source
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, MxCheckSettings

SETTINGS = MxCheckSettings()


def found(envelope: Envelope, settings: MxCheckSettings = SETTINGS, *, literals: bool = False) -> list[tuple[str, str]]:
    """Return (domain, source) of each candidate; `literals`: address literals are not skipped."""
    improvements = REFERENCE if literals else RECOMMENDED
    return [
        (candidate.domain, candidate.source.value)
        for candidate in candidates(envelope, settings, improvements, max_addresses=100)
    ]


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("user@example.com", "example.com"),
        ("<user@example.com>", "example.com"),
        ("  user@example.com ", "example.com"),
        ("USER@EXAMPLE.COM", "example.com"),
        ("user@example.com.", "example.com"),
        ('"a b"@example.com', "example.com"),
        ('"a@b"@example.com', "example.com"),
        ("a@b@example.com", "example.com"),
        ("<@relay.example:user@example.com>", "example.com"),
        ("SRS0=HHH=TT=orig.example=user@example.com", "example.com"),
        ("@example.com", "example.com"),
        ("user@m\u00fcnchen.example", "xn--mnchen-3ya.example"),
        ("us\u00e9r@example.com", "example.com"),
        ("user@exam ple.com", None),
        ("user@example.com\x00", None),
        ("user@a..b", "a..b"),
        ("user@.example.com", ".example.com"),
    ],
)
def test_domain_of_the_envelope_sender(sender: str, domain: str | None) -> None:
    """HELO does not stand in for a sender whose domain is not fit to be looked up."""
    expected = [] if domain is None else [(domain, "from")]
    assert found(Envelope(sender=sender, helo="helo.example.com")) == expected


@pytest.mark.parametrize("sender", [None, "", "<>", " ", " <> ", "user", "<user>", "user@", "@", "user@."], ids=repr)
def test_helo_stands_in_for_the_null_sender_and_counts_as_from(sender: str | None) -> None:
    """A sender without a domain is a null sender, too: rspamd's parser gives the reference none (mx_check)."""
    assert found(Envelope(sender=sender, helo="mail.example.com")) == [("mail.example.com", "from")]


@pytest.mark.parametrize(
    ("helo", "domain"),
    [
        pytest.param("MAIL.Example.com", "mail.example.com", id="lower-case"),
        pytest.param("mail.example.com.", "mail.example.com.", id="trailing-dot-is-kept"),
        pytest.param("localhost", "localhost", id="single-label"),
        pytest.param("m\u00e4il.example", "xn--mil-qla.example", id="u-label"),
        pytest.param("mail example.com", None, id="blank"),
        pytest.param("user@example.com", None, id="an-address-is-no-helo-name"),
        pytest.param("[192.0.2.1]", None, id="ipv4-literal"),
        pytest.param("[IPv6:2001:db8::1]", None, id="ipv6-literal"),
        pytest.param("[IPv6:fe80::1%eth0]", None, id="ipv6-literal-with-zone"),
        pytest.param("2001:db8::1", None, id="bare-ipv6"),
        pytest.param("fe80::1%eth0", None, id="bare-ipv6-with-zone"),
        pytest.param("192.0.2.1", None, id="bare-ipv4"),
        pytest.param("mail\x00.example.com", None, id="nul"),
        pytest.param("mail.example.com\r\n", None, id="crlf"),
        pytest.param("\x1b[31mexample.com", None, id="escape"),
        pytest.param("\ud800.example.com", None, id="lone-surrogate"),
        pytest.param("a" * 600, None, id="600-characters"),
        pytest.param("", None, id="empty"),
        pytest.param(".", None, id="root"),
        pytest.param(None, None, id="none"),
    ],
)
def test_helo(helo: str | None, domain: str | None) -> None:
    expected = [] if domain is None else [(domain, "from")]
    assert found(Envelope(helo=helo)) == expected


@pytest.mark.parametrize(
    ("text", "skipped", "taken"),
    [
        pytest.param("192.0.2.1", None, "192.0.2.1", id="ipv4"),
        pytest.param("192.0.2.1.", None, "192.0.2.1.", id="ipv4-with-a-dot"),
        pytest.param("[192.0.2.1]", None, None, id="brackets-are-no-name-characters"),
        pytest.param("2001:db8::1", None, None, id="ipv6"),
        pytest.param("192.0.2.1.example", "192.0.2.1.example", "192.0.2.1.example", id="name-of-digits-and-letters"),
    ],
)
def test_address_in_place_of_a_name_is_skipped_or_taken_for_the_name_it_spells(
    text: str, skipped: str | None, taken: str | None
) -> None:
    assert normalize(text, True) == skipped
    assert normalize(text, False) == taken


def test_literal_of_a_sender_is_looked_up_by_the_name_it_spells_unless_skipped() -> None:
    """As the reference does: `a@[192.0.2.1]` looks up the name `192.0.2.1`."""
    envelope = Envelope(sender="a@[192.0.2.1]", mime_from=["b@[192.0.2.2]"], reply_to=["c@[192.0.2.3]"])
    assert found(envelope) == []
    assert found(envelope, literals=True) == [
        ("192.0.2.1", "from"),
        ("192.0.2.3", "reply_to"),
        ("192.0.2.2", "mime_from"),
    ]


@pytest.mark.parametrize("literal", ["IPv6:2001:db8::1", "IPv6:fe80::1%25eth0", "2001:db8::1"])
def test_ipv6_literal_is_no_name_either_way(literal: str) -> None:
    assert found(Envelope(sender=f"a@[{literal}]")) == []
    assert found(Envelope(sender=f"a@[{literal}]"), literals=True) == []


L63, L64 = "a" * 63, "a" * 64


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param(f"{L63}.example", f"{L63}.example", id="label-of-63-octets"),
        pytest.param(f"{L64}.example", None, id="label-of-64-octets"),
        pytest.param(f"example.{L64}", None, id="last-label-of-64-octets"),
        pytest.param(".".join([L63] * 3 + ["a" * 61]), ".".join([L63] * 3 + ["a" * 61]), id="name-of-253-octets"),
        pytest.param(".".join([L63] * 3 + ["a" * 61]) + ".", ".".join([L63] * 3 + ["a" * 61]) + ".", id="and-a-dot"),
        pytest.param(".".join([L63] * 3 + ["a" * 62]), None, id="name-of-254-octets"),
        pytest.param("a." * 150 + "example", None, id="name-of-307-octets"),
        pytest.param("\u00e4." * 100 + "example", None, id="too-long-only-as-a-labels"),
        pytest.param("\u00e4" * 64 + ".example", None, id="u-label-too-long-only-as-a-label"),
        pytest.param("_dmarc.example", "_dmarc.example", id="underscore"),
        pytest.param("-a-.example", "-a-.example", id="hyphens-anywhere"),
        pytest.param("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", id="a-label-stays"),
        pytest.param("XN--MNCHEN-3YA.Example", "xn--mnchen-3ya.example", id="a-label-in-upper-case"),
        pytest.param("xn--\u00e4.example", None, id="a-label-that-is-not-ascii"),
        pytest.param("M\u00dcNCHEN.example", "xn--mnchen-3ya.example", id="u-label-in-upper-case"),
        pytest.param("mu\u0308nchen.example", "xn--mnchen-3ya.example", id="u-label-decomposed"),
        pytest.param("fa\u00df.example", "xn--fa-hia.example", id="idna-2008-sharp-s"),
        pytest.param("\u4f8b\u3048\u3002example", "xn--r8jz45g.example", id="cjk-full-stop"),
        pytest.param("\u2603.example", None, id="symbol-is-no-idna-2008-letter"),
        pytest.param("a\u200bb.example", "ab.example", id="zero-width-space-is-ignored"),
        pytest.param("\u200f.example", None, id="right-to-left-mark"),
        pytest.param("exam\u212ale.example", "examkle.example", id="kelvin-sign-is-a-k"),
        pytest.param("\uff45xample", "example", id="full-width-letter"),
        pytest.param("example\u0660", None, id="mixed-direction"),
        pytest.param("a\ud83d.example", None, id="lone-high-surrogate"),
        pytest.param("a\udc00.example", None, id="lone-low-surrogate"),
        pytest.param("example..com", None, id="empty-label"),
        pytest.param("example.com..", None, id="two-trailing-dots"),
        pytest.param("exa\tmple", None, id="tab"),
        pytest.param("example\n", None, id="newline"),
        pytest.param("example.com\n", None, id="newline-after-a-name"),
        pytest.param("exam/ple", None, id="slash"),
        pytest.param("exam:ple", None, id="colon-of-the-cache-key"),
        pytest.param("", None, id="empty"),
        pytest.param(".", None, id="root"),
    ],
)
def test_name_to_look_up(text: str, name: str | None) -> None:
    """A-labels in lower case, within the bounds of RFC 1035 section 2.3.4; None for what is no name."""
    assert normalize(text, True) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param(f"{L64}.Example", f"{L64}.example", id="label-of-64-octets"),
        pytest.param("a..example", "a..example", id="empty-label"),
        pytest.param(".example", ".example", id="empty-label-first"),
        pytest.param("a" * 512, "a" * 512, id="name-of-512-octets"),
        pytest.param("a" * 513, None, id="name-of-513-octets"),
        pytest.param("..", None, id="nothing-but-dots"),
        pytest.param("a b.example", None, id="blank"),
        pytest.param("a:b..example", None, id="colon-of-the-cache-key"),
        pytest.param("192.0.2.1", None, id="literal"),
        pytest.param("a.example", "a.example", id="name-that-can-be"),
    ],
)
def test_name_that_cannot_be_in_dns_is_kept_when_asked_for(text: str, name: str | None) -> None:
    assert normalize(text, True, True) == name


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        pytest.param(
            Envelope("a@one.example", ["b@two.example"], ["c@three.example"]),
            [("one.example", "from"), ("three.example", "reply_to"), ("two.example", "mime_from")],
            id="best-source-first",
        ),
        pytest.param(
            Envelope("a@same.example", ["b@same.example"], ["c@SAME.example"]),
            [("same.example", "from")],
            id="from-wins",
        ),
        pytest.param(
            Envelope(None, ["b@same.example"], ["c@same.example"]), [("same.example", "reply_to")], id="reply-to-second"
        ),
        pytest.param(
            Envelope(None, ["b@same.example"], ["c@same.example"], "same.example"),
            [("same.example", "from")],
            id="helo-counts-as-from",
        ),
        pytest.param(
            Envelope(None, ["a@one.example, b@two.example", "c@three.example", "d@one.example"]),
            [("one.example", "mime_from"), ("two.example", "mime_from"), ("three.example", "mime_from")],
            id="every-from-header-counts-and-each-domain-once",
        ),
        pytest.param(
            Envelope(None, [], ["a@one.example, b@two.example", "c@three.example"]),
            [("one.example", "reply_to"), ("two.example", "reply_to")],
            id="only-the-first-reply-to-header-counts",
        ),
        pytest.param(Envelope(None, [], ["", "a@one.example"]), [], id="even-when-it-is-empty"),
        pytest.param(Envelope(), [], id="nothing-at-all"),
    ],
)
def test_each_domain_once_with_its_best_source(envelope: Envelope, expected: list[tuple[str, str]]) -> None:
    assert found(envelope) == expected


@pytest.mark.parametrize(
    ("off", "left"),
    [
        (("check_from",), ["reply_to", "mime_from"]),
        (("check_reply_to",), ["from", "mime_from"]),
        (("check_mime_from",), ["from", "reply_to"]),
        (("check_from", "check_reply_to"), ["mime_from"]),
    ],
)
def test_source_that_is_switched_off_gives_no_domain(off: Sequence[str], left: list[str]) -> None:
    envelope = Envelope("a@one.example", ["b@two.example"], ["c@three.example"])
    settings = replace(SETTINGS, **dict.fromkeys(off, False))  # type: ignore[arg-type]
    assert [source for _, source in found(envelope, settings)] == left


def test_domain_of_a_source_that_is_switched_off_is_left_to_the_next() -> None:
    envelope = Envelope("a@same.example", ["b@same.example"])
    assert found(envelope, replace(SETTINGS, check_from=False)) == [("same.example", "mime_from")]


@pytest.mark.parametrize("field", ["mime_from", "reply_to"])
@pytest.mark.parametrize("separate", [False, True], ids=["in-one-value", "in-many-values"])
def test_too_many_addresses_names_the_field(field: str, separate: bool) -> None:
    addresses = [f"user{n}@d{n}.example" for n in range(10_000)]
    values = addresses if separate and field == "mime_from" else [", ".join(addresses)]
    envelope = Envelope(mime_from=values) if field == "mime_from" else Envelope(reply_to=values)
    with pytest.raises(TooManyAddresses, match="100") as caught:
        candidates(envelope, SETTINGS, RECOMMENDED, max_addresses=100)
    assert caught.value.field == field


def test_limit_itself_is_allowed_for_each_field_and_counts_repeated_domains() -> None:
    three = ["a@one.example, b@one.example, c@two.example"]
    envelope = Envelope("a@from.example", three, three)
    assert len(candidates(envelope, SETTINGS, RECOMMENDED, max_addresses=3)) == 3
    with pytest.raises(TooManyAddresses):
        candidates(envelope, SETTINGS, RECOMMENDED, max_addresses=2)


def test_addresses_of_a_source_that_is_switched_off_are_not_counted() -> None:
    envelope = Envelope("a@from.example", ["b@one.example"] * 1000)
    settings = replace(SETTINGS, check_mime_from=False)
    result = candidates(envelope, settings, RECOMMENDED, max_addresses=1)
    assert result == (Candidate("from.example", Source.FROM),)
