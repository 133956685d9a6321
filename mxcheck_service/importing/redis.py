"""Where rspamd's mx_check has its Redis, as `cache.url`.

rspamd looks into `redis` within the section, then into the section itself, then into the section `redis`, there first
for `mx_check`; what the first one with servers does not say, the section `redis` does (lua_redis.lua).
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from mxcheck_service.core.networks import parse_ip
from mxcheck_service.importing.draft import Draft
from mxcheck_service.importing.dump import REDIS_KEYS, Dump
from mxcheck_service.importing.values import Unreadable, number, truth

_SERVERS: Final = ("read_servers", "servers", "server")
_INHERITED: Final = REDIS_KEYS - {*_SERVERS, "write_servers", "mx_check", "disabled_modules", "enabled_modules"}
_ROTATION: Final = re.compile(r"^(?:random|master-slave|round-robin|hash|sequential):")
_SPLIT: Final = re.compile(r"[,;\s]+")
_ADDRESS: Final = re.compile(r"(?P<host>\[[^\]]+\]|[^:/]+)(?::(?P<port>\d+))?(?::\d+)?")
_PLAIN: Final = re.compile(r"\^?((?:\w|%?[-.])+)\$?", re.ASCII)
_SENTINEL_PORT: Final = 5000
"""rspamd's default; Redis' own is 26379."""
_TLS: Final = {
    "ssl_ca": "ssl_ca_certs",
    "ssl_ca_dir": "ssl_ca_path",
    "ssl_cert": "ssl_certfile",
    "ssl_key": "ssl_keyfile",
}
_NO_COUNTERPART: Final = {
    "prefix": "mx_check does not use it",
    "expand_keys": "mx_check does not use it",
    "sni": "the name in the URL is sent; write that name there",
    "redis_version": "it is not needed",
    "sentinel_watch_time": "the primary is looked for after every failure, and every second",
    "sentinel_master_maxerrors": "the primary is looked for after every failure",
}


def convert(draft: Draft, dump: Dump) -> None:
    """Put the section `cache` into the draft."""
    found = _found(dump)
    if found is None:
        draft.leave_out(
            "cache", "url", None,
            "no Redis is named in this section, so rspamd takes the one of its section redis, which was not given: "
            "`rspamadm configdump -j mx_check redis | mxcheck config import -` has both. Until it is named, results "
            "are kept in the process and not shared",
        )  # fmt: skip
        return
    options = found
    read = _servers(next((options[key] for key in _SERVERS if options.get(key)), ""))
    write = _servers(options.get("write_servers") or "") or read
    if not write:
        draft.leave_out("cache", "url", None, "servers: names no server")
        return
    remarks = ["the password is in this file: let nobody but the service read it"] if options.get("password") else []
    try:
        url = _sentinel_url(options, remarks) or _server_url(options, write[0], remarks)
    except UnicodeEncodeError:
        draft.leave_out("cache", "url", None, "a part of it has characters that nothing can be written with")
        return
    except Unreadable as error:
        draft.leave_out("cache", "url", None, f"ssl or no_ssl_verify {error}")
        return
    if len(write) > 1 or set(read) - set(write):
        rest = ", ".join(dict.fromkeys(server for server in (*write[1:], *read) if server != write[0]))
        remarks.append(
            f"one server is used for all keys, reading and writing; rspamd also used {rest}. For several of them: "
            "redis+cluster:// or redis+sentinel://"
        )
    draft.put("cache", "url", url, "\n".join(remarks))
    if (timeout := options.get("timeout")) is not None:
        try:
            draft.put("cache", "timeout", number(timeout))
        except Unreadable as error:
            draft.leave_out("cache", "timeout", timeout, str(error))
    for key, why in _NO_COUNTERPART.items():
        if key in options:
            draft.leave_out("cache", f"redis.{key}", options[key], why)


def _found(dump: Dump) -> dict[str, Any] | None:
    """Return the options of the Redis in use."""
    shared = dump.redis
    nested = shared.get("mx_check")
    inherited = {key: shared[key] for key in _INHERITED if key in shared}
    if isinstance(nested, Mapping):
        inherited |= {key: nested[key] for key in _INHERITED if key in nested}
    # In the section mx_check itself `timeout` is the probe's.
    own = {key: value for key, value in dump.mx_check.items() if key != "timeout"}
    for place in (dump.mx_check.get("redis"), own, nested, shared):
        if isinstance(place, Mapping) and any(place.get(key) for key in _SERVERS):
            return inherited | {key: value for key, value in place.items() if key in REDIS_KEYS}
    return None


def _servers(value: Any) -> list[str]:
    """Return the servers of a list, or of a text such as `master-slave:a:6379,b:6379:10`, each as `host:port`."""
    texts = value if isinstance(value, list) else [value]
    parts = (part for text in texts for part in _SPLIT.split(_ROTATION.sub("", str(text).strip())) if part)
    return [_address(part, 6379) for part in parts]


def _address(text: str, port: int) -> str:
    """Return `host:port`, or the path of a socket; rspamd may have a priority behind them, which goes."""
    match = _ADDRESS.fullmatch(text)
    if ":" in text and parse_ip(text) is not None:
        return f"[{text}]:{port}"
    if text.startswith("/") or not match:
        return text
    return f"{match['host']}:{match['port'] or port}"


def _credentials(options: Mapping[str, Any], prefix: str = "") -> str:
    user, password = (str(options.get(f"{prefix}{key}") or "") for key in ("username", "password"))
    return f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""


def _database(options: Mapping[str, Any]) -> str:
    return str(next((options[key] for key in ("db", "dbname", "database") if options.get(key) is not None), "0"))


def _server_url(options: Mapping[str, Any], server: str, remarks: list[str]) -> str:
    signed = _credentials(options)
    database = _database(options)
    if server.startswith("/"):
        return f"unix://{signed}{server}?db={quote(database, safe='')}"
    if not truth(options.get("ssl", False)):
        return f"redis://{signed}{server}/{quote(database, safe='')}"
    query = {name: str(options[key]) for key, name in _TLS.items() if options.get(key)}
    if truth(options.get("no_ssl_verify", False)):
        query |= {"ssl_cert_reqs": "none", "ssl_check_hostname": "false"}
        remarks.append("the server's certificate is not verified, as in rspamd")
    return f"rediss://{signed}{server}/{quote(database, safe='')}" + (f"?{urlencode(query)}" if query else "")


def _sentinel_url(options: Mapping[str, Any], remarks: list[str]) -> str | None:
    """Return the URL of a service that sentinels watch; None without sentinels, or with a remark why not."""
    if not options.get("sentinels"):
        return None
    texts = options["sentinels"] if isinstance(options["sentinels"], list) else [options["sentinels"]]
    parts = [part for text in texts for part in _SPLIT.split(_ROTATION.sub("", str(text).strip())) if part]
    nodes = ",".join(_address(part, _SENTINEL_PORT) for part in parts)
    named = _PLAIN.fullmatch(str(options.get("sentinel_masters_pattern", "")))
    if truth(options.get("ssl", False)):
        remarks.append(f"rspamd asks the sentinels {nodes}; TLS to them is not supported")
        return None
    if named is None:
        remarks.append(
            f"rspamd takes whatever primaries the sentinels know; here the service is named: "
            f"redis+sentinel://{nodes}/SERVICE/{_database(options)}, with `user:password@` before the hosts"
        )
        return None
    query = {key: str(options[key]) for key in ("sentinel_username", "sentinel_password") if options.get(key)}
    url = f"redis+sentinel://{_credentials(options)}{nodes}/{quote(named[1].replace('%', ''))}/{_database(options)}"
    return url + (f"?{urlencode(query)}" if query else "")
