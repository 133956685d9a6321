"""Null MX (RFC 7505), what looks like it, and the rejection it may cause."""

from collections.abc import Mapping
from typing import Any

from tests.e2e.scenarios.row import Row, one_mx, symbol
from tests.lab import smtp_scripts as scripts

_ZONE = "@ MX 0 .\n@ A 127.0.0.2"
_NULL = {"MX_NULL": symbol(6.0, "{d}")}
_MESSAGE = "Domain published RFC 7505 Null MX"


def _row(name: str, service: str, action: str, message: str | None = None, **request: Any) -> Row:
    body: Mapping[str, Any] = {"sender": "user@{d}", **request}
    return Row(
        id=name,
        service=service,
        zone=_ZONE,
        request=body,
        symbols=_NULL,
        action=action,
        smtp_message=message,
        domains=("{d} from null {d}",),
        redis={"d:{d}": "null"},
        ttl={"d:{d}": 1800},
    )


_BROKEN = {"MX_BROKEN": symbol(4.0, "{d}")}

ROWS = (
    _row("null-mx-greylisted", "connect", "greylist"),
    _row("null-mx-greylisted-in-the-reference", "reference", "greylist"),
    _row("null-mx-rejected", "reject", "reject", "go away"),
    _row("null-mx-rejected-remote-client", "reject", "reject", "go away", client_ip="198.51.100.7"),
    _row("null-mx-authenticated-greylisted-instead", "reject", "greylist", authenticated=True),
    _row("null-mx-local-neither", "reject", "no action", client_ip="192.168.1.1"),
    _row("null-mx-authenticated-rejected", "reject-all", "reject", _MESSAGE, authenticated=True),
    _row("null-mx-local-rejected", "reject-all", "reject", _MESSAGE, client_ip="127.0.0.1"),
    Row(
        id="null-mx-of-a-header-rejects-too",
        service="reject",
        zone="null MX 0 .\nnone TXT x",
        request={"sender": "user@none.{d}", "mime_from": "user@null.{d}"},
        symbols={"MX_NONE": symbol(4.0, "none.{d}"), "MIME_FROM_MX_NULL": symbol(6.0, "null.{d}")},
        action="reject",
        smtp_message="go away",
        domains=("none.{d} from no none.{d}", "null.{d} mime_from null null.{d}"),
        redis={"d:none.{d}": "no", "d:null.{d}": "null"},
    ),
    Row(
        id="null-mx-known",
        service="reject",
        zone="",
        cached={"d:{d}": "null"},
        symbols=_NULL,
        action="reject",
        smtp_message="go away",
        domains=("{d} from null {d} cached",),
    ),
    Row(
        id="null-mx-beside-a-real-target",
        zone="@ MX 0 .\n@ MX 10 mx\nmx A {mx}",
        peers={"mx": scripts.good()},
        symbols={"MX_GOOD": symbol(-0.1, "mx.{d}")},
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd"),
    ),
    Row(
        id="root-target-of-another-preference",
        service="reject",
        zone="@ MX 10 .\n@ A 127.0.0.2",
        symbols=_BROKEN,
        action="greylist",
        domains=("{d} from bkn {d}",),
        redis={"d:{d}": "bkn"},
    ),
    Row(
        id="two-root-targets",
        zone="@ MX 0 .\n@ MX 10 .",
        symbols=_BROKEN,
        action="greylist",
        domains=("{d} from bkn {d}",),
        redis={"d:{d}": "bkn"},
    ),
)
