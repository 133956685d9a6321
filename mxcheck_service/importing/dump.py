"""Finds the sections in what `rspamadm configdump -j` prints.

With a section's name it prints the object of that section; each of several of the same name by itself, one after the
other. Without a name it prints one object with all sections, where several of a name are a list. rspamd reads several
as one, the later winning (lua_config.c: get_all_opt).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mxcheck_service.core.settings import MxCheckSettings

ADVICE: Final = "expected what `rspamadm configdump -j mx_check redis` prints"

REDIS_KEYS: Final = frozenset(
    {
        *("servers", "server", "read_servers", "write_servers", "timeout", "prefix", "expand_keys", "redis_version"),
        *("db", "database", "dbname", "username", "password"),
        *("ssl", "no_ssl_verify", "ssl_ca", "ssl_ca_dir", "ssl_cert", "ssl_key", "sni"),
        *("sentinels", "sentinel_watch_time", "sentinel_masters_pattern", "sentinel_master_maxerrors"),
        *("sentinel_username", "sentinel_password"),
        *("disabled_modules", "enabled_modules", "mx_check"),
    }
)
"""What rspamd's section `redis` may say (lua_redis.lua)."""
OLD_KEYS: Final = frozenset({"timeout", "wait_for_greeting", "symbol_no_mx"})
"""What only rspamd 3's mx_check knows, the deprecated names included."""

_SERVERS: Final = frozenset({"servers", "server", "read_servers", "write_servers", "sentinels"})
_OWN_KEYS: Final = frozenset(MxCheckSettings.__slots__) | OLD_KEYS | {"enabled", "redis"}


class ImportFailed(ValueError):
    """The text is not what rspamadm prints; the message says what was found."""


@dataclass(frozen=True, slots=True)
class Dump:
    """The sections that matter; those that were not printed are empty."""

    mx_check: Mapping[str, Any]
    redis: Mapping[str, Any]
    options: Mapping[str, Any]


def read(text: str) -> Dump:
    """Find the sections; raises ImportFailed."""
    mx_check: dict[str, Any] = {}
    redis: dict[str, Any] = {}
    options: dict[str, Any] = {}
    found = False
    for printed in _objects(text):
        if "mx_check" in printed and not _SERVERS & printed.keys():
            mx_check |= _merged(printed["mx_check"])
            redis |= _merged(printed.get("redis", {}))
            options |= _merged(printed.get("options", {}))
            found = True
        elif found and _SERVERS & printed.keys() and printed.keys() <= REDIS_KEYS:
            redis |= printed
        elif not printed or _OWN_KEYS & printed.keys():
            mx_check |= printed
            found = True
        else:
            names = ", ".join(sorted(printed)[:5])
            raise ImportFailed(f"no setting of mx_check is in it, but {names}; {ADVICE}")
    if not found:
        raise ImportFailed(f"nothing is in it; {ADVICE}")
    return Dump(mx_check, redis, options)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects that stand one after the other."""
    decoder = json.JSONDecoder(parse_constant=_no_number)
    at = 0
    while rest := text[at:].lstrip():
        at = len(text) - len(rest)
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            where = f"line {text.count(chr(10), 0, at) + 1}, {rest.splitlines()[0][:40]!r}"
            raise ImportFailed(f"{where}: no JSON that can be read ({error}); {ADVICE}") from None
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, dict):
                raise ImportFailed(f"{type(one).__name__} where a section was expected; {ADVICE}")
            yield one


def _merged(section: Any) -> dict[str, Any]:
    """Return a section as one object, be it one or a list of several."""
    parts = section if isinstance(section, list) else [section]
    return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")
