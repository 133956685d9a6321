"""A domain without MX records: its own addresses stand in (RFC 5321 section 5.1), symbols take their MX_A_ form."""

from tests.e2e.scenarios.row import Nobody, Row, Symbol, symbol
from tests.lab import smtp_scripts as scripts
from tests.lab.dns_behaviours import NXDOMAIN
from tests.lab.smtp_scripts import Script

_ZONE = "@ A {host}"
_GOOD = symbol(0.0, "{d}")


def _row(
    name: str,
    peer: Script | Nobody,
    verdict: str,
    symbols: dict[str, Symbol],
    *,
    service: str = "connect",
    greylisted: bool = False,
) -> Row:
    return Row(
        id=name,
        service=service,
        zone=_ZONE,
        peers={"host": peer},
        symbols=symbols,
        action="greylist" if greylisted else "no action",
        domains=(f"{{d}} from {verdict} {{d}}",),
        redis={"d:{d}": "a:v4:{host}", "i:{host}": verdict},
        ttl={"d:{d}": 1800},
    )


ROWS = (
    _row("implicit-good", scripts.good(), "gd", {"MX_A_GOOD": _GOOD}),
    _row("implicit-good-in-the-reference", scripts.good(), "gd", {"MX_A_GOOD": _GOOD}, service="reference"),
    _row("implicit-refused", Nobody.LISTENS, "rf", {"MX_A_REFUSED": symbol(3.0, "{d}")}, greylisted=True),
    _row(
        "implicit-no-answer",
        Nobody.ANSWERS,
        "tc",
        {"MX_A_TIMEOUT_CONNECT": symbol(2.5, "{d}")},
        service="silence",
        greylisted=True,
    ),
    _row(
        "implicit-silent",
        scripts.silent(),
        "tr",
        {"MX_A_TIMEOUT_READ": symbol(0.1, "{d}")},
        service="silence",
        greylisted=True,
    ),
    _row(
        "implicit-no-smtp",
        scripts.http_server(),
        "inv",
        {"MX_A_INVALID": symbol(3.0, "greylisted")},
        service="greeting",
        greylisted=True,
    ),
    _row(
        "implicit-turned-away",
        scripts.rejects(554),
        "err:554",
        {"MX_A_ERROR": symbol(0.0, "{d}", "554"), "MX_A_GOOD": _GOOD},
        service="greeting",
    ),
    Row(
        id="implicit-nxdomain-on-mx-alone",
        zone=_ZONE,
        peers={"host": scripts.good()},
        dns={"{d} MX": NXDOMAIN},
        symbols={"MX_A_GOOD": _GOOD},
        domains=("{d} from gd {d}",),
        redis={"d:{d}": "a:v4:{host}", "i:{host}": "gd"},
    ),
    Row(
        id="implicit-second-address",
        zone="",
        peers={"a": Nobody.LISTENS, "b": scripts.good()},
        cached={"d:{d}": "a:v4:{a},{b}"},
        symbols={"MX_A_GOOD": _GOOD},
        domains=("{d} from gd {d}",),
        redis={"d:{d}": "a:v4:{a},{b}", "i:{a}": "rf", "i:{b}": "gd"},
    ),
    Row(
        id="implicit-second-address-in-the-reference",
        service="reference",
        zone="",
        peers={"a": Nobody.LISTENS, "b": scripts.good()},
        unprobed=("b",),
        cached={"d:{d}": "a:v4:{a},{b}"},
        symbols={"MX_A_REFUSED": symbol(3.0, "{d}")},
        action="greylist",
        domains=("{d} from rf {d}",),
        redis={"d:{d}": "a:v4:{a},{b}", "i:{a}": "rf"},
    ),
    Row(
        id="implicit-all-addresses-dead",
        service="silence",
        zone="",
        peers={"a": Nobody.ANSWERS, "b": Nobody.LISTENS},
        cached={"d:{d}": "a:v4:{a},{b}"},
        symbols={"MX_A_TIMEOUT_CONNECT": symbol(2.5, "{d}")},
        action="greylist",
        domains=("{d} from tc {d}",),
        redis={"d:{d}": "a:v4:{a},{b}", "i:{a}": "tc", "i:{b}": "rf"},
    ),
    Row(
        id="no-such-domain",
        zone="",
        symbols={"MX_NONE": symbol(4.0, "{d}")},
        action="greylist",
        domains=("{d} from no {d}",),
        redis={"d:{d}": "no"},
        ttl={"d:{d}": 1800},
    ),
    Row(
        id="no-such-domain-not-greylisted",
        service="custom",
        zone="",
        symbols={"ENV_MX_NONE": symbol(4.0, "{d}")},
        domains=("{d} from no {d}",),
        redis={},
    ),
    Row(
        id="neither-mx-nor-address",
        zone='@ TXT "nothing here"',
        symbols={"MX_NONE": symbol(4.0, "{d}")},
        action="greylist",
        domains=("{d} from no {d}",),
        redis={"d:{d}": "no"},
    ),
    Row(
        id="addresses-of-the-other-family-only",
        zone="@ AAAA ::1",
        symbols={"MX_PROBE_UNAVAILABLE": symbol(0.0, "{d}")},
        domains=("{d} from unavailable {d}",),
        redis={"d:{d}": "a:v64:::1"},
    ),
    Row(
        id="addresses-of-the-other-family-only-in-the-reference",
        service="reference",
        zone="@ AAAA ::1",
        symbols={"MX_NONE": symbol(4.0, "{d}")},
        action="greylist",
        domains=("{d} from no {d}",),
        redis={"d:{d}": "no"},
    ),
)
