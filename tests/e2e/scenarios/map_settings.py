"""The five maps of the service `maps`; see `services.SERVICES` for their entries."""

import re

from tests.e2e.scenarios.row import ONE_MX, At, Row, one_mx, symbol
from tests.lab import smtp_scripts as scripts

_GOOD = {"MX_GOOD": symbol(-0.1, "mx.{d}")}
_MX = {"d:{d}": "mx:mx.{d}:10"}


def _by_host(
    name: str, zone: str, redis: str, symbol_name: str, score: float, key: str, verdict: str, weight: float = 1
) -> Row:
    """A map of MX hosts decides: no address is asked for, nothing is probed."""
    return Row(
        id=name,
        service="maps",
        zone=zone,
        symbols={symbol_name: symbol(score, key, weight=weight)},
        domains=(f"{{d}} from {verdict} {{d}}",),
        redis={"d:{d}": redis},
    )


def _by_ip(name: str, ip: str, symbol_name: str, score: float, key: str, verdict: str, weight: float = 1) -> Row:
    """A map of addresses decides: nothing is probed."""
    return Row(
        id=name,
        service="maps",
        zone=f"@ MX 10 mx\nmx A {ip}",
        symbols={symbol_name: symbol(score, key, weight=weight)},
        domains=(f"{{d}} from {verdict} mx.{{d}}",),
        redis=_MX | {"m:mx.{d}": f"v4:{ip}"},
    )


ROWS = (
    Row(
        id="white-exact",
        service="maps",
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        symbols={"MX_WHITE": symbol(-0.1, "{d}")},
        domains=("{d} from white {d}",),
        redis={},
    ),
    Row(
        id="white-by-glob-in-headers",
        service="maps",
        zone="",
        request={"sender": "a@x.partner.test", "mime_from": "a@y.z.partner.test", "reply_to": "a@v.partner.test"},
        symbols={
            "MX_WHITE": symbol(-0.1, "x.partner.test"),
            "MIME_FROM_MX_WHITE": symbol(-0.1, "y.z.partner.test"),
            "REPLYTO_MX_WHITE": symbol(-0.1, "v.partner.test"),
        },
        domains=(
            "x.partner.test from white x.partner.test",
            "v.partner.test reply_to white v.partner.test",
            "y.z.partner.test mime_from white y.z.partner.test",
        ),
        redis={},
    ),
    Row(
        id="white-case",  # the entry says White-Case: globs are case-sensitive
        service="maps",
        peers={"mx": scripts.good()},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd"),
    ),
    _by_host(
        "trusted-mx", "@ MX 10 in.trusted.test.", "mx:in.trusted.test:10", "MX_WHITE", -0.1, "in.trusted.test", "white"
    ),
    _by_host(
        "trusted-second-mx",
        "@ MX 10 mx\n@ MX 20 mx.q.test.",
        "mx:mx.{d}:10,mx.q.test:20",
        "MX_WHITE",
        -0.1,
        "mx.q.test",
        "white",
    ),
    _by_host(
        "bad-mx-with-a-value",
        "@ MX 10 trap.bad.test.",
        "mx:trap.bad.test:10",
        "MX_BAD",
        15.0,
        "trap.bad.test",
        "bad_mx",
        2.5,
    ),
    _by_host(
        "bad-mx-by-glob", "@ MX 10 a.b.spam.test.", "mx:a.b.spam.test:10", "MX_BAD", 6.0, "a.b.spam.test", "bad_mx"
    ),
    _by_host(
        "bad-mx-with-a-negative-value",
        "@ MX 10 minus.bad.test.",
        "mx:minus.bad.test:10",
        "MX_BAD",
        -6.0,
        "minus.bad.test",
        "bad_mx",
        -1,
    ),
    _by_host(
        "bad-beats-trusted",
        "@ MX 10 in.trusted.test.\n@ MX 20 mx.both.test.",
        "mx:in.trusted.test:10,mx.both.test:20",
        "MX_BAD",
        3.0,
        "mx.both.test",
        "bad_mx",
        0.5,
    ),
    _by_host(
        "bad-mx-in-third-place",
        "@ MX 10 mx\n@ MX 20 mx2\n@ MX 30 x.spam.test.\nmx A 127.0.0.2",
        "mx:mx.{d}:10,mx2.{d}:20,x.spam.test:30",
        "MX_BAD",
        6.0,
        "x.spam.test",
        "bad_mx",
    ),
    Row(
        id="bad-mx-beyond-the-cap-of-the-reference",
        service="maps",
        zone=f"{ONE_MX}\n@ MX 20 mx2\n@ MX 30 mx3\n@ MX 40 x.spam.test.",
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        symbols={"MX_BAD": symbol(6.0, "x.spam.test")},
        domains=("{d} from bad_mx {d}",),
        redis={"d:{d}": "mx:mx.{d}:10,mx2.{d}:20,mx3.{d}:30,x.spam.test:40"},
    ),
    _by_ip("bad-ip-from-a-file", "127.203.1.1", "MX_IP_BAD", 12.0, "127.203.1.1", "bad_ip", 2),
    _by_ip("bad-ip-by-the-longest-prefix", "127.203.9.1", "MX_IP_BAD", 3.0, "127.203.9.1", "bad_ip", 0.5),
    _by_ip("bad-ip-without-a-value", "127.204.0.7", "MX_IP_BAD", 6.0, "127.204.0.7", "bad_ip"),
    _by_ip("bad-ip-beats-excluded-ip", "127.204.0.8", "MX_IP_BAD", 18.0, "127.204.0.8", "bad_ip", 3),
    _by_ip("excluded-ip-with-a-value", "127.201.0.5", "MX_SKIP", 0.0, "corp", "skip"),
    _by_ip("excluded-ip-without-a-value", "127.202.0.5", "MX_SKIP", 0.0, "1", "skip"),
    _by_ip("private-ip-is-not-looked-up-in-maps", "10.7.7.7", "MX_LOCAL_ONLY", 3.0, "10.7.7.7", "ip_class_skipped"),
    Row(
        id="excluded-ips-beyond-the-cap-of-the-reference",
        service="maps",
        zone="@ MX 10 mx\n" + "\n".join(f"mx A 127.202.0.{last}" for last in range(1, 6)),
        symbols={"MX_SKIP": symbol(0.0, "1,1,1,1,1")},
        domains=("{d} from skip mx.{d}",),
        redis=_MX | {"m:mx.{d}": re.compile(r"v4:127\.202\.0\.\d(,127\.202\.0\.\d){4}")},
    ),
    Row(
        id="one-address-of-two-is-excluded",
        service="maps",
        zone="@ MX 10 mx",
        peers={"spared": At("127.201.0.6", scripts.good()), "mx": scripts.good()},
        unprobed=("spared",),
        cached={"m:mx.{d}": "v4:{spared},{mx}"},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=_MX | {"m:mx.{d}": "v4:{spared},{mx}", "i:{mx}": "gd"},
    ),
    Row(
        id="one-address-of-two-is-bad",
        service="maps",
        zone="@ MX 10 mx\nmx A {mx}\nmx A 127.204.0.7",
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        symbols={"MX_IP_BAD": symbol(6.0, "127.204.0.7")},
        domains=("{d} from bad_ip mx.{d}",),
        redis=_MX | {"m:mx.{d}": re.compile(r"v4:[0-9.]+,[0-9.]+")},
    ),
    Row(
        id="bad-ip-beside-a-private-one",
        service="maps",
        zone="@ A 192.168.7.7\n@ A 127.203.3.3",
        symbols={"MX_LOCAL_MIX": symbol(3.0, "192.168.7.7"), "MX_IP_BAD": symbol(12.0, "127.203.3.3", weight=2)},
        domains=("{d} from bad_ip {d}",),
        redis={"d:{d}": re.compile(r"a:v4:[0-9.]+,[0-9.]+")},
    ),
    Row(
        id="multipliers-that-meet",
        service="maps",
        zone="one MX 10 trap.bad.test.\ntwo MX 10 a.spam.test.\nthree MX 10 minus.bad.test.",
        request={"mime_from": ["a@one.{d}", "a@two.{d}", "a@three.{d}"]},
        symbols={"MIME_FROM_MX_BAD": symbol(15.0, "trap.bad.test", "a.spam.test", "minus.bad.test", weight=2.5)},
        domains=(
            "one.{d} mime_from bad_mx one.{d}",
            "two.{d} mime_from bad_mx two.{d}",
            "three.{d} mime_from bad_mx three.{d}",
        ),
        redis={
            "d:one.{d}": "mx:trap.bad.test:10",
            "d:two.{d}": "mx:a.spam.test:10",
            "d:three.{d}": "mx:minus.bad.test:10",
        },
    ),
)
