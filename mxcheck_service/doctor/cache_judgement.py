"""What Redis told about itself."""

import re
from collections.abc import Iterator
from typing import Final

from mxcheck_service.config import mask_url
from mxcheck_service.doctor.facts import CacheFacts, Lost, RedisServer
from mxcheck_service.doctor.rows import Row, fail, ok, warn
from mxcheck_service.settings import Settings

_AREA: Final = "cache"
_LOST: Final = "redis-is-lost"
_TRACKING: Final = "tracking-is-refused"
_FIRST_WITH_TRACKING: Final = 6
_SLOW: Final = 0.005
"""Seconds of a round trip. A cold check makes about ten, and a server in the same room needs a tenth of this."""
_APART: Final = 1.0
"""Seconds that clocks may be apart before logs are hard to read together."""
_CURES: Final = {
    Lost.UNREACHABLE: "start it, check host and port in cache.url, and whether it listens on that address (bind)",
    Lost.SILENT: "it hangs or the way to it drops packets: `redis-cli --latency`, then its log",
    Lost.SIGN_ON: "check user and password in cache.url (special characters must be quoted, as in %40), and its ACL",
    Lost.OTHER: "see its log, and whether cache.url names what it is: one server, a cluster or sentinels",
}


def cache(settings: Settings, facts: CacheFacts) -> Iterator[Row]:
    """Judge the cache, server by server."""
    if settings.cache.embedded:
        yield ok(_AREA, "kept in the process (memory://): not shared, and gone with it")
        return
    where = mask_url(settings.cache.url)
    if facts.lost:
        yield fail(_AREA, f"{where} cannot be asked: {facts.detail}", _CURES[facts.lost], _LOST)
    for server in facts.servers:
        if server.lost:
            yield fail(_AREA, f"{server.name} cannot be asked: {server.detail}", _CURES[server.lost], _LOST)
        else:
            yield from _server(settings, server)
    for command, reply in facts.refused.items():
        advice = (
            f"the service needs {command} on {settings.mx_check.key_prefix}:*: look at the ACL, the role and the memory"
        )
        yield fail(_AREA, f"{where} refuses {command}: {reply}", advice, "redis-refuses-commands")


def _server(settings: Settings, server: RedisServer) -> Iterator[Row]:
    keys = "" if server.keys is None else f", {server.keys} keys in the database"
    version = server.version or "of unknown version"
    trip = f"{server.round_trip * 1000:.2f} ms a round trip"
    if server.round_trip > _SLOW:
        advice = "put it nearer, or look for what keeps it busy (SLOWLOG GET)"
        yield warn(_AREA, f"{server.name}: Redis {version}, but {trip}", advice, "latency-near-the-deadline")
    else:
        yield ok(_AREA, f"{server.name}: Redis {version}, {trip}{keys}")
    yield from _tracking(settings, server)
    if server.max_memory and server.eviction == "noeviction":
        found = f"{server.name} refuses to write when its {server.max_memory // 2**20} MiB are full (noeviction)"
        yield warn(_AREA, found, "set maxmemory-policy volatile-ttl or allkeys-lru", "redis-refuses-commands")
    if server.ahead is not None and abs(server.ahead) > _APART:
        found = f"the clock of {server.name} is {server.ahead:+.1f} s off ours"
        yield warn("clock", found, "let chrony or systemd-timesyncd keep the time on both")


def _tracking(settings: Settings, server: RedisServer) -> Iterator[Row]:
    if not settings.cache.near_entries:
        yield ok(_AREA, "nothing is kept near (cache.near_entries is 0)")
    elif not server.tracking:
        yield ok(_AREA, f"{server.name} tells of changes, so that entries can be kept near")
    else:
        major = re.match(r"\d+", server.version or "")
        seconds = settings.cache.near_seconds
        kept = f"entries are kept near for {seconds:g} s at most" if seconds else "nothing is kept near"
        advice = "allow the user +client +subscribe and &__redis__:invalidate (ACL SETUSER)"
        if major and int(major[0]) < _FIRST_WITH_TRACKING:
            advice = "Redis does so from version 6 on"
        yield warn(_AREA, f"{server.name} does not tell of changes, so {kept}: {server.tracking}", advice, _TRACKING)
