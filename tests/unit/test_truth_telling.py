"""What Postfix's log says of each domain, what that tells, and what is sent on the wire."""

import struct
from ipaddress import ip_address

import pytest

from tests.lab.truth.kind import Truth
from tests.lab.truth.postfix import statuses, truth
from tests.lab.truth.wire import Attempt, attempt

_LOG = """\
Nov 23 00:16:01 host postfix/qmgr[11]: 4F2A1: from=<>, size=200, nrcpt=1 (queue active)
Nov 23 00:16:01 host postfix/smtp[12]: connect to mx.a.truth.test[11.0.1.25]:25: Connection refused
Nov 23 00:16:01 host postfix/smtp[12]: 4F2A1: to=<user@a.truth.test>, relay=none, delay=0.1, delays=0/0/0/0, \
dsn=4.4.1, status=deferred (connect to mx.a.truth.test[11.0.1.25]:25: Connection refused)
Nov 23 00:16:02 host postfix/smtp[13]: 4F2A2: to=<user@B.truth.test>, relay=mx.b.truth.test[11.0.2.25]:25, delay=1, \
delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Taken)
Nov 23 00:16:03 host postfix/error[14]: 4F2A3: to=<user@c.truth.test>, relay=none, delay=0, delays=0/0/0/0, \
dsn=4.4.3, status=deferred (delivery temporarily suspended: Host or domain name not found. \
Name service error for name=c.truth.test type=MX: Host not found, try again)
Nov 23 00:16:14 host postfix/smtp[12]: 4F2A1: to=<user@a.truth.test>, relay=none, delay=12, delays=0/0/0/0, \
dsn=5.4.4, status=bounced (Host or domain name not found (gone))
Nov 23 00:16:15 host postfix/bounce[15]: 4F2A1: sender non-delivery notification: 4F2A9
"""


def test_the_last_try_is_what_counts() -> None:
    assert statuses(_LOG) == {
        "a.truth.test": ("bounced", "Host or domain name not found (gone)"),
        "b.truth.test": ("sent", "250 2.0.0 Taken"),
        "c.truth.test": (
            "deferred",
            "delivery temporarily suspended: Host or domain name not found. "
            "Name service error for name=c.truth.test type=MX: Host not found, try again",
        ),
    }


def test_what_was_sent_once_stays_sent() -> None:
    sent = "x postfix/smtp[1]: A: to=<u@a.test>, relay=r, status=sent (250 ok)\n"
    later = "x postfix/smtp[1]: A: to=<u@a.test>, relay=r, status=deferred (lost connection)\n"
    assert statuses(sent + later) == statuses(later + sent) == {"a.test": ("sent", "250 ok")}


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        ("sent", "250 2.0.0 Taken", Truth.YES),
        ("bounced", "Domain a.test does not accept mail (nullMX)", Truth.NO),
        ("refused", "501 5.1.3 Bad recipient address syntax", Truth.NO),
        ("deferred", "connect to mx.a.test[11.0.1.25]:25: Connection refused", Truth.NO),
        ("deferred", "Name service error for name=a.test type=MX: Host not found, try again", Truth.UNKNOWABLE),
        ("bounced", "Name service error for name=a.test type=AAAA: Host not found", Truth.NO),
        ("deferred", "Name service error for name=a.test type=AAAA: Host not found", Truth.NO),
        ("bounced", "Name service error for name=a.test type=MX: Host not found, try again", Truth.NO),
    ],
)
def test_what_a_status_tells(status: str, reason: str, told: Truth) -> None:
    assert truth(status, reason) is told


def _packet(address: str, *, port: int = 25, flags: int = 0x02, protocol: int = 6, options: int = 0) -> bytes:
    destination = ip_address(address)
    segment = struct.pack(">HHIIBBHHH", 40000, port, 7, 0, 5 << 4, flags, 1024, 0, 0)
    if destination.version == 4:
        head = bytes([0x45 + options]) + bytes(8) + bytes([protocol]) + bytes(6) + destination.packed
        return head + bytes(4 * options) + segment
    return bytes([0x60]) + bytes(5) + bytes([protocol, 64]) + bytes(16) + destination.packed + segment


@pytest.mark.parametrize("address", ["11.0.1.25", "2a00:11::25"])
def test_an_attempt_to_connect_is_told_from_all_else(address: str) -> None:
    assert attempt(_packet(address)) == Attempt(address, 40000, 7)
    for other in (
        _packet(address, port=587),
        _packet(address, flags=0x12),  # the answer to one
        _packet(address, flags=0x10),
        _packet(address, protocol=17),
        _packet(address)[:-10],
        _packet(address)[:12],
        b"",
    ):
        assert attempt(other) is None


def test_ip_options_are_skipped() -> None:
    assert attempt(_packet("11.0.1.25", options=3)) == Attempt("11.0.1.25", 40000, 7)
