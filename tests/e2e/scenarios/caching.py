"""What Redis holds already, layer by layer: verdicts are used, garbage is healed, locks are honoured."""

from tests.e2e.scenarios.row import ONE_MX, TWO_MX, Nobody, Row, Symbol, one_mx, symbol
from tests.lab import smtp_scripts as scripts

_GOOD = {"MX_GOOD": symbol(-0.1, "mx.{d}")}
_KNOWN = {"d:{d}": "mx:mx.{d}:10", "m:mx.{d}": "v4:{mx}"}
_TWO_ADDRESSES = {"d:{d}": "mx:mx.{d}:10", "m:mx.{d}": "v4:{a},{b}"}


def _known_domain(name: str, value: str, symbols: dict[str, Symbol], *, service: str = "connect") -> Row:
    """The `d:` entry is a verdict; DNS, which says otherwise, is not asked."""
    return Row(
        id=name,
        service=service,
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        cached={"d:{d}": value},
        symbols=symbols,
        action="no action" if value == "df" else "greylist",
        domains=(f"{{d}} from {value} {{d}} cached",),
    )


def _known_address(name: str, value: str, symbols: dict[str, Symbol], *, service: str = "connect") -> Row:
    """The `i:` entry is a verdict; the peer, which is good, is not asked."""
    return Row(
        id=name,
        service=service,
        zone="",
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        cached=_KNOWN | {"i:{mx}": value},
        symbols=symbols,
        action="greylist" if value in ("rf", "tc", "tr", "inv") else "no action",
        domains=(f"{{d}} from {value} mx.{{d}} cached",),
    )


def _garbage(name: str, cached: dict[str, str | list[str]], *, service: str = "connect") -> Row:
    """The entries tell nothing: they are asked for and written anew."""
    return Row(
        id=name,
        service=service,
        peers={"mx": scripts.good()},
        cached=cached,
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=one_mx("gd"),
    )


ROWS = (
    _known_domain("known-no", "no", {"MX_NONE": symbol(4.0, "{d}")}),
    _known_domain("known-bkn", "bkn", {"MX_BROKEN": symbol(4.0, "{d}")}),
    _known_domain("known-null", "null", {"MX_NULL": symbol(6.0, "{d}")}),
    _known_domain("known-df", "df", {"MX_DNS_FAIL": symbol(0.0, "{d}")}),
    _known_domain("known-df-in-the-reference", "df", {"MX_DNS_FAIL": symbol(0.0, "{d}")}, service="reference"),
    _known_address("known-gd", "gd", _GOOD),
    _known_address("known-gd-in-the-reference", "gd", _GOOD, service="reference"),
    _known_address("known-rf", "rf", {"MX_REFUSED": symbol(3.0, "mx.{d}")}),
    _known_address("known-tc", "tc", {"MX_TIMEOUT_CONNECT": symbol(2.0, "mx.{d}")}),
    _known_address("known-tr", "tr", {"MX_TIMEOUT_READ": symbol(0.1, "mx.{d}")}),
    _known_address("known-inv", "inv", {"MX_INVALID": symbol(3.0, "greylisted")}),
    _known_address("known-err", "err:554", {"MX_ERROR": symbol(0.0, "mx.{d}", "554"), **_GOOD}),
    _known_address("known-err-250", "err:250", {"MX_ERROR": symbol(0.0, "mx.{d}", "250"), **_GOOD}),
    Row(
        id="known-implicit-mx",
        zone=ONE_MX,
        peers={"mx": scripts.good(), "host": Nobody.LISTENS},
        unprobed=("mx",),
        cached={"d:{d}": "a:v4:{host}", "i:{host}": "gd"},
        symbols={"MX_A_GOOD": symbol(0.0, "{d}")},
        domains=("{d} from gd {d} cached",),
    ),
    _garbage("garbage-in-d", {"d:{d}": "what is this"}),
    _garbage("garbage-in-d-a-verdict-of-another-layer", {"d:{d}": "gd"}),
    _garbage("garbage-in-d-mx-list-of-nothing", {"d:{d}": "mx:nonsense,mx.{d}"}),
    _garbage("garbage-in-m", {"m:mx.{d}": "what is this"}),
    _garbage("garbage-in-i", {"i:{mx}": "what is this"}),
    _garbage("garbage-in-i-in-the-reference", {"i:{mx}": "err:55"}, service="reference"),
    _garbage("garbage-everywhere", {"d:{d}": "null ", "m:mx.{d}": "v5:{mx}", "i:{mx}": "GD"}),
    _garbage("garbage-of-another-type", {"d:{d}": ["no"], "m:mx.{d}": ["no"]}),
    Row(
        id="lock-of-another-type",
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        cached={"i:{mx}": ["l"]},
        symbols={"MX_REDIS_ERROR": symbol(0.0)},
        domains=("{d} from redis_error mx.{d}",),
        redis=_KNOWN | {"i:{mx}": ["l"]},
    ),
    Row(
        id="lock-is-held-in-the-reference",
        service="reference",
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        cached={"i:{mx}": "l"},
        symbols={"MX_INFLIGHT": symbol(0.0, "mx.{d}")},
        domains=("{d} from inflight mx.{d}",),
        redis=_KNOWN | {"i:{mx}": "l"},
    ),
    Row(
        id="lock-is-empty-in-the-reference",
        service="reference",
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        cached={"i:{mx}": ""},
        symbols={"MX_INFLIGHT": symbol(0.0, "mx.{d}")},
        domains=("{d} from inflight mx.{d}",),
        redis=_KNOWN | {"i:{mx}": ""},
    ),
    Row(
        id="lock-of-implicit-mx-in-the-reference",
        service="reference",
        zone="@ A {host}",
        peers={"host": scripts.good()},
        unprobed=("host",),
        cached={"i:{host}": "l"},
        symbols={"MX_INFLIGHT": symbol(0.0, "{d}")},
        domains=("{d} from inflight {d}",),
        redis={"d:{d}": "a:v4:{host}", "i:{host}": "l"},
    ),
    Row(
        id="lock-of-a-later-address-in-the-reference",
        service="reference",
        zone="",
        peers={"a": scripts.good(), "b": scripts.good()},
        unprobed=("a", "b"),
        cached=_TWO_ADDRESSES | {"i:{b}": "l"},
        symbols={"MX_INFLIGHT": symbol(0.0, "mx.{d}")},
        domains=("{d} from inflight mx.{d}",),
    ),
    Row(
        id="garbage-at-a-later-address-in-the-reference",
        service="reference",
        zone="",
        peers={"a": scripts.good(), "b": scripts.good()},
        unprobed=("a",),
        cached=_TWO_ADDRESSES | {"i:{b}": "garbage"},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=_TWO_ADDRESSES | {"i:{b}": "gd"},
    ),
    Row(
        id="known-verdict-of-a-later-address",
        zone="",
        peers={"a": scripts.good(), "b": scripts.good()},
        unprobed=("a", "b"),
        cached=_TWO_ADDRESSES | {"i:{b}": "gd"},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d} cached",),
    ),
    Row(
        id="known-verdict-beside-a-held-lock",
        zone="",
        peers={"a": scripts.good(), "b": scripts.good()},
        unprobed=("a", "b"),
        cached=_TWO_ADDRESSES | {"i:{a}": "l", "i:{b}": "gd"},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d} cached",),
    ),
    Row(
        id="known-failure-of-a-later-address",
        zone="",
        peers={"a": scripts.good(), "b": scripts.good()},
        unprobed=("b",),
        cached=_TWO_ADDRESSES | {"i:{b}": "rf"},
        symbols=_GOOD,
        domains=("{d} from gd mx.{d}",),
        redis=_TWO_ADDRESSES | {"i:{a}": "gd", "i:{b}": "rf"},
    ),
    Row(
        id="known-failure-of-a-later-address-in-the-reference",
        service="reference",
        zone="",
        peers={"a": scripts.good(), "b": scripts.good()},
        unprobed=("a", "b"),
        cached=_TWO_ADDRESSES | {"i:{b}": "rf"},
        symbols={"MX_REFUSED": symbol(3.0, "mx.{d}")},
        action="greylist",
        domains=("{d} from rf mx.{d} cached",),
    ),
    Row(
        id="known-failure-and-known-good-backup",
        zone="",
        peers={"first": scripts.good(), "second": scripts.good()},
        unprobed=("first", "second"),
        cached={
            "d:{d}": "mx:first.{d}:10,second.{d}:20",
            "m:first.{d}": "v4:{first}",
            "m:second.{d}": "v4:{second}",
            "i:{first}": "tc",
            "i:{second}": "gd",
        },
        symbols={"MX_GOOD": symbol(-0.1, "second.{d}")},
        domains=("{d} from gd second.{d} cached",),
    ),
    Row(
        id="known-mx-list-is-used-as-it-stands",
        zone=TWO_MX,
        peers={"first": scripts.good(), "second": scripts.good()},
        unprobed=("first",),
        cached={"d:{d}": "mx:no-preference.{d},SECOND.{d}:20,first.{d}:10"},
        symbols={"MX_GOOD": symbol(-0.1, "SECOND.{d}")},
        domains=("{d} from gd SECOND.{d}",),
        redis={
            "d:{d}": "mx:no-preference.{d},SECOND.{d}:20,first.{d}:10",
            "m:SECOND.{d}": "v4:{second}",
            "i:{second}": "gd",
        },
    ),
    Row(
        id="dns-entries-are-not-read-without-dns-cache",
        service="custom",
        peers={"mx": scripts.good()},
        cached={"d:{d}": "null", "m:mx.{d}": "no"},
        symbols={"ENV_MY_GOOD": symbol(-0.1, "mx.{d}")},
        domains=("{d} from gd mx.{d}",),
        redis={"d:{d}": "null", "m:mx.{d}": "no", "i:{mx}": "gd"},
    ),
    Row(
        id="address-entries-are-read-without-dns-cache",
        service="custom",
        peers={"mx": scripts.good()},
        unprobed=("mx",),
        cached={"i:{mx}": "tc"},
        symbols={"ENV_MX_TIMEOUT_CONNECT": symbol(2.0, "mx.{d}")},
        action="greylist",
        domains=("{d} from tc mx.{d} cached",),
    ),
)
