"""IPv4 and IPv6: who goes first, what half a failure means, and what an entry's family tag covers."""

from tests.e2e.scenarios.row import ONE_MX, At, Row, one_mx, symbol
from tests.lab import smtp_scripts as scripts
from tests.lab.dns_behaviours import NODATA, SERVFAIL

_GOOD = {"MX_GOOD": symbol(-0.1, "mx.{d}")}
_A_GOOD = {"MX_A_GOOD": symbol(0.0, "{d}")}
_BOTH = "@ MX 10 mx\nmx A {mx}\nmx AAAA {six}"
_MX = {"d:{d}": "mx:mx.{d}:10"}

ROWS = (
    Row(
        id="both-families-ipv6-first",
        service="dual",
        zone=_BOTH,
        peers={"mx": scripts.good(), "six": At("::1", scripts.good())},
        unprobed=("mx",),
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=_MX | {"m:mx.{d}": "v64:{six},{mx}", "i:{six}": "gd"},
    ),
    Row(
        id="both-families-ipv4-first",
        service="dual-v4-first",
        zone=_BOTH,
        peers={"mx": scripts.good(), "six": At("::1", scripts.good())},
        unprobed=("six",),
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=_MX | {"m:mx.{d}": "v64:{mx},{six}", "i:{mx}": "gd"},
    ),
    Row(
        id="both-families-ipv6-is-dead",
        service="dual",
        zone=_BOTH.replace("{six}", "::1"),
        peers={"mx": scripts.good()},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=_MX | {"m:mx.{d}": "v64:::1,{mx}", "i:::1": "rf", "i:{mx}": "gd"},
    ),
    Row(
        id="both-families-of-implicit-mx",
        service="dual",
        zone="@ A {host}\n@ AAAA {six}",
        peers={"host": scripts.good(), "six": At("::1", scripts.good())},
        unprobed=("host",),
        symbols=_A_GOOD,
        domains=("{d} from gd {d}",),
        redis={"d:{d}": "a:v64:{six},{host}", "i:{six}": "gd"},
    ),
    Row(
        id="one-family-fails-the-other-has-addresses",
        service="dual",
        peers={"mx": scripts.good()},
        dns={"mx.{d} AAAA": SERVFAIL},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd", "v64"),
    ),
    Row(
        id="one-family-fails-the-other-has-none",
        service="dual",
        zone="",
        dns={"{d} MX": NODATA, "{d} A": SERVFAIL, "{d} AAAA": NODATA},
        symbols={"MX_DNS_FAIL": symbol(0.0, "{d}")},
        domains=("{d} from df {d}",),
        redis={"d:{d}": "df"},
    ),
    Row(
        id="both-families-fail",
        service="dual",
        zone="@ MX 10 mx",
        dns={"mx.{d} *": SERVFAIL},
        symbols={"MX_DNS_FAIL": symbol(0.0, "{d}")},
        domains=("{d} from df {d}",),
        redis=_MX | {"m:mx.{d}": "df"},
    ),
    Row(
        id="host-entry-that-lacks-a-family-is-asked-anew",
        service="dual",
        peers={"mx": scripts.good(), "old": scripts.good()},
        unprobed=("old",),
        cached={"m:mx.{d}": "v4:{old}"},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd", "v64"),
    ),
    Row(
        id="domain-entry-that-lacks-a-family-is-asked-anew",
        service="dual",
        zone="@ A {host}",
        peers={"host": scripts.good(), "old": scripts.good()},
        unprobed=("old",),
        cached={"d:{d}": "a:v4:{old}"},
        dns={"{d} MX": SERVFAIL},  # MX is known to be absent and not asked for again
        symbols=_A_GOOD,
        domains=("{d} from gd {d}",),
        redis={"d:{d}": "a:v64:{host}", "i:{host}": "gd"},
    ),
    Row(
        id="host-entry-of-the-other-family-is-asked-anew",
        peers={"mx": scripts.good()},
        cached={"m:mx.{d}": "v6:::1"},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd"),
    ),
    Row(
        id="host-entry-of-both-families-is-filtered",
        zone="@ MX 10 mx",
        peers={"mx": scripts.good()},
        cached={"m:mx.{d}": "v64:::1,{mx}"},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=_MX | {"m:mx.{d}": "v64:::1,{mx}", "i:{mx}": "gd"},
    ),
    Row(
        id="host-entry-with-nothing-left-is-definite",
        zone=ONE_MX,
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        cached={"m:mx.{d}": "v64:::1"},
        symbols={"MX_PROBE_UNAVAILABLE": symbol(0.0, "{d}")},
        domains=("{d} from unavailable {d}",),
        redis=_MX | {"m:mx.{d}": "v64:::1"},
    ),
    Row(
        id="domain-entry-with-nothing-left-is-definite",
        zone="@ A {host}",
        peers={"host": scripts.good()},
        unprobed=("host",),
        cached={"d:{d}": "a:v64:::1"},
        symbols={"MX_PROBE_UNAVAILABLE": symbol(0.0, "{d}")},
        domains=("{d} from unavailable {d} cached",),
    ),
)
