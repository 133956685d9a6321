"""From what a message says about its sender to the domains to look up.

Header values are taken apart as rspamd takes them apart (src/libmime/email_addr.c): leniently, since the aim is the
domain that a reader's reply would go to, not a verdict on syntax.
"""

import binascii
import re
from collections.abc import Iterator, Sequence
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple

import idna

from mxcheck_service.core.model import Candidate, Source
from mxcheck_service.core.networks import REMEMBERED
from mxcheck_service.core.settings import Improvements, MxCheckSettings

_SOURCES = tuple(Source)  # a global is found ten times as fast as a member of an enumeration
_MAX_NAME = 253  # octets of a name in text form without its trailing dot, RFC 1035 section 2.3.4
_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}", re.ASCII)
_NAME_OF_ANY_LENGTH = re.compile(r"[a-z0-9_.-]*[a-z0-9_-][a-z0-9_.-]*", re.ASCII)
_LONGEST_KEPT = 512  # octets of a name that is told of as one that cannot exist
_ALL_DIGITS = re.compile(r"[0-9.]+", re.ASCII)
_TEXT_TOKEN = re.compile(r'\\.?|"(?:[^"\\]|\\.)*"?|[()]|[^\\"()]+', re.DOTALL)
_COMMENT_TOKEN = re.compile(r"\\.?|[()]|[^\\()]+", re.DOTALL)
_LIST_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|<[^>]*>?|[,;]|[^"<,;]+', re.DOTALL)
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,64})\?([bBqQ])\?([^?\s]{0,1024})\?=")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t\r\n]+(?==\?)")
_WITHOUT_ALIAS = (
    "cp1006 cp720 cp737 cp856 cp874 cp875 koi8_t koi8_u mac_arabic mac_croatian mac_farsi mac_romanian utf_8_sig"
)
_CHARSETS = frozenset((*aliases, *aliases.values(), *_WITHOUT_ALIAS.split()))
"""Those that Python knows, as it writes their names."""
_ATOMS = r'[^\s"<>(),;:\\\[\]@]+'
_ONE_ADDRESS = re.compile(rf"""(?:"[^"\\]*"[ \t]*|[^"<>(),;:\\\[\]@]*)<{_ATOMS}@({_ATOMS})>|{_ATOMS}@({_ATOMS})""")
"""The forms nearly all headers have: one bare address, or a display name without specials and one in angle brackets."""


class Envelope(NamedTuple):
    """What the message says about its sender. Header fields are raw header values or bare addresses."""

    sender: str | None = None
    mime_from: Sequence[str] = ()
    reply_to: Sequence[str] = ()
    helo: str | None = None


class TooManyAddresses(ValueError):
    """A header names more addresses than are taken; `field` is the request's name for it."""

    def __init__(self, field: str, limit: int) -> None:
        super().__init__(f"names more than {limit} addresses")
        self.field = field


def candidates(
    envelope: Envelope, settings: MxCheckSettings, improvements: Improvements, *, max_addresses: int
) -> tuple[Candidate, ...]:
    """Return each distinct domain once, with the best source it was found in.

    The envelope sender's domain, or HELO for the null sender; then Reply-To (as in rspamd its first header only), then
    From. Raises TooManyAddresses.
    """
    # Best source first, so that the first entry of a text, and then of a domain, is the one to keep.
    texts: dict[str, Source] = {}
    by_sender, by_reply_to, by_mime_from = _SOURCES
    if settings.check_from:
        # A sender without a domain is a null sender to rspamd's parser, too.
        texts[_domain_part(envelope.sender or "") or envelope.helo or ""] = by_sender
    if settings.check_reply_to and envelope.reply_to:
        first = envelope.reply_to[0]
        decoded = decode_words(first) if "=?" in first else first
        for text in _header_domains("reply_to", (decoded,), max_addresses):
            texts.setdefault(text, by_reply_to)
    if settings.check_mime_from and envelope.mime_from:
        for text in _header_domains("mime_from", envelope.mime_from, max_addresses):
            texts.setdefault(text, by_mime_from)
    found: dict[str, Candidate] = {}
    for text, source in texts.items():
        domain = normalize(text, improvements.skip_address_literals, improvements.impossible_domains)
        if domain and domain not in found:
            found[domain] = Candidate(domain, source)
    return tuple(found.values())


def normalize(text: str, skip_literals: bool, keep_impossible: bool = False) -> str | None:
    """Return the domain name to look up: lower case, A-labels (RFC 5890); None for what is no domain name.

    A trailing dot is kept: it is part of the reference's cache key. An IPv4 address in place of a name is taken for
    the name it spells, as the reference does, unless `skip_literals`. With `keep_impossible` a name that is too long
    for DNS, or has such a label or an empty one, is kept: asked for, it does not exist.
    """
    # Before it is remembered: what strangers write may be as long as a whole request.
    if len(text) > (_LONGEST_KEPT if keep_impossible and text.isascii() else _MAX_NAME + 1):
        return None
    return _normalized(text, skip_literals, keep_impossible)


@lru_cache(maxsize=REMEMBERED)
def _normalized(text: str, skip_literals: bool, keep_impossible: bool) -> str | None:
    name = text.lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    bare = name.removesuffix(".")
    if len(bare) > _MAX_NAME or not _NAME.fullmatch(bare):
        return name if keep_impossible and _NAME_OF_ANY_LENGTH.fullmatch(bare) else None
    if skip_literals and _ALL_DIGITS.fullmatch(bare):
        return None
    return name


def header_domains(value: str) -> Iterator[str]:
    """Yield the domain part of each address in a header value, as written; addresses without one yield nothing."""
    text = _without_comments(value)
    pending = ""
    for match in _LIST_TOKEN.finditer(text):
        token = match[0]
        if token[0] == '"':
            pending = ""
            if not _is_closed(token) and "<" in token:
                pending = token[token.rindex("<") :]
        elif token[0] == "<":
            yield from _with_domain(token)
            pending = ""
        elif token in ",;":
            yield from _with_domain(pending)
            pending = ""
        else:
            pending = token
    yield from _with_domain(pending)


def decode_words(value: str) -> str:
    """Decode the RFC 2047 encoded words of a header value; what cannot be decoded stays as it is."""
    # Blanks between two encoded words are not part of the text (RFC 2047 section 6.2).
    return _ENCODED_WORD.sub(_decode_word, _BETWEEN_WORDS.sub("", value))


def _decode_word(word: re.Match[str]) -> str:
    charset, encoding, text = word.groups()
    try:
        if encoding in "bB":
            octets = binascii.a2b_base64(text + "=" * (-len(text) % 4))
        else:
            octets = binascii.a2b_qp(text, header=True)
        name = normalize_encoding(charset.partition("*")[0]).lower()
        # Python looks for a module by the name, and keeps every name that it was asked for.
        return octets.decode(name, errors="replace") if name in _CHARSETS else word[0]
    except (LookupError, ValueError):
        return word[0]


def _header_domains(field: str, values: Sequence[str], limit: int) -> Sequence[str]:
    if len(values) == 1:
        one = _ONE_ADDRESS.fullmatch(values[0])
        if one is not None:
            return ((one[1] or one[2]).removesuffix("."),)
    domains = list(islice(chain.from_iterable(map(header_domains, values)), limit + 1))
    if len(domains) > limit:
        raise TooManyAddresses(field, limit)
    return domains


def _with_domain(address: str) -> Iterator[str]:
    domain = _domain_part(address)
    if domain:
        yield domain


def _domain_part(address: str) -> str:
    """Return what follows the last `@`, without angle brackets, the brackets of a literal, or one trailing dot."""
    text = address.strip()
    if text.startswith("<"):
        text = text[1:].partition(">")[0].strip()
    domain = text.rpartition("@")[2] if "@" in text else ""
    return domain.removesuffix(".").removeprefix("[").removesuffix("]")


def _without_comments(value: str) -> str:
    """Drop comments, which nest (RFC 5322 section 3.2.2); an unclosed one reaches to the end."""
    if "(" not in value:
        return value
    kept: list[str] = []
    depth = position = 0
    while match := (_COMMENT_TOKEN if depth else _TEXT_TOKEN).match(value, position):
        position = match.end()
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth = max(0, depth - 1)
        elif not depth:
            kept.append(match[0])
    return "".join(kept)


def _is_closed(quoted: str) -> bool:
    """Tell whether a quoted-string token ends with its own quote."""
    return len(re.sub(r"\\.", "", quoted, flags=re.DOTALL)) > 1 and quoted.endswith('"')
