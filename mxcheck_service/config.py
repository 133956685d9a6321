"""The settings of the service: the only place that reads YAML or the environment.

A file and the environment are merged (the environment wins), checked as a whole, and either become one immutable
`Settings` or one `ConfigError` that names every problem.
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from pydantic import SecretStr, TypeAdapter, ValidationError

from mxcheck_service import cache_url
from mxcheck_service.core.endpoint import endpoint
from mxcheck_service.core.maplist import KINDS
from mxcheck_service.core.networks import parse_ip, parse_network
from mxcheck_service.core.settings import PRESETS, RECOMMENDED, Improvements, MxCheckSettings
from mxcheck_service.settings import CacheSettings, DnsSettings, MapsSettings, ServerSettings, Settings

ENV_PREFIX = "MXCHECK_"


class ConfigError(Exception):
    """The settings are wrong; `problems` has one line for each fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and what a person should know about how they came about."""

    settings: Settings
    warnings: tuple[str, ...] = ()


_SECTIONS: Mapping[str, frozenset[str]] = {
    "server": frozenset(ServerSettings.model_fields),
    "cache": frozenset(CacheSettings.model_fields),
    "dns": frozenset(DnsSettings.model_fields),
    "mx_check": frozenset(field.name for field in dataclasses.fields(MxCheckSettings)),
    "improvements": frozenset(field.name for field in dataclasses.fields(Improvements)),
    "maps": frozenset(MapsSettings.model_fields),
}
_NO_YAML = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What PyYAML raises for what it cannot read: only some of it is its own, `!!bool x` is a KeyError."""
_DEPRECATED = {"timeout": "connect_timeout", "wait_for_greeting": "verify_greeting"}
_ADAPTER = TypeAdapter(Settings)
_SECRETS = frozenset({"auth_token", "admin_token"})
_MASK = "**********"
_URL_PASSWORD = re.compile(r"^([^:]*://[^:@/?#]*):(.*)@", re.DOTALL)
_PASSWORD_PARAMETER = re.compile(r"([?&](?:sentinel_)?password=)([^&#]*)")


class _Problems:
    """Collects what is wrong, each with the place it was written at (`origins`: by dotted setting)."""

    def __init__(self) -> None:
        self.origins: dict[str, str] = {}
        self.found: list[str] = []

    def add(self, setting: str, message: str) -> None:
        inside = (place for key, place in self.origins.items() if key.startswith(f"{setting}."))
        place = self.origins.get(setting) or self.origins.get(setting.partition(".")[0]) or next(inside, None)
        self.found.append(f"{place}: {setting}: {message}" if place else f"{setting}: {message}")


def load(
    path: Path | None, environ: Mapping[str, str] | None = None, arguments: Mapping[str, Any] | None = None
) -> Loaded:
    """Return the settings of a file (none: all defaults), the environment and the command line; raises ConfigError.

    `arguments`: values of options of `serve` by name, `host` and `port`, which win over everything.
    """
    problems = _Problems()
    tree = {} if path is None else _read_file(path, problems)
    _merge_environment(tree, os.environ if environ is None else environ, problems)
    for key, value in (arguments or {}).items():
        _put(tree, "server", key, value)
        problems.origins[f"server.{key}"] = f"--{key}"
    return _check(tree, problems)


def parse(tree: Mapping[str, Any]) -> Loaded:
    """Return the settings of a tree as YAML gives it; raises ConfigError."""
    return _check(tree, _Problems())


def _check(tree: Mapping[str, Any], problems: _Problems) -> Loaded:
    known = _sections(tree, problems)
    warnings = _map_deprecated(known["mx_check"], problems)
    for section, names in _SECTIONS.items():
        for key in [key for key in known[section] if key not in names]:
            problems.add(f"{section}.{key}", _unknown(str(key), names))
            del known[section][key]
    preset = PRESETS.get(str(known["preset"]), RECOMMENDED)
    known["improvements"] = dataclasses.asdict(preset) | known["improvements"]
    settings, faults = _validate(known)
    for setting, message in faults.items():
        problems.add(setting, message)
    for involved, message in _cross_checks(settings):
        # What a fault left at its default has no quarrel with the others.
        if faults.keys().isdisjoint(involved):
            problems.add(involved[0], message)
    if problems.found:
        raise ConfigError(problems.found)
    return Loaded(settings, warnings)


def _sections(tree: Mapping[str, Any], problems: _Problems) -> dict[str, Any]:
    """Return every section as a dict of its own, and the preset."""
    known: dict[str, Any] = {section: {} for section in _SECTIONS} | {"preset": tree.get("preset", "recommended")}
    for section, value in tree.items():
        if section in _SECTIONS and isinstance(value, Mapping):
            known[section] = dict(value)
        elif section in _SECTIONS and value is not None:
            problems.add(section, f"must be a section with settings, not {value!r}")
        elif section not in _SECTIONS and section != "preset":
            problems.add(str(section), _unknown(str(section), (*_SECTIONS, "preset")))
    return known


def dump(settings: Settings) -> str:
    """Return the effective settings as YAML, secrets masked."""
    return yaml.safe_dump(effective(settings), sort_keys=False, allow_unicode=True, width=120)


def effective(settings: Settings) -> dict[str, Any]:
    """Return the effective settings as a tree of what JSON has, secrets masked."""
    tree: dict[str, Any] = _ADAPTER.dump_python(settings, mode="json")
    tree["server"]["deadline"] = settings.deadline
    tree["cache"]["url"] = mask_url(settings.cache.url)
    for setting in KINDS:
        match tree["mx_check"][setting]:
            case str(value):
                tree["mx_check"][setting] = mask_url(value)
            case list(values):
                tree["mx_check"][setting] = [mask_url(value) for value in values]
    return tree


def changed(settings: Settings) -> list[str]:
    """Return the dotted names of the settings that are not what the preset makes them."""
    own, default = effective(settings), effective(parse({"preset": settings.preset}).settings)
    names = (
        f"{section}.{name}"
        for section in _SECTIONS
        for name, value in own[section].items()
        if value != default[section][name]
    )
    return [*(["preset"] if settings.preset != "recommended" else []), *names]


def mask_url(url: str) -> str:
    """Return a URL with its password, if it has one, replaced by asterisks."""
    return _PASSWORD_PARAMETER.sub(rf"\1{_MASK}", _URL_PASSWORD.sub(rf"\1:{_MASK}@", url))


def secrets(settings: Settings) -> set[str]:
    """Return every secret in the settings, one in a URL as it is written there and as it is meant."""
    tokens = (value.get_secret_value() for _, value in settings.server if isinstance(value, SecretStr))
    held = {line for token in tokens for line in token.splitlines()}
    maps = (getattr(settings.mx_check, setting) or () for setting in KINDS)
    urls = [settings.cache.url, *(one for named in maps for one in ((named,) if isinstance(named, str) else named))]
    patterns = (_URL_PASSWORD, _PASSWORD_PARAMETER)
    written = {match[2] for url in urls for pattern in patterns for match in pattern.finditer(url)}
    return held | written | {unquote(secret) for secret in written}


def _validate(known: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """Return the settings and a message for each faulty one, which has its default in them."""
    faults: dict[str, str] = {}
    while True:
        try:
            return _ADAPTER.validate_python(known), faults
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                section, *rest = (str(part) for part in fault["loc"][:2])
                faults.setdefault(".".join((section, *rest)), _message(fault))
                if rest:
                    known[section].pop(rest[0], None)
                else:
                    known.pop(section, None)


def _cross_checks(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (settings involved, the first one to blame; message)."""
    server = settings.server
    if server.port is None and server.unix_socket is None:
        yield ("server.port", "server.unix_socket"), "is null, and so is server.unix_socket: nobody could get in"
    for setting in ("tls_key", "tls_client_ca"):
        if getattr(server, setting) and server.tls_cert is None:
            yield (f"server.{setting}", "server.tls_cert"), "is of no use without server.tls_cert"
    if server.tls_cert and server.port is None:
        yield ("server.tls_cert", "server.port"), "is for who comes by TCP, and server.port is null"
    if settings.server.workers > 1 and settings.cache.embedded:
        yield (
            ("server.workers", "cache.url"),
            f"{settings.server.workers} workers need a cache that they share, or each would make the same probes: "
            "set cache.url to a Redis, or server.workers to 1",
        )
    for involved, message in settings.mx_check.problems():
        yield tuple(f"mx_check.{setting}" for setting in involved), message
    for involved, message in settings.improvements.problems():
        yield tuple(f"improvements.{setting}" for setting in involved), message
    if settings.mx_check.port in cache_url.ports(settings.cache.url):
        yield (
            ("mx_check.port", "cache.url"),
            f"{settings.mx_check.port} is the port of cache.url: whoever sends mail could have the service connect to "
            "its own Redis; mail hosts are on 25",
        )
    for network in settings.mx_check.local_addrs:
        if parse_network(network) is None:
            yield ("mx_check.local_addrs",), f"{network!r} is not an IP address or network"
    for host in settings.improvements.egress_check:
        try:
            endpoint(host)
        except ValueError as error:
            yield ("improvements.egress_check",), str(error)
    for nameserver in settings.dns.nameservers:
        if not _is_nameserver(nameserver):
            yield ("dns.nameservers",), f"{nameserver!r} is not an IP address, `ip:port` or `[ipv6]:port`"


def _is_nameserver(text: str) -> bool:
    if parse_ip(text) is not None:
        return True
    host, colon, port = text.rpartition(":")
    return bool(colon) and port.isdigit() and 0 < int(port) < 65536 and parse_ip(host.strip("[]")) is not None


def _map_deprecated(mx_check: dict[str, Any], problems: _Problems) -> tuple[str, ...]:
    """Turn the reference's old setting names into the new ones; the new name wins when both are there."""
    warnings = []
    for old, new in _DEPRECATED.items():
        if old in mx_check:
            value = mx_check.pop(old)
            if new in mx_check:
                warnings.append(f"mx_check.{old} is deprecated and ignored, because {new} is set; remove it")
            else:
                mx_check[new] = value
                problems.origins[f"mx_check.{new}"] = problems.origins.get(f"mx_check.{old}", "")
                warnings.append(f"mx_check.{old} is deprecated; it was taken for {new}: rename it")
    return tuple(warnings)


def _read_file(path: Path, problems: _Problems) -> dict[str, Any]:
    """Return the settings tree of a YAML file; raises ConfigError when it is none."""
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        tree = {} if node is None else loader.construct_document(node)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except _NO_YAML as error:
        raise ConfigError([f"{path}: is not YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(tree, dict):
        raise ConfigError([f"{path}: must be a mapping of sections, such as `server:` and `mx_check:`"])
    if isinstance(node, yaml.MappingNode):
        _note_origins(node, path, "", problems)
    return tree


def _note_origins(node: yaml.MappingNode, path: Path, parent: str, problems: _Problems) -> None:
    """Note the line of each setting, and complain of those written twice, of which YAML keeps the last."""
    for key, value in node.value:
        setting = f"{parent}{key.value}"
        first = problems.origins.get(setting)
        problems.origins[setting] = f"{path}:{key.start_mark.line + 1}"
        if first:
            problems.add(setting, f"is set twice, first at {first}")
        if isinstance(value, yaml.MappingNode) and not parent:
            _note_origins(value, path, f"{setting}.", problems)


def _merge_environment(tree: dict[str, Any], environ: Mapping[str, str], problems: _Problems) -> None:
    """Put MXCHECK_<SECTION>__<KEY>, its _FILE form and MXCHECK_PRESET into the tree."""
    for name, text in sorted(environ.items()):
        section, separator, key = name.removeprefix(ENV_PREFIX).lower().partition("__")
        if not name.startswith(ENV_PREFIX) or not (separator or section == "preset"):
            continue
        by_file = key.endswith("_file") and key not in _SECTIONS.get(section, ())
        key = key.removesuffix("_file") if by_file else key
        setting = f"{section}.{key}" if separator else section
        problems.origins[setting] = name
        if by_file and name.removesuffix("_FILE") in environ:
            problems.add(setting, f"is set twice, by {name.removesuffix('_FILE')} too")
        try:
            value = _read_secret(Path(text)) if by_file else _value(text)
        except ValueError as error:
            problems.add(setting, str(error))
            continue
        if not separator:
            tree[section] = value
        else:
            _put(tree, section, key, value)


def _put(tree: dict[str, Any], section: str, key: str, value: Any) -> None:
    if not isinstance(tree.get(section), dict):
        tree[section] = {}
    tree[section][key] = value


def _read_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None


def _value(text: str) -> Any:
    """Return what a variable says: a list or null as YAML, everything else as text, which the setting's type reads."""
    if not text.startswith("[") and text not in ("null", "~"):
        return text
    try:
        return yaml.safe_load(text)
    except _NO_YAML:
        raise ValueError(f"is not a YAML list: {text}") from None


def _unknown(name: str, valid: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, sorted(valid), n=1, cutoff=0.6)
    return "unknown setting" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _message(fault: Any) -> str:
    text = str(fault["msg"]).removeprefix("Value error, ")
    value = fault["input"]
    if not _SECRETS.isdisjoint(fault["loc"]):
        return f"{text[0].lower()}{text[1:]}"
    return f"{text[0].lower()}{text[1:]}, not {mask_url(value) if isinstance(value, str) else value!r}"
