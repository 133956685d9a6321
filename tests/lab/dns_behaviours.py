"""What the programmable DNS server may do with a question: plain values, given to `DnsServer.set`."""

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import dnslib

DEFAULT_TTL = 60


@dataclass(frozen=True)
class Row:
    """One resource record; without `owner` it belongs to the name that was asked, in the case it was asked."""

    rdata: dnslib.RD
    owner: str | None = None
    ttl: int = DEFAULT_TTL


@dataclass(frozen=True)
class Answer:
    """An answer section (which may be empty) and a response code."""

    rows: tuple[Row, ...] = ()
    rcode: str = "NOERROR"


@dataclass(frozen=True)
class Drop:
    """No reply at all; over TCP the connection stays open and silent."""


@dataclass(frozen=True)
class Raw:
    """These bytes as the reply, with the question's transaction id in front when `keep_id`."""

    data: bytes = b"\xff\x00 this is no DNS message \xff"
    keep_id: bool = False


class OverTcp(Enum):
    """What a TCP connection meets that comes after a truncated answer."""

    ANSWER = "answer"
    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True)
class Truncated:
    """Over UDP an empty answer with the TC bit; over TCP the answer in full, or a closed or reset connection.

    For a *refused* TCP connection start the whole server with `tcp=False`.
    """

    full: Answer
    tcp: OverTcp = OverTcp.ANSWER


@dataclass(frozen=True)
class Delayed:
    """Another behaviour, once `until` is set and `seconds` have passed."""

    then: "Behaviour"
    until: asyncio.Event | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Forward:
    """What the upstream server answers. `truncated`: over UDP an empty answer with the TC bit, and `tcp` is what comes
    after it; without `edns` a question with EDNS (RFC 6891) gets FORMERR."""

    truncated: bool = False
    tcp: OverTcp = OverTcp.ANSWER
    edns: bool = True


@dataclass(frozen=True)
class WrongId:
    """An answer with another transaction id."""

    answer: Answer


@dataclass(frozen=True)
class OtherQuestion:
    """A reply to a question that was not asked: question and rows carry this name."""

    answer: Answer
    name: str


@dataclass(frozen=True)
class MixedCase:
    """An answer whose owners and targets are in mixed case (`dns_replies.mixed_case`); the question stays as asked."""

    answer: Answer


@dataclass(frozen=True)
class Swollen:
    """An answer, and after it its own first row again, as often as fits into a message of so many octets."""

    answer: Answer
    octets: int = 65_000


class InTurn:
    """The first question gets the first behaviour, the second the second, …; the last one stays."""

    def __init__(self, *behaviours: "Behaviour") -> None:
        self._behaviours = behaviours
        self._asked = 0

    def next(self) -> "Behaviour":
        """The behaviour for the next question."""
        chosen = self._behaviours[min(self._asked, len(self._behaviours) - 1)]
        self._asked += 1
        return chosen


Behaviour: TypeAlias = (
    Answer | Drop | Raw | Truncated | Delayed | Forward | WrongId | OtherQuestion | MixedCase | Swollen | InTurn
)

NODATA = Answer()
NXDOMAIN = Answer(rcode="NXDOMAIN")
SERVFAIL = Answer(rcode="SERVFAIL")
REFUSED = Answer(rcode="REFUSED")
FORMERR = Answer(rcode="FORMERR")
NOTIMP = Answer(rcode="NOTIMP")
FORWARD = Forward()
DROP = Drop()
GARBAGE = Raw()


def a(*addresses: str, ttl: int = DEFAULT_TTL) -> Answer:
    """A records of the name that is asked."""
    return Answer(tuple(Row(dnslib.A(address), ttl=ttl) for address in addresses))


def aaaa(*addresses: str, ttl: int = DEFAULT_TTL) -> Answer:
    """AAAA records of the name that is asked."""
    return Answer(tuple(Row(dnslib.AAAA(address), ttl=ttl) for address in addresses))


def mx(*exchanges: tuple[int, str], ttl: int = DEFAULT_TTL) -> Answer:
    """MX records of the name that is asked, as (preference, exchange); `(0, ".")` is a Null MX."""
    return Answer(tuple(Row(dnslib.MX(exchange, preference), ttl=ttl) for preference, exchange in exchanges))


def cname_chain(*names: str, end: Answer = NODATA) -> Answer:
    """A CNAME from the asked name to the first of `names`, on to the next, …; the last one owns the rows of `end`.

    With an empty `end` it is an answer of nothing but CNAMEs.
    """
    owners = (None, *names[:-1])
    rows = tuple(Row(dnslib.CNAME(target), owner=owner) for owner, target in zip(owners, names, strict=True))
    return Answer(rows + tuple(Row(row.rdata, owner=names[-1], ttl=row.ttl) for row in end.rows), end.rcode)


def cname_loop(asked: str, other: str) -> Answer:
    """`asked` is an alias of `other`, which is an alias of `asked`."""
    return Answer((Row(dnslib.CNAME(other), owner=asked), Row(dnslib.CNAME(asked), owner=other)))
