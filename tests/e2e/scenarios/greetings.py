"""What the peer says, when the greeting is asked for: read to its first line, or to its end when QUIT is to follow."""

from tests.e2e.scenarios.row import ONE_MX, Mta, Row, Symbol, one_mx, symbol
from tests.lab import smtp_scripts as scripts
from tests.lab.smtp_scripts import Script

_QUIT = b"QUIT\r\n"
_GOOD = {"MX_GOOD": symbol(-0.1, "mx.{d}")}
_REFUSED = {"MX_REFUSED": symbol(3.0, "mx.{d}")}
_SILENT = {"MX_TIMEOUT_READ": symbol(0.1, "mx.{d}")}
_INVALID = {"MX_INVALID": symbol(3.0, "greylisted")}


def _turned_away(code: int) -> dict[str, Symbol]:
    return {"MX_ERROR": symbol(0.0, "mx.{d}", str(code)), **_GOOD}


def _row(
    name: str,
    script: Script,
    verdict: str,
    symbols: dict[str, Symbol],
    *,
    service: str = "greeting",
    sent: bytes = b"",
) -> Row:
    return Row(
        id=name,
        service=service,
        peers={"mx": script},
        symbols=symbols,
        action="greylist" if verdict in ("tr", "inv", "rf") else "no action",
        domains=(f"{{d}} from {verdict} mx.{{d}}",),
        redis=one_mx(verdict),
        ttl={"i:{mx}": 14400 if verdict in ("inv", "rf") else 86400},
        received={"mx": sent},
    )


def _otherwise_in_the_reference(
    name: str,
    script: Script,
    verdict: str,
    symbols: dict[str, Symbol],
    reference: str,
    reference_symbols: dict[str, Symbol],
) -> tuple[Row, Row]:
    service = "reference-silence" if reference == "tr" else "reference-greeting"
    return (
        _row(name, script, verdict, symbols),
        _row(f"{name}-in-the-reference", script, reference, reference_symbols, service=service),
    )


ROWS = (
    _row("greeting-good", scripts.good(), "gd", _GOOD),
    _row("greeting-good-in-the-reference", scripts.good(), "gd", _GOOD, service="reference-greeting"),
    _row("greeting-of-several-lines", scripts.good_multi_line(), "gd", _GOOD),
    _row("greeting-byte-by-byte", scripts.good_byte_by_byte(), "gd", _GOOD),
    _row("greeting-left-open", scripts.open_greeting_then_silence(), "gd", _GOOD),
    _row("greeting-never-comes", scripts.silent(), "tr", _SILENT, service="silence"),
    *_otherwise_in_the_reference("greeting-with-lf-only", scripts.good_lf_only(), "gd", _GOOD, "tr", _SILENT),
    *_otherwise_in_the_reference("greeting-line-without-end", scripts.endless_line(), "gd", _GOOD, "tr", _SILENT),
    *_otherwise_in_the_reference("greeting-without-text", scripts.good_bare_code(), "gd", _GOOD, "inv", _INVALID),
    *_otherwise_in_the_reference("greeting-250", scripts.banner(b"250 hello"), "gd", _GOOD, "inv", _INVALID),
    *_otherwise_in_the_reference("greeting-521", scripts.rejects(521), "rf", _REFUSED, "err:521", _turned_away(521)),
    _row("greeting-of-a-web-server", scripts.http_server(), "inv", _INVALID),
    _row("greeting-closed-at-once", scripts.eof(), "inv", _INVALID),
    _row("greeting-421", scripts.rejects(421), "err:421", _turned_away(421)),
    _row("greeting-554-of-several-lines", scripts.rejects(554, lines=3), "err:554", _turned_away(554)),
    _row(
        "greeting-550-in-the-reference",
        scripts.rejects(550),
        "err:550",
        _turned_away(550),
        service="reference-greeting",
    ),
    _row("quit-after-the-greeting", scripts.good(), "gd", _GOOD, service="quit", sent=_QUIT),
    _row("quit-after-several-lines", scripts.good_multi_line(), "gd", _GOOD, service="quit", sent=_QUIT),
    _row("quit-is-not-answered", scripts.never_closes(), "gd", _GOOD, service="quit", sent=_QUIT),
    _row("quit-after-mixed-codes", scripts.mixed_codes(), "gd", _GOOD, service="quit", sent=_QUIT),
    _row("quit-not-after-an-open-greeting", scripts.open_greeting_then_eof(), "inv", _INVALID, service="quit"),
    _row("quit-not-after-451", scripts.rejects(451), "err:451", _turned_away(451), service="quit"),
    Row(
        id="greeting-invalid-not-greylisted",
        service="custom",
        peers={"mx": scripts.http_server()},
        symbols={"ENV_MX_INVALID": symbol(3.0)},
        domains=("{d} from inv mx.{d}",),
        redis={"i:{mx}": "inv"},
    ),
    Row(
        id="greeting-invalid-of-an-authenticated-sender",
        service="reject",
        peers={"mx": scripts.http_server()},
        request={"sender": "user@{d}", "authenticated": True},
        symbols=_INVALID,
        action="greylist",
        domains=("{d} from inv mx.{d}",),
        redis=one_mx("inv"),
    ),
    Row(
        id="greeting-invalid-of-a-local-client",
        service="reject",
        peers={"mx": scripts.http_server()},
        request={"sender": "user@{d}", "client_ip": "10.9.8.7"},
        symbols={"MX_INVALID": symbol(3.0)},
        domains=("{d} from inv mx.{d}",),
        redis=one_mx("inv"),
    ),
    Row(
        id="postfix-behind-postscreen",
        service="quit",
        zone=ONE_MX,
        peers={"mx": Mta.POSTFIX},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd"),
    ),
    Row(
        id="exim",
        service="quit",
        zone=ONE_MX,
        peers={"mx": Mta.EXIM},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd"),
    ),
)
