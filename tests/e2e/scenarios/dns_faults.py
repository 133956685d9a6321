"""DNS servers that fail, answer oddly, or not at all: a failure to get an answer is never the sender's fault."""

from tests.e2e.scenarios.row import TWO_MX, Row, one_mx, symbol
from tests.lab import smtp_scripts as scripts
from tests.lab.dns_behaviours import (
    DROP,
    FORMERR,
    GARBAGE,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    Behaviour,
    InTurn,
    OverTcp,
    Truncated,
    cname_chain,
    cname_loop,
    mx,
)

_FAILED = {"MX_DNS_FAIL": symbol(0.0, "{d}")}
_GOOD = {"MX_GOOD": symbol(-0.1, "mx.{d}")}
_NONE = {"MX_NONE": symbol(4.0, "{d}")}
_TWO = {"d:{d}": "mx:first.{d}:10,second.{d}:20"}
_MANY = "\n".join(f"@ MX {20 + number} backup{number}-{'x' * 50}" for number in range(40))
"""Forty records with long names: more than any UDP answer takes."""


def _mx_fails(name: str, behaviour: Behaviour, *, service: str = "connect", ttl: int = 60) -> Row:
    """Nothing but the MX question fails; the address that implicit MX would find must not be asked for."""
    return Row(
        id=name,
        service=service,
        zone="@ A {host}",
        peers={"host": scripts.good()},
        unprobed=("host",),
        dns={"{d} MX": behaviour},
        symbols=_FAILED,
        domains=("{d} from df {d}",),
        redis={"d:{d}": "df"},
        ttl={"d:{d}": ttl},
    )


ROWS = (
    _mx_fails("servfail-on-mx", SERVFAIL),
    _mx_fails("servfail-on-mx-in-the-reference", SERVFAIL, service="reference", ttl=1800),
    _mx_fails("refused-on-mx", REFUSED),
    _mx_fails("notimp-on-mx", NOTIMP),
    _mx_fails("formerr-on-mx", FORMERR),
    _mx_fails("no-answer-on-mx", DROP, service="silence-in-dns"),
    _mx_fails("garbage-on-mx", GARBAGE),
    _mx_fails("truncated-and-tcp-breaks", Truncated(mx((10, "mx.nowhere.test")), tcp=OverTcp.RESET)),
    Row(
        id="servfail-on-the-address-of-implicit-mx",
        zone="",
        dns={"{d} MX": NXDOMAIN, "{d} A": SERVFAIL},
        symbols=_FAILED,
        domains=("{d} from df {d}",),
        redis={"d:{d}": "df"},
        ttl={"d:{d}": 60},
    ),
    Row(
        id="servfail-without-dns-cache",
        service="custom",
        zone="",
        dns={"{d} MX": SERVFAIL},
        symbols={"ENV_MX_DNS_FAIL": symbol(0.0, "{d}")},
        domains=("{d} from df {d}",),
        redis={},
    ),
    Row(
        id="servfail-on-the-first-host",
        zone=TWO_MX,
        peers={"first": scripts.good(), "second": scripts.good()},
        unprobed=("first",),
        dns={"first.{d} A": SERVFAIL},
        symbols={"MX_GOOD": symbol(-0.1, "second.{d}")},
        domains=("{d} from gd second.{d}",),
        redis=_TWO | {"m:first.{d}": "df", "m:second.{d}": "v4:{second}", "i:{second}": "gd"},
        ttl={"m:first.{d}": 60},
    ),
    Row(
        id="servfail-on-every-host",
        zone=TWO_MX,
        peers={"first": scripts.good(), "second": scripts.good()},
        unprobed=("first", "second"),
        dns={"first.{d} A": SERVFAIL, "second.{d} A": REFUSED},
        symbols=_FAILED,
        domains=("{d} from df {d}",),
        redis=_TWO | {"m:first.{d}": "df", "m:second.{d}": "df"},
        ttl={"d:{d}": 1800, "m:first.{d}": 60},
    ),
    Row(
        id="servfail-on-every-host-in-the-reference",
        service="reference",
        zone=TWO_MX,
        peers={"first": scripts.good(), "second": scripts.good()},
        unprobed=("first", "second"),
        dns={"first.{d} A": SERVFAIL, "second.{d} A": SERVFAIL},
        symbols=_FAILED,
        domains=("{d} from df {d}",),
        redis=_TWO | {"m:first.{d}": "df", "m:second.{d}": "df"},
        ttl={"m:first.{d}": 1800},
    ),
    Row(
        id="one-host-broken-the-other-unknown",
        zone="@ MX 10 first\n@ MX 20 second",
        dns={"second.{d} A": SERVFAIL},
        symbols=_FAILED,
        domains=("{d} from df {d}",),
        redis=_TWO | {"m:first.{d}": "no", "m:second.{d}": "df"},
    ),
    Row(
        id="one-host-unknown-the-other-broken",
        zone="@ MX 10 first\n@ MX 20 second",
        cached={"m:first.{d}": "df"},
        symbols=_FAILED,
        domains=("{d} from df {d}",),
        redis=_TWO | {"m:first.{d}": "df", "m:second.{d}": "no"},
    ),
    Row(
        id="first-try-lost",
        service="silence-in-dns",
        peers={"mx": scripts.good()},
        dns={"{d} MX": lambda names: InTurn(DROP, mx((10, "mx." + names["d"])))},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd"),
    ),
    Row(
        id="truncated-then-whole-over-tcp",
        peers={"mx": scripts.good()},
        dns={"{d} MX": lambda names: Truncated(mx((10, "mx." + names["d"])))},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd"),
    ),
    Row(
        id="too-many-records-for-udp",
        zone=f"@ MX 10 mx\nmx A {{mx}}\n{_MANY}",
        peers={"mx": scripts.good()},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd")
        | {"d:{d}": "mx:mx.{d}:10," + ",".join(f"backup{n}-{'x' * 50}.{{d}}:{20 + n}" for n in range(15))},
    ),
    Row(
        id="cname-loop",
        zone="",
        dns={
            "{d} MX": lambda names: cname_loop(names["d"], "other." + names["d"]),
            "{d} A": lambda names: cname_loop(names["d"], "other." + names["d"]),
        },
        symbols=_NONE,
        action="greylist",
        domains=("{d} from no {d}",),
        redis={"d:{d}": "no"},
    ),
    Row(
        id="cname-loop-of-the-mx-host",
        zone="@ MX 10 mx",
        dns={"mx.{d} A": lambda names: cname_loop("mx." + names["d"], "other." + names["d"])},
        symbols={"MX_BROKEN": symbol(4.0, "{d}")},
        action="greylist",
        domains=("{d} from bkn {d}",),
        redis={"d:{d}": "mx:mx.{d}:10", "m:mx.{d}": "no"},
    ),
    Row(
        id="cname-into-nowhere",
        zone="",
        dns={"{d} *": lambda names: cname_chain("gone." + names["d"], end=NXDOMAIN)},
        symbols=_NONE,
        action="greylist",
        domains=("{d} from no {d}",),
        redis={"d:{d}": "no"},
    ),
)
