"""A scenario: everything both sides are told, and the outcome: everything that is compared. Plain data <-> JSON."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Setting = bool | int | float | str | list[str]
DnsType = Literal["MX", "A", "AAAA"]
DnsStatus = Literal[
    "ok", "empty", "nodata", "nxdomain", "servfail", "refused", "formerr", "notimp", "timeout", "neterr"
]
Connect = Literal["ok", "refused", "reset", "timeout", "unreachable", "no route", "denied", "unavailable"]
Ending = Literal["eof", "reset", "silence"]
RedisMode = Literal["ok", "down", "no upstream", "reads fail", "writes fail", "no write upstream"]

MAP_SETTINGS = ("exclude_domains", "exclude_mxs", "exclude_ips", "bad_mxs", "bad_ips")
WRONG_TYPE = "(a list)"
"""Stands for the value of a Redis key of the wrong type."""
REDIS_LATENCY = 0.001
DNS_LATENCY = 0.002
CONNECT_LATENCY = 0.05
"""Seconds that answers take. A connect takes longer than any chain of Redis commands between two domains, so that a
probe which both need is still in flight for the second one.
"""
GONE = "(gone)"
"""Stands for the value of a Redis key that was there before."""


@dataclass(frozen=True, slots=True)
class DnsReply:
    """`empty` is a reply without an error and without a record of the type, such as a lone CNAME."""

    status: DnsStatus = "ok"
    addresses: tuple[str, ...] = ()
    exchanges: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Peer:
    """What listens at an address. `chunks` are latin-1 text; `pause` is the time before each of them."""

    connect: Connect
    chunks: tuple[str, ...] = ()
    ending: Ending = "silence"
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Redis:
    """Content and health of the cache before the request.

    `races`: what another worker does to a key between our reading it and our trying to lock it. It sets it to the
    value; None: it holds the lock when we try, and the key is gone when we look why.
    """

    entries: Mapping[str, str] = field(default_factory=dict)
    wrong_type: tuple[str, ...] = ()
    races: Mapping[str, str | None] = field(default_factory=dict)
    mode: RedisMode = "ok"

    def content(self) -> dict[str, str]:
        """Return every key with its value."""
        return dict(self.entries) | dict.fromkeys(self.wrong_type, WRONG_TYPE)

    def changes(self, after: Mapping[str, tuple[str, int | None]]) -> dict[str, tuple[str, int | None]]:
        """Return what was written since, and what has gone.

        `after` maps each key to its value and the TTL it was written with, None if it was not written.
        """
        gone = {key: (GONE, None) for key in self.content() if key not in after}
        before = {(key, (value, None)) for key, value in self.content().items()}
        written = {key: entry for key, entry in after.items() if (key, entry) not in before}
        return dict(sorted((gone | written).items()))


@dataclass(frozen=True, slots=True)
class Parsed:
    """What rspamd's own parsers make of the request: the reference gets this, not the JSON form.

    `envelope` is None for the null sender and for a MAIL FROM that rspamd cannot parse.
    """

    envelope: str | None
    mime_from: tuple[str, ...]
    reply_to: tuple[str, ...]
    helo: str | None
    local: bool
    user: bool

    def candidates(self, settings: Mapping[str, Setting]) -> list[str]:
        """Return the domains to look up under the settings: best source first, then in order of appearance."""
        sender = self.helo if self.envelope is None else self.envelope
        sources = {"check_from": (sender,), "check_reply_to": self.reply_to, "check_mime_from": self.mime_from}
        named = [name for flag, names in sources.items() if settings.get(flag, True) for name in names]
        return list(dict.fromkeys(name.lower() for name in named if name))


@dataclass(frozen=True, slots=True)
class Request:
    """The body of POST /v1/check, and the same message as the reference sees it."""

    body: Mapping[str, Any]
    parsed: Parsed


@dataclass(frozen=True, slots=True)
class Scenario:
    settings: Mapping[str, Setting]
    dns: Mapping[tuple[DnsType, str], DnsReply]
    tcp: Mapping[str, Peer]
    redis: Redis
    request: Request

    def resolve(self, kind: DnsType, name: str) -> DnsReply:
        """Answer a question; a name that is not there does not exist. A final dot only says that the name is whole."""
        return self.dns.get((kind, name.removesuffix(".").lower()), DnsReply("nxdomain"))

    def peer(self, ip: str) -> Peer:
        """Return what listens at an address; by default nothing answers."""
        return self.tcp.get(ip, Peer("timeout"))

    def to_json(self) -> str:
        """Return the scenario as JSON, the same text for equal scenarios."""
        plain = {
            "settings": dict(self.settings),
            "dns": {f"{kind} {name}": asdict(reply) for (kind, name), reply in self.dns.items()},
            "tcp": {ip: asdict(peer) for ip, peer in self.tcp.items()},
            "redis": asdict(self.redis),
            "request": {"body": dict(self.request.body), "parsed": asdict(self.request.parsed)},
        }
        return json.dumps(plain, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Scenario":
        """Build a scenario from the text of `to_json`, for instance from a failure report."""
        plain = json.loads(text)
        dns: dict[tuple[DnsType, str], DnsReply] = {}
        for question, reply in plain["dns"].items():
            kind, _, name = question.partition(" ")
            exchanges = tuple((preference, exchange) for preference, exchange in reply["exchanges"])
            dns[kind, name] = DnsReply(reply["status"], tuple(reply["addresses"]), exchanges)
        redis, parsed = plain["redis"], plain["request"]["parsed"]
        return cls(
            settings=plain["settings"],
            dns=dns,
            tcp={ip: Peer(**{**peer, "chunks": tuple(peer["chunks"])}) for ip, peer in plain["tcp"].items()},
            redis=Redis(redis["entries"], tuple(redis["wrong_type"]), redis["races"], redis["mode"]),
            request=Request(
                plain["request"]["body"],
                Parsed(
                    **{**parsed, "mime_from": tuple(parsed["mime_from"]), "reply_to": tuple(parsed["reply_to"])},
                ),
            ),
        )

    def digest(self) -> str:
        """Return a short hash that changes whenever the scenario does."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Hit:
    """A symbol of the result. `ordered` is false when several domains inserted it: then only the set of options counts,
    because their order hangs on which domain was done first.
    """

    weight: float
    options: tuple[str, ...]
    ordered: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is compared.

    `redis` holds the keys that were written, with the value and the TTL of the last time, `locks` the keys that were
    locked, with the lock's TTL; `probed` the addresses that were connected to, `quits` those that were sent QUIT.
    """

    symbols: Mapping[str, Hit] = field(default_factory=dict)
    action: str = "no action"
    message: str | None = None
    redis: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    locks: Mapping[str, int] = field(default_factory=dict)
    probed: tuple[str, ...] = ()
    quits: tuple[str, ...] = ()
    disabled: bool = False

    def to_plain(self) -> dict[str, Any]:
        """Return the outcome as JSON data, short because there are thousands."""
        if self.disabled:
            return {"disabled": True}
        plain: dict[str, Any] = {
            "symbols": {
                name: [hit.weight, list(hit.options)] + ([] if hit.ordered else ["any order"])
                for name, hit in self.symbols.items()
            },
            "redis": {key: list(entry) for key, entry in self.redis.items()},
        }
        optional = {
            "action": self.action if self.action != "no action" else None,
            "message": self.message,
            "locks": dict(self.locks) or None,
            "probed": list(self.probed) or None,
            "quits": list(self.quits) or None,
        }
        return plain | {name: value for name, value in optional.items() if value is not None}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Outcome":
        """Build an outcome from the data of `to_plain`."""
        if plain.get("disabled"):
            return cls(disabled=True)
        return cls(
            symbols={name: Hit(hit[0], tuple(hit[1]), len(hit) == 2) for name, hit in plain["symbols"].items()},
            action=plain.get("action", "no action"),
            message=plain.get("message"),
            redis={key: (value, ttl) for key, (value, ttl) in plain["redis"].items()},
            locks=plain.get("locks", {}),
            probed=tuple(plain.get("probed", ())),
            quits=tuple(plain.get("quits", ())),
        )
