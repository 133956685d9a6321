"""What callers send: the request of /v1/check, header values and HELO, and rspamd's protocol."""

import encodings
import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Final, cast
from urllib.parse import quote_from_bytes

import orjson
from aiohttp import web
from multidict import CIMultiDict
from pydantic import ValidationError
from yarl import URL

from mxcheck_service.core import candidates as names
from mxcheck_service.core.candidates import Envelope, TooManyAddresses
from mxcheck_service.core.model import Candidate
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE, MxCheckSettings
from mxcheck_service.web import handlers, rspamd, schema
from mxcheck_service.web.errors import ApiError
from mxcheck_service.web.query import only
from mxcheck_service.web.schema import CheckRequest
from tests.hostile.fuzz.target import Target, parts, pure, text

MOST_ADDRESSES: Final = 100
_NAME: Final = re.compile(r"[a-z0-9._-]{1,512}", re.ASCII)
_SETTINGS: Final = MxCheckSettings()
_MOST_CHARSETS: Final = 1000
"""Names of character sets that Python may have been asked for; it keeps every one, and has about 120 modules."""


def check_request(data: bytes) -> None:
    """The body of a POST; or, after a `?`, the query of a GET.

    It is a request or an ApiError, which can be told in JSON; its names are clean.
    """
    try:
        asked = _from_query(data[1:]) if data.startswith(b"?") else _from_body(data)
    except ApiError as error:
        document = orjson.loads(orjson.dumps(schema.problem(error.status, error.detail, error.errors)))
        assert document["status"] in (400, 422)
        return
    message = asked.message()
    assert message.deadline is None or 0 < message.deadline <= 3600
    _clean(message.envelope)


def _from_body(data: bytes) -> CheckRequest:
    try:
        return handlers._PARSER.validate_json(data)  # type: ignore[no-any-return]
    except ValidationError as error:
        raise handlers._invalid(error) from None


def _from_query(query: bytes) -> CheckRequest:
    # aiohttp lets no other octets through, and reads these as here.
    found = URL.build(query_string=quote_from_bytes(query, safe="%&=+;@:/?,<>"), encoded=True).query
    fields: dict[str, Any] = {}
    for name in found:
        values = found.getall(name)
        fields[name] = values if name in handlers._LISTS else only(name, values)
    try:
        return CheckRequest.model_validate(fields, strict=False)
    except ValidationError as error:
        raise handlers._invalid(error) from None


def check_headers(data: bytes) -> None:
    """Sender, HELO, From and Reply-To: every name that comes of them is clean, and they are not too many."""
    sender, helo, mime_from, reply_to = map(text, parts(data, 4))
    _clean(Envelope(sender, [mime_from], [reply_to], helo))
    names.decode_words(mime_from)


def _clean(envelope: Envelope) -> None:
    found: Iterable[Candidate] = ()
    for improvements in (RECOMMENDED, REFERENCE):
        try:
            found = names.candidates(envelope, _SETTINGS, improvements, max_addresses=MOST_ADDRESSES)
        except TooManyAddresses as error:
            assert error.field in ("mime_from", "reply_to")
            continue
        domains = [candidate.domain for candidate in found]
        assert all(map(_NAME.fullmatch, domains)), domains
        assert len(set(domains)) == len(domains) <= 1 + 2 * MOST_ADDRESSES
    # What Python keeps for as long as the process lives.
    assert len(encodings._cache) < _MOST_CHARSETS, "character sets that strangers name are kept for ever"


def check_rspamd(data: bytes) -> None:
    """The headers IP, From, Helo and User of rspamd's protocol, and the message: never an error, names are clean."""
    ip, sender, helo, user, body = parts(data, 5)
    headers = CIMultiDict(IP=text(ip), From=text(sender), Helo=text(helo))
    if user:
        headers["User"] = text(user)
    message = rspamd._message(cast(web.Request, SimpleNamespace(headers=headers)), body)
    assert message.authenticated is bool(user)
    _clean(message.envelope)


_HEADERS: Final = (
    b"jo@one.example",
    b'"Jo, Q" <jo@one.example>, mo@two.example (c (d))',
    b"Team: a@one.example, <b@two.example>;",
    b"=?utf-8?q?J=C3=B6?= <jo@xn--one-hoa.example>",
    b"=?iso-8859-1*en?B?SvY=?= =?utf-7?b?K2FBLQ==?= <a@b.example>",
    "jo@bücher.example".encode(),
    b"<@a.example,@b.example:jo@one.example>",
    b"a@[192.0.2.1], b@192.0.2.1, c@a..b.",
    b"<>",
    b'"a \\" <x@y.example>, b" <jo@one.example>',
    b"(unclosed jo@one.example",
)
_WORDS: Final = (
    b"@",
    b"<",
    b">",
    b'"',
    b"\\",
    b"(",
    b")",
    b",",
    b";",
    b":",
    b"=?",
    b"?=",
    b"?q?",
    b"?B?",
    b"utf-8",
    b"utf-16",
    b"idna",
    b"punycode",
    b"unicode_escape",
    b"xn--",
    b".example",
    b"a@b.example",
    b"\xc3\xa4",
    b"\xe3\x80\x82",
    b"\xe2\x80\x8d",
    b"\xed\xa0\x80",
    b"\xff",
    b"\x1e",
    b"\r\n ",
    b"[",
    b"]",
    b"..",
    b"192.0.2.1",
    b"=?hex?b?AAAA?=",
)

TARGETS: Final = (
    Target(
        "request",
        pure(check_request),
        seeds=(
            b'{"sender": "user@example.com", "mime_from": ["Jo <jo@example.org>"], "reply_to": "list@example.net", '
            b'"helo": "mail.example.com", "client_ip": "198.51.100.7", "authenticated": false, "deadline_ms": 4500}',
            b'{"sender": null, "mime_from": "a@b.example", "client_ip": "::ffff:192.0.2.1"}',
            b'{"deadline_ms": 1e3, "authenticated": 1, "helo": []}',
            b'{"deadline_ms": NaN}',
            b"[]",
            b"{",
            b"",
            b'{"sender": "\\ud800@\\u00e4.example"}',
            b'{"mime_from": ["a@b.example", 1, null, {}]}',
            b"[" * 300,
            b"?sender=a@b.example&mime_from=c@d.example&mime_from=e@f.example&deadline_ms=5&authenticated=true",
            b"?sender=%ed%a0%80&x=1&sender=2",
            b"?client_ip=fe80::1%25eth0",
        ),
        words=(
            b'"sender": ',
            b'"mime_from": ',
            b'"reply_to": ',
            b'"helo": ',
            b'"client_ip": ',
            b'"authenticated": ',
            b'"deadline_ms": ',
            b"null",
            b"true",
            b"1e999",
            b"-0",
            b"[",
            b"]",
            b"{",
            b"}",
            b'"',
            b"\\u",
            b"\\ud800",
            b"&",
            b"%ff",
            *_WORDS,
        ),
    ),
    Target(
        "headers",
        pure(check_headers),
        seeds=(
            *(b"\x1e\x1e" + header + b"\x1e" + header for header in _HEADERS),
            *(header + b"\x1email.one.example" for header in _HEADERS),
            b"\x1e[192.0.2.1]",
            b"\x1e" + b"a." * 130,
            b"\x1e" + "ä".encode() * 100,
            b"\x1e\x1e" + b",".join(b"a@%d.example" % number for number in range(101)),
        ),
        words=_WORDS,
        longest=16384,
    ),
    Target(
        "rspamd",
        pure(check_rspamd),
        seeds=(
            *(
                b"192.0.2.1\x1ea@b.example\x1email.b.example\x1e\x1eFrom: %b\r\nReply-To: %b\r\n\r\nhi"
                % (header, header)
                for header in _HEADERS
            ),
            b"::1\x1e<>\x1e[::1]\x1ejo\x1eFrom: a@b.example\nFrom: c@d.example\n folded\n\tand again\n\nbody",
            b"\x1e\x1e\x1e\x1eFrom\n: x\n\xff\xfe: y\nFrom: \xff@\xfe\n",
            b"\x1e\x1e\x1e\x1eFrom a@b Mon\nFrom: a@b.example\n",
        ),
        words=(b"From: ", b"Reply-To: ", b"\n", b"\r", b"\r\n\r\n", b"\n ", *_WORDS),
        longest=16384,
    ),
)
