"""The services that the rows ask: settings over those of the lab."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.scenarios.row import fill
from tests.lab.service import UNLIMITED

SECTIONS = Mapping[str, Any]
MAP_FILE = "bad-ips.map"
"""The name of a map that is a file; its folder stands in the settings as `{folder}`."""
MAP_FILE_TEXT = """\
# Networks nobody needs mail from.
127.203.0.0/16  2        # all of it
127.203.9.0/24  0.5      # but this part less
"""

_GREETING = {"verify_greeting": True}
# For rows about silence. All others have the patience below: who answers is waited for, however busy the machine is.
_HASTY = {"connect_timeout": 0.4, "read_timeout": 0.8}

SERVICES: Mapping[str, SECTIONS] = {
    "connect": {},
    "greeting": {"mx_check": _GREETING},
    # Rows look at connections when they have ended; those to slow hosts last (test_slow_greeting).
    "silence": {"mx_check": _GREETING | _HASTY, "improvements": {"slow_greeting": None}},
    "silence-in-dns": {"dns": {"timeout": 0.5, "tries": 3}},
    "quit": {"mx_check": _GREETING | {"send_quit": True}},
    "reference": {"preset": "reference"},
    "reference-greeting": {"preset": "reference", "mx_check": _GREETING},
    "reference-silence": {"preset": "reference", "mx_check": _GREETING | _HASTY},
    "dual": {"mx_check": {"probe_ipv6": True}},
    "dual-v4-first": {"mx_check": {"probe_ipv6": True, "prefer_ipv6": False}},
    "loopback": {"mx_check": {"test_mode": False}},
    "loopback-reference": {"preset": "reference", "mx_check": {"test_mode": False}},
    "reject": {
        "mx_check": _GREETING
        | {
            "reject_null_mx": True,
            "reject_null_mx_message": "go away",
            "check_authorized": True,
            "check_local": True,
            "greylist_authorized": True,
        }
    },
    "reject-all": {
        "mx_check": {
            "reject_null_mx": True,
            "reject_authorized": True,
            "reject_local": True,
            "check_authorized": True,
            "check_local": True,
        }
    },
    "custom": {
        "mx_check": _GREETING
        | {
            "key_prefix": "mine",
            "symbol_good_mx": "MY_GOOD",
            "symbol_prefix_from": "ENV_",
            "symbol_prefix_mime_from": "HDR_",
            "check_reply_to": False,
            "greylist_invalid": False,
            "greylist_none": False,
            "expire": 300,
            "expire_dns": 0,
            "expire_novalid": 200,
            "max_mx_a_records": 1,
        }
    },
    "maps": {
        "mx_check": {
            "exclude_domains": ["white-exact.e2e.test", "*.partner.test", "White-Case.e2e.test"],
            "exclude_mxs": ["*.trusted.test", "mx.both.test", "?x.q.test"],
            "bad_mxs": ["trap.bad.test 2.5", "*.spam.test", "mx.both.test 0.5", "minus.bad.test -1"],
            "exclude_ips": ["127.201.0.0/24 corp", "127.202.0.0/24", "127.204.0.8"],
            "bad_ips": [f"{{folder}}/{MAP_FILE}", "127.204.0.7", "127.204.0.8 3", "10.0.0.0/8"],
        }
    },
}


def settings(name: str, *, nameserver: str, redis_url: str, smtp_port: int, folder: Path) -> dict[str, Any]:
    """Return what stands in the configuration file of a service."""
    lab: dict[str, dict[str, Any]] = {
        "server": {"deadline": 15.0},
        "cache": {"url": redis_url},
        "dns": {"nameservers": [nameserver], "timeout": 2.0, "tries": 2},
        "mx_check": {"test_mode": True, "connect_timeout": 5.0, "read_timeout": 6.0, "port": smtp_port},
        # Rows count connections, one for each peer. Second tries are looked at in test_attempts and by bench.truth.
        "improvements": UNLIMITED | {"try_again": False},
    }
    chosen = fill(SERVICES[name], {"folder": str(folder)})
    sections: dict[str, Any] = {section: values | dict(chosen.get(section, {})) for section, values in lab.items()}
    return dict(chosen) | sections


def key_prefix(name: str) -> str:
    """Return the first part of a service's keys."""
    return str(SERVICES[name].get("mx_check", {}).get("key_prefix", "rmx"))
