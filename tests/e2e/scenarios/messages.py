"""Which domains a message has, under which prefix they are told, and which messages are not checked at all."""

from typing import Any

from tests.e2e.scenarios.row import ONE_MX, Nobody, Row, Symbol, one_mx, symbol
from tests.lab import smtp_scripts as scripts
from tests.lab.dns_behaviours import NXDOMAIN, Delayed, a

_GOOD = {"MX_GOOD": symbol(-0.1, "mx.{d}")}
_THREE = "one MX 10 mx.one\nmx.one A {one}\ntwo MX 10 mx.two\nmx.two A {two}\nthree TXT x"

_BOTH_ASK = 0.2
"""Seconds in which the other domain of the message has come to the host, too, and does not find its verdict."""


def _one_domain(name: str, source: str, symbols: dict[str, Symbol], service: str = "connect", **request: Any) -> Row:
    return Row(
        id=name,
        service=service,
        peers={"mx": scripts.good()},
        request=request,
        symbols=symbols,
        domains=(f"{{d}} {source} gd mx.{{d}}",),
        redis=one_mx("gd"),
    )


def _nothing(name: str, service: str = "connect", skip_reason: str | None = None, **request: Any) -> Row:
    return Row(
        id=name,
        service=service,
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        request=request,
        skip_reason=skip_reason,
        redis={},
    )


ROWS = (
    _one_domain(
        "one-domain-in-three-places",
        "from",
        _GOOD,
        sender="a@{d}",
        reply_to="Bee <b@{d}>",
        mime_from=["c@{d}", "C <c2@{d}>"],
    ),
    _one_domain(
        "reply-to-goes-before-from-header",
        "reply_to",
        {"REPLYTO_MX_GOOD": symbol(-0.1, "mx.{d}")},
        reply_to="b@{d}",
        mime_from="c@{d}",
    ),
    _one_domain(
        "from-header-alone",
        "mime_from",
        {"MIME_FROM_MX_GOOD": symbol(-0.1, "mx.{d}")},
        mime_from='"Doe, John" (not j@elsewhere.test) <john@{d}>',
    ),
    _one_domain(
        "reply-to-in-encoded-words",
        "reply_to",
        {"REPLYTO_MX_GOOD": symbol(-0.1, "mx.{d}")},
        reply_to="=?utf-8?q?J=C3=B6?= <j@{d}>",
    ),
    _one_domain(
        "first-reply-to-header-alone",
        "reply_to",
        {"REPLYTO_MX_GOOD": symbol(-0.1, "mx.{d}")},
        reply_to=["b@{d}", "b@ignored.{d}"],
    ),
    _one_domain("helo-for-the-null-sender", "from", _GOOD, sender="<>", helo="{d}"),
    _one_domain("helo-for-no-sender", "from", _GOOD, helo="{d}"),
    _one_domain("helo-not-for-a-sender", "from", _GOOD, sender="<a@{d}>", helo="ignored.{d}"),
    _one_domain("helo-in-the-reference", "from", _GOOD, "reference", sender="<>", helo="{d}"),
    Row(
        id="helo-keeps-its-dot",
        peers={"mx": scripts.good()},
        request={"sender": "", "helo": "{d}."},
        symbols=_GOOD,
        domains=("{d}. from gd mx.{d}",),
        redis={"d:{d}.": "mx:mx.{d}:10", "m:mx.{d}": "v4:{mx}", "i:{mx}": "gd"},
    ),
    _nothing("null-sender-without-helo", sender="<>"),
    _nothing("helo-is-no-name", helo="not a name"),
    _nothing("address-literal", sender="a@[192.0.2.1]", helo="[192.0.2.1]"),
    _nothing("helo-is-an-address-literal", helo="[192.0.2.1]"),
    _nothing("helo-is-an-address-literal-in-the-reference", "reference", helo="[192.0.2.1]"),
    Row(
        id="address-literal-in-the-reference",
        service="reference",
        zone="",
        request={"sender": "a@[192.0.2.1]"},
        dns={"192.0.2.1 *": NXDOMAIN},
        symbols={"MX_NONE": symbol(4.0, "192.0.2.1")},
        action="greylist",
        domains=("192.0.2.1 from no 192.0.2.1",),
        redis={"d:192.0.2.1": "no"},
    ),
    Row(
        id="three-domains-in-three-places",
        zone=_THREE,
        peers={"one": scripts.good(), "two": Nobody.LISTENS},
        request={"sender": "a@one.{d}", "reply_to": "a@two.{d}", "mime_from": "a@three.{d}"},
        symbols={
            "MX_GOOD": symbol(-0.1, "mx.one.{d}"),
            "REPLYTO_MX_REFUSED": symbol(3.0, "mx.two.{d}"),
            "MIME_FROM_MX_NONE": symbol(4.0, "three.{d}"),
        },
        action="greylist",
        domains=(
            "one.{d} from gd mx.one.{d}",
            "two.{d} reply_to rf mx.two.{d}",
            "three.{d} mime_from no three.{d}",
        ),
        redis={
            "d:one.{d}": "mx:mx.one.{d}:10",
            "m:mx.one.{d}": "v4:{one}",
            "i:{one}": "gd",
            "d:two.{d}": "mx:mx.two.{d}:10",
            "m:mx.two.{d}": "v4:{two}",
            "i:{two}": "rf",
            "d:three.{d}": "no",
        },
    ),
    Row(
        id="two-domains-share-a-symbol",
        zone=_THREE,
        peers={"one": scripts.good(), "two": scripts.good()},
        request={"mime_from": "A <a@one.{d}>, B <b@two.{d}>, C <c@one.{d}>"},
        symbols={"MIME_FROM_MX_GOOD": symbol(-0.1, "mx.one.{d}", "mx.two.{d}")},
        domains=("one.{d} mime_from gd mx.one.{d}", "two.{d} mime_from gd mx.two.{d}"),
        redis={
            "d:one.{d}": "mx:mx.one.{d}:10",
            "m:mx.one.{d}": "v4:{one}",
            "i:{one}": "gd",
            "d:two.{d}": "mx:mx.two.{d}:10",
            "m:mx.two.{d}": "v4:{two}",
            "i:{two}": "gd",
        },
    ),
    Row(
        id="two-domains-share-a-host",
        zone=f"one MX 10 mx\ntwo MX 10 mx\n{ONE_MX}",
        dns={"mx.{d} A": lambda names: Delayed(a(names["mx"]), seconds=_BOTH_ASK)},
        peers={"mx": scripts.good()},  # which sees one connection
        request={"sender": "a@one.{d}", "mime_from": "a@two.{d}"},
        symbols=_GOOD | {"MIME_FROM_MX_GOOD": symbol(-0.1, "mx.{d}")},
        domains=("one.{d} from gd mx.{d}", "two.{d} mime_from gd mx.{d}"),
        redis={
            "d:one.{d}": "mx:mx.{d}:10",
            "d:two.{d}": "mx:mx.{d}:10",
            "m:mx.{d}": "v4:{mx}",
            "i:{mx}": "gd",
        },
    ),
    _nothing("authenticated", skip_reason="authenticated", sender="a@{d}", authenticated=True),
    _nothing("local-client", skip_reason="local", sender="a@{d}", client_ip="192.168.3.4"),
    _nothing("local-client-ipv6", "reference", "local", sender="a@{d}", client_ip="::1"),
    _nothing("both-reasons", skip_reason="authenticated", sender="a@{d}", authenticated=True, client_ip="127.0.0.1"),
    _one_domain("carrier-grade-nat-client-is-not-local", "from", _GOOD, sender="a@{d}", client_ip="100.64.0.1"),
    _one_domain("unique-local-client-outside-fd", "from", _GOOD, sender="a@{d}", client_ip="fc00::1"),
    _one_domain("local-client-opted-in", "from", _GOOD, "reject-all", sender="a@{d}", client_ip="192.168.3.4"),
    _one_domain("authenticated-opted-in", "from", _GOOD, "reject-all", sender="a@{d}", authenticated=True),
    Row(
        id="local-client-opted-in-is-not-greylisted",
        service="reject-all",
        peers={"mx": Nobody.LISTENS},
        request={"sender": "a@{d}", "client_ip": "10.1.1.1"},
        symbols={"MX_REFUSED": symbol(3.0, "mx.{d}")},
        domains=("{d} from rf mx.{d}",),
        redis=one_mx("rf"),
    ),
)
