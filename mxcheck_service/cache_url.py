"""What `cache.url` says: which kind of cache, where it is, and as whom to sign on.

No message of an error repeats a part of the URL: a password that was not quoted may be anywhere in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio.connection import parse_url

Address = tuple[str, int]
"""Host and TCP port."""


class Kind(Enum):
    """How the cache is served, by the scheme of its URL."""

    MEMORY = "memory"
    SERVER = "server"
    CLUSTER = "redis+cluster"
    SENTINEL = "redis+sentinel"


_FORMS: Final = "memory://, redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://"
_KINDS: Final = {
    "memory": Kind.MEMORY,
    "redis": Kind.SERVER,
    "rediss": Kind.SERVER,
    "unix": Kind.SERVER,
    "redis+cluster": Kind.CLUSTER,
    "redis+sentinel": Kind.SENTINEL,
}
_WRITE: Final = {
    Kind.CLUSTER: "redis+cluster://[user:password@]host1:6379,host2:6379",
    Kind.SENTINEL: "redis+sentinel://[user:password@]host1:26379,host2:26379/service/db",
}
_REDIS: Final = 6379
_PORTS: Final = {Kind.CLUSTER: _REDIS, Kind.SENTINEL: 26379}
_OPTIONS: Final = {
    Kind.CLUSTER: ("username", "password"),
    Kind.SENTINEL: ("username", "password", "sentinel_username", "sentinel_password"),
}


@dataclass(frozen=True, slots=True)
class CacheUrl:
    """A URL taken apart.

    `nodes` (some nodes of a cluster, or the sentinels), `service`, `credentials` and `sentinel_credentials` (redis-py's
    arguments `username` and `password`, where given) and `database` are for CLUSTER and SENTINEL; redis-py reads the
    others itself.
    """

    kind: Kind
    nodes: tuple[Address, ...] = ()
    service: str = ""
    database: int = 0
    credentials: Mapping[str, str] = field(default_factory=dict)
    sentinel_credentials: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> CacheUrl:
    """Take a URL apart; raises ValueError, which says what to write."""
    scheme, separator, _ = text.partition("://")
    kind = _KINDS.get(scheme) if separator else None
    if kind is None:
        tls = " (TLS to Cluster and Sentinel is not supported)" if scheme.startswith("rediss+") else ""
        raise ValueError(f"must begin with {_FORMS}{tls}")
    if kind is Kind.SERVER:
        parse_url(text)
    if kind in (Kind.MEMORY, Kind.SERVER):
        return CacheUrl(kind)
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets that are no IPv6 address's
        raise ValueError(f"is not a URL; write {_WRITE[kind]}") from None
    userinfo, _, hosts = parts.netloc.rpartition("@")
    nodes = tuple(_address(host, kind) for host in hosts.split(","))
    options = _options(parts, kind)
    user, _, password = userinfo.partition(":")
    signed = {"username": unquote(user), "password": unquote(password)} | options
    service, database = _path(parts.path, kind)
    return CacheUrl(
        kind,
        nodes,
        service,
        database,
        {key: signed[key] for key in ("username", "password") if signed[key]},
        {key: signed[f"sentinel_{key}"] for key in ("username", "password") if signed.get(f"sentinel_{key}")},
    )


def ports(text: str) -> set[int]:
    """Return the TCP ports that a URL names; raises ValueError as `parse` does."""
    url = parse(text)
    if url.kind is Kind.SERVER:
        named = parse_url(text)
        return set() if "path" in named else {int(named.get("port", _REDIS))}
    return {port for _, port in url.nodes}


def _address(text: str, kind: Kind) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, _PORTS[kind] if parts.port is None else parts.port
    except ValueError:
        host, port = None, 0
    if not host or not port:
        raise ValueError(f"a node is not host:port; write {_WRITE[kind]}")
    return host, port


def _path(path: str, kind: Kind) -> tuple[str, int]:
    """Return the service that sentinels know the primary by, and the database's number."""
    if kind is Kind.CLUSTER:
        if path not in ("", "/", "/0"):
            raise ValueError(f"a cluster has no database but 0, so nothing may follow its nodes; write {_WRITE[kind]}")
        return "", 0
    service, _, database = path.removeprefix("/").partition("/")
    if not service:
        raise ValueError(f"the service that the sentinels watch must be named after them; write {_WRITE[kind]}")
    if not (database or "0").isdecimal():
        raise ValueError(f"the database is not a number; write {_WRITE[kind]}")
    return unquote(service), int(database or 0)


def _options(parts: SplitResult, kind: Kind) -> dict[str, str]:
    """Return the query's parameters, which are credentials."""
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not options.keys() <= set(_OPTIONS[kind]):
        tls = " (TLS to Cluster and Sentinel is not supported)" if any("ssl" in name for name in options) else ""
        raise ValueError(f"the parameters may only be {', '.join(_OPTIONS[kind])}{tls}")
    return options
