"""Addresses that are not public are told, and never probed."""

import re

from tests.e2e.scenarios.row import ONE_MX, Nobody, Row, symbol
from tests.lab import smtp_scripts as scripts

_SKIPPED = ("{d} from ip_class_skipped mx.{d}",)
_MX = {"d:{d}": "mx:mx.{d}:10"}

ROWS = (
    Row(
        id="private-address-only",
        zone="@ MX 10 mx\nmx A 10.1.2.3",
        symbols={"MX_LOCAL_ONLY": symbol(3.0, "10.1.2.3")},
        domains=_SKIPPED,
        redis=_MX | {"m:mx.{d}": "v4:10.1.2.3"},
    ),
    Row(
        id="carrier-grade-nat-is-private",
        service="reference",
        zone="@ MX 10 mx\nmx A 100.64.0.9",
        symbols={"MX_LOCAL_ONLY": symbol(3.0, "100.64.0.9")},
        domains=_SKIPPED,
        redis=_MX | {"m:mx.{d}": "v4:100.64.0.9"},
    ),
    Row(
        id="bogon-only",
        zone="@ MX 10 mx\nmx A 192.0.2.9",
        symbols={"MX_BOGON_ONLY": symbol(8.0, "192.0.2.9")},
        domains=_SKIPPED,
        redis=_MX | {"m:mx.{d}": "v4:192.0.2.9"},
    ),
    Row(
        id="link-local-is-bogon",
        service="dual",
        zone="@ MX 10 mx\nmx AAAA fe80::1",
        symbols={"MX_BOGON_ONLY": symbol(8.0, "fe80::1")},
        domains=_SKIPPED,
        redis=_MX | {"m:mx.{d}": "v64:fe80::1"},
    ),
    Row(
        id="private-and-bogon-together",
        zone="@ MX 10 mx\nmx A 172.16.5.5\nmx A 203.0.113.5",
        symbols={"MX_LOCAL_ONLY": symbol(3.0, "172.16.5.5"), "MX_BOGON_ONLY": symbol(8.0, "203.0.113.5")},
        domains=_SKIPPED,
        redis=_MX | {"m:mx.{d}": re.compile(r"v4:(172\.16\.5\.5,203\.0\.113\.5|203\.0\.113\.5,172\.16\.5\.5)")},
    ),
    Row(
        id="private-bogon-and-public-together",
        zone="@ MX 10 mx\nmx A 192.168.5.5\nmx A 198.18.0.5\nmx A {mx}",
        peers={"mx": scripts.good()},
        symbols={"MX_GOOD": symbol(-0.1, "mx.{d}")},
        domains=("{d} from gd mx.{d}",),
        redis=_MX | {"m:mx.{d}": re.compile(r"v4:([0-9.]+,){2}[0-9.]+"), "i:{mx}": "gd"},
    ),
    Row(
        id="private-and-dead-public-together",
        zone="@ MX 10 mx\nmx A 192.168.5.5\nmx A {mx}",
        peers={"mx": Nobody.LISTENS},
        symbols={"MX_LOCAL_MIX": symbol(3.0, "192.168.5.5"), "MX_REFUSED": symbol(3.0, "mx.{d}")},
        action="greylist",
        domains=("{d} from rf mx.{d}",),
        redis=_MX | {"m:mx.{d}": re.compile(r"v4:[0-9.]+,[0-9.]+"), "i:{mx}": "rf"},
    ),
    Row(
        id="classes-have-no-form-for-implicit-mx",
        zone="@ A 10.1.2.3\n@ A {host}",
        peers={"host": Nobody.LISTENS},
        symbols={"MX_LOCAL_MIX": symbol(3.0, "10.1.2.3"), "MX_A_REFUSED": symbol(3.0, "{d}")},
        action="greylist",
        domains=("{d} from rf {d}",),
        redis={"d:{d}": re.compile(r"a:v4:[0-9.]+,[0-9.]+"), "i:{host}": "rf"},
    ),
    Row(
        id="bogon-of-a-header-domain",
        zone="@ A 192.0.2.9",
        request={"mime_from": "user@{d}"},
        symbols={"MIME_FROM_MX_BOGON_ONLY": symbol(8.0, "192.0.2.9")},
        domains=("{d} mime_from ip_class_skipped {d}",),
        redis={"d:{d}": "a:v4:192.0.2.9"},
    ),
    Row(
        id="loopback-is-local",
        service="loopback",
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        symbols={"MX_LOCAL_ONLY": symbol(3.0, "{mx}")},
        domains=_SKIPPED,
        redis=_MX | {"m:mx.{d}": "v4:{mx}"},
    ),
    Row(
        id="loopback-is-bogon-in-the-reference",
        service="loopback-reference",
        zone=ONE_MX,
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        symbols={"MX_BOGON_ONLY": symbol(8.0, "{mx}")},
        domains=_SKIPPED,
        redis=_MX | {"m:mx.{d}": "v4:{mx}"},
    ),
)
