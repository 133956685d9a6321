"""Every setting of the service, with its default and bounds. Reading them is `mxcheck_service.config`'s job."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from mxcheck_service import cache_url
from mxcheck_service.core.networks import exact_network, is_loopback
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.log import LogFormat, LogLevel

Preset = Literal["recommended", "reference"]
"""A preset sets the defaults of `improvements`; see core.settings.PRESETS."""

_TOKEN = re.compile(r"[!-~]([ -~]*[!-~])?")
_NO_SUCH_TOKEN = "must be printable ASCII without blanks at its ends, each line of it, or no header could carry it"
_MODE = re.compile(r"0?[0-7]{3}")


def _cache_url(url: str) -> str:
    cache_url.parse(url)
    return url


def _tokens(text: SecretStr) -> SecretStr:
    if not text.get_secret_value():
        raise ValueError("must not be empty; null asks for no token")
    if not all(map(_TOKEN.fullmatch, text.get_secret_value().splitlines())):
        raise ValueError(_NO_SUCH_TOKEN)
    return text


def _mode(text: object) -> object:
    if not isinstance(text, str) or not _MODE.fullmatch(text):
        raise ValueError('must be an octal number in quotes, such as "0660"')
    return text


def _network(text: str) -> str:
    exact_network(text)
    return text


Token = Annotated[SecretStr, AfterValidator(_tokens)]
FilePath = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ServerSettings(_Section):
    """The section `server`."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] | None = 11340
    """TCP port to listen on; 0 takes a free one, null none: then `unix_socket` is the only way in."""
    unix_socket: FilePath | None = None
    """Path of a unix socket to listen on as well; neither TLS nor `allow` is for those who come by it."""
    unix_socket_mode: Annotated[str, BeforeValidator(_mode)] = "0660"
    """Permissions of that file, octal and in quotes: who may write may ask."""
    allow: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Networks (CIDR) or addresses whose connections are taken, all others are reset; empty: everyone's."""
    tls_cert: FilePath | None = None
    """PEM file with the certificate, and those between it and its authority: TLS for who comes by TCP; null: none."""
    tls_key: FilePath | None = None
    """PEM file with the certificate's key, not encrypted; null: it is in the file of `tls_cert`."""
    tls_client_ca: FilePath | None = None
    """PEM file with authorities: without a certificate of one of these nobody gets in; null: none is asked for."""
    deadline: Annotated[float, Field(gt=0, le=3600)] | None = None
    """Seconds a check may take; null: 5, and with preset `reference` the reference's own budget."""
    max_concurrent_requests: Annotated[int, Field(ge=1)] = 1000
    """Lookups under way at once, waited for or not; past it a check that needs one more is answered 503."""
    drain_seconds: Annotated[float, Field(ge=0)] = 10.0
    """Seconds that requests and background probes are given to finish at shutdown."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes on the port; more than 1 need a cache in Redis, since the in-process one is not shared."""
    auth_token: Token | None = None
    """Bearer token that /v1 asks for, or several, a line each: any of them will do; null: none is asked for."""
    admin_token: Token | None = None
    """Bearer token that operators' endpoints ask for (/v1/cache/, /-/reload); null: that of auth_token, if any."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 524288
    """Largest request body."""
    max_addresses: Annotated[int, Field(ge=1)] = 100
    """Most addresses that one header field of a request may name."""
    keepalive_seconds: Annotated[int, Field(ge=1)] = 75
    """Seconds an idle connection is kept open."""
    request_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Seconds in which a head must come, and then its body, and in which a caller must take some of a reply."""
    max_connections: Annotated[int, Field(ge=1)] = 4096
    """Callers' connections, in each worker; for one more, idle ones are closed. No more than half its descriptors."""
    console: bool | None = None
    """Serve the console at / and what it shows, /v1/stats; null: only at a loopback `host`, or without a `port`."""
    recent_verdicts: Annotated[int, Field(ge=0, le=1000)] = 100
    """Latest domains without a good verdict that the console shows; they are kept in memory; 0 keeps none."""
    log_level: LogLevel = "info"
    """Least severe level that is logged; info has a line for each check."""
    log_format: LogFormat = "text"
    """Form of the log lines, for people or for machines."""

    @property
    def has_console(self) -> bool:
        """Whether the console is served."""
        if self.console is not None:
            return self.console
        return self.port is None or self.host == "localhost" or is_loopback(self.host)


class CacheSettings(_Section):
    """The section `cache`."""

    url: Annotated[str, AfterValidator(_cache_url)] = "memory://"
    """memory://, redis://host:port/db, rediss://host:port/db, unix:///path?db=0, redis+cluster://h1:p1,h2:p2 or
    redis+sentinel://h1:p1,h2:p2/service/db; `user:password@` goes before the hosts."""
    timeout: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Seconds a Redis command may take."""
    max_connections: Annotated[int, Field(ge=1)] = 64
    """Most connections to Redis."""
    max_entries: Annotated[int, Field(ge=1)] = 100_000
    """Most entries of the in-process cache (memory://)."""
    near_entries: Annotated[int, Field(ge=0)] = 100_000
    """Most Redis entries that are kept in the process too, for as long as Redis tells of changes; 0 keeps none."""
    near_seconds: Annotated[float, Field(ge=0)] = 5.0
    """Longest time such an entry is kept where Redis does not tell of changes; 0 keeps none there."""
    batching: bool = True
    """Send the Redis commands of concurrent requests together; false: each by itself."""

    @property
    def embedded(self) -> bool:
        """Whether the cache is the process's own, and nobody else's."""
        return self.url.startswith("memory://")


class DnsSettings(_Section):
    """The section `dns`."""

    nameservers: tuple[str, ...] = ()
    """Servers to ask, `ip` or `ip:port`; empty: those of /etc/resolv.conf, also when it changes."""
    timeout: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Seconds that a server may take to answer; times `tries` is the most that a question takes."""
    tries: Annotated[int, Field(ge=1, le=10)] = 2
    """How often so long is waited; a server that was quick lately is asked again sooner, and more often."""


class MapsSettings(_Section):
    """The section `maps`: how the map settings of `mx_check` are kept up to date."""

    interval: Annotated[float, Field(ge=0)] = 300.0
    """Seconds between two looks at a URL, give or take a quarter; 0: it is looked at when a reload is asked for."""
    watch: Annotated[float, Field(ge=0)] = 2.0
    """Seconds between two looks whether a file has changed; 0: it is looked at when a reload is asked for."""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Seconds that fetching a URL may take."""
    max_bytes: Annotated[int, Field(ge=1)] = 268_435_456
    """Largest map, decompressed."""
    private_redirects: bool = False
    """A URL at a public address may redirect to one that is private, loopback or otherwise not of the Internet."""


class Settings(_Section):
    """Every setting, as the service uses it."""

    preset: Preset = "recommended"
    server: ServerSettings = ServerSettings()
    cache: CacheSettings = CacheSettings()
    dns: DnsSettings = DnsSettings()
    mx_check: MxCheckSettings = MxCheckSettings()
    improvements: Improvements = Improvements()
    maps: MapsSettings = MapsSettings()

    @property
    def deadline(self) -> float:
        """Seconds a check may take, when neither the caller nor the file says otherwise."""
        if self.server.deadline is not None:
            return self.server.deadline
        if self.preset == "recommended":
            return 5.0
        connect_and_read = self.mx_check.connect_timeout + self.mx_check.read_timeout
        return connect_and_read + self.dns.timeout * self.dns.tries + self.cache.timeout
