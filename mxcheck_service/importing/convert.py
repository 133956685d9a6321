"""The whole way from rspamd's configuration to this service's."""

import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mxcheck_service.core.networks import parse_ip
from mxcheck_service.core.settings import MxCheckSettings
from mxcheck_service.importing import dump, maps, redis
from mxcheck_service.importing.draft import Draft
from mxcheck_service.importing.dump import REDIS_KEYS
from mxcheck_service.importing.values import Unreadable, number, truth

_KINDS: Final = typing.get_type_hints(MxCheckSettings)
_RENAMED: Final = {"timeout": "connect_timeout", "wait_for_greeting": "verify_greeting"}
_GREYLISTING: Final = [
    name for name in _KINDS if name.startswith("greylist_") and name[9:] not in ("authorized", "local")
]
_LATER: Final = "symbol_mx_none"
"""A setting that stands in every configuration of rspamd 4, and in none of rspamd 3."""


def convert(text: str) -> tuple[str, int]:
    """Return the YAML for what rspamadm has printed, and how many settings have no counterpart; raises ImportFailed."""
    given = dump.read(text)
    draft = Draft()
    redis.convert(draft, given)
    _options(draft, given.options)
    section = dict(given.mx_check)
    if "symbol_no_mx" in section and _LATER not in section:
        _from_rspamd_3(draft, section)
    _settings(draft, section)
    draft.settle()
    return draft.text(), draft.left_out


def _from_rspamd_3(draft: Draft, section: dict[str, Any]) -> None:
    """Keep what rspamd 3's plugin did by itself, so far as there are settings for it."""
    hosts = section.setdefault("max_mx_a_records", 5)
    section.setdefault("expire_novalid", 7200)
    draft.put("mx_check", "check_mime_from", False, "rspamd 3 looked at the envelope sender only")
    draft.put("mx_check", "check_reply_to", False)
    try:
        attempts = min(32, max(1, int(number(hosts, time=False))))
    except Unreadable:
        attempts = 5
    draft.put("improvements", "probe_attempts", attempts, "rspamd 3 connected to one address of each MX host")
    if "greylist_invalid" in section:
        wanted = section.pop("greylist_invalid")
        section.update(dict.fromkeys(_GREYLISTING, wanted))


def _settings(draft: Draft, section: Mapping[str, Any]) -> None:
    servers_here = any(section.get(key) for key in ("servers", "server", "read_servers"))
    for key, value in section.items():
        name = _RENAMED.get(key, key)
        if name != key and name in section:
            draft.leave_out("mx_check", key, value, f"it is the old name of {name}, which is set too and wins")
        elif name in maps.SETTINGS:
            if value is not None and value is not False:
                maps.convert(draft, name, value)
        elif name in _KINDS:
            _setting(draft, name, value, f"was {key}, its old name" if name != key else "")
        elif why := _without_counterpart(key, value, servers_here):
            draft.leave_out("mx_check", key, None if "password" in key else value, why)


def _setting(draft: Draft, name: str, value: Any, remark: str) -> None:
    try:
        converted, odd = _converted(name, value)
    except Unreadable as error:
        draft.leave_out("mx_check", name, value, str(error))
        return
    draft.put("mx_check", name, converted, "; ".join(filter(None, (remark, odd))))


def _converted(name: str, value: Any) -> tuple[Any, str]:
    """Return a value in this service's form, and what is to be said about it; raises Unreadable."""
    kind = _KINDS[name]
    if kind is bool:
        meant = truth(value)
        odd = not meant and value is not False
        return meant, f"rspamd took {value!r} for true, as it does any text or number" if odd else ""
    if kind is int:
        exact = number(value, time=name.startswith("expire"))
        return math.ceil(exact), "" if math.ceil(exact) == exact else f"was {exact}; whole seconds only"
    if kind is float:
        return float(number(value)), ""
    if kind is str:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise Unreadable("is not a text")
        return str(value), ""
    if isinstance(value, str | list):
        return _texts(value), ""
    raise Unreadable("is not a list")


def _without_counterpart(key: str, value: Any, servers_here: bool) -> str | None:
    """Return why a setting is left out; None when there is nothing to be said."""
    if key == "enabled":
        try:
            off = not truth(value)
        except Unreadable:
            off = True
        return "the plugin was switched off; this service checks whatever it is asked about" if off else None
    if key == "redis" or (servers_here and key in REDIS_KEYS):
        return None  # taken for `cache.url`
    if key in REDIS_KEYS:
        return "of Redis, but no servers are named in this section"
    if key == "symbol_no_mx":
        return (
            "of rspamd 3, which inserted it for a domain without MX records. There is one for domains without any "
            "address, symbol_mx_none, and one for each outcome of a domain without MX records, symbol_mx_a_..."
        )
    return "mx_check has no such setting"


def _options(draft: Draft, options: Mapping[str, Any]) -> None:
    """Take over what rspamd's section `options` says of local clients and DNS."""
    if "local_addrs" in options:
        addresses = _texts(options["local_addrs"])
        if any(address.startswith("/") for address in addresses):
            draft.leave_out("mx_check", "local_addrs", addresses, "a file is not supported: list the networks")
        else:
            draft.put("mx_check", "local_addrs", addresses)
    dns = options.get("dns")
    if not isinstance(dns, Mapping):
        return
    servers = list(_nameservers(dns.get("nameserver", [])))
    if any("/" in server for server in servers):
        draft.leave_out("dns", "nameservers", servers, "leave it empty for those of /etc/resolv.conf")
    else:
        draft.put("dns", "nameservers", servers)
    for key, name in (("timeout", "timeout"), ("retransmits", "tries")):
        if key in dns:
            try:
                draft.put("dns", name, number(dns[key], time=name == "timeout"))
            except Unreadable as error:
                draft.leave_out("dns", name, dns[key], str(error))


def _nameservers(value: Any) -> Iterator[str]:
    """Yield the servers of rspamd's upstream lists; a priority behind the port goes."""
    for text in _texts(value):
        server = text
        for rotation in ("master-slave:", "round-robin:", "random:", "hash:", "sequential:"):
            server = server.removeprefix(rotation)
        head, bracket, tail = server.rpartition("]")
        if parse_ip(server) is not None:
            yield server
        elif bracket:
            yield f"{head}]:{tail.split(':')[1]}" if tail.startswith(":") else head.removeprefix("[")
        else:
            yield ":".join(server.split(":")[:2])


def _texts(value: Any) -> list[str]:
    """Return a list of texts, which rspamd may write as one with commas."""
    items = value if isinstance(value, list) else str(value).replace(";", ",").split(",")
    return [str(item).strip() for item in items if str(item).strip()]
