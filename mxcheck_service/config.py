"""The settings of the service: the only place that reads YAML or the environment.

A file and the environment are merged (the environment wins), checked as a whole, and either become one immutable
`Settings` or one `ConfigError` that names every problem.
"""

import dataclasses
import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from mxcheck_service.core.networks import parse_ip, parse_network
from mxcheck_service.core.settings import PRESETS, Improvements, MxCheckSettings
from mxcheck_service.settings import CacheSettings, DnsSettings, ServerSettings, Settings

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
}
_TOP = (*_SECTIONS, "preset")
_DEPRECATED = {"timeout": "connect_timeout", "wait_for_greeting": "verify_greeting"}
_ADAPTER = TypeAdapter(Settings)


def load(path: Path | None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Return the settings of a file (none: all defaults) and the environment; raises ConfigError."""
    tree, origins, problems = ({}, {}, []) if path is None else _read_file(path)
    problems += _merge_environment(tree, origins, os.environ if environ is None else environ)
    return parse(tree, origins, problems)


def parse(
    tree: Mapping[str, Any], origins: Mapping[str, str] | None = None, problems: list[str] | None = None
) -> Loaded:
    """Check a settings tree and return the settings; raises ConfigError with these and the earlier `problems`.

    `origins` tells for a dotted setting where it was written.
    """
    places = origins or {}
    found = list(problems or ())

    def complain(setting: str, message: str) -> None:
        place = places.get(setting) or places.get(setting.partition(".")[0])
        found.append(f"{place}: {setting}: {message}" if place else f"{setting}: {message}")

    known: dict[str, Any] = {}
    for section, value in tree.items():
        if section not in _TOP:
            complain(section, _unknown(section, _TOP))
        elif section == "preset":
            known[section] = value
        elif value is None:
            continue
        elif not isinstance(value, Mapping):
            complain(section, f"must be a section with settings, not {value!r}")
        else:
            known[section] = dict(value)

    warnings = _map_deprecated(known.get("mx_check", {}))
    for section, values in known.items():
        if section != "preset":
            for key in [key for key in values if key not in _SECTIONS[section]]:
                complain(f"{section}.{key}", _unknown(str(key), _SECTIONS[section]))
                del values[key]

    preset = PRESETS.get(known.get("preset", "recommended"), PRESETS["recommended"])
    known["improvements"] = dataclasses.asdict(preset) | known.get("improvements", {})
    settings, faults = _validate(known)
    for setting, message in faults.items():
        complain(setting, message)
    for involved, message in _cross_checks(settings):
        if faults.keys().isdisjoint(involved):
            complain(involved[0], message)
    if found:
        raise ConfigError(found)
    return Loaded(settings, warnings)


def dump(settings: Settings) -> str:
    """Return the effective settings as YAML, secrets masked."""
    tree = _ADAPTER.dump_python(settings, mode="json")
    tree["server"]["deadline"] = settings.deadline
    tree["cache"]["url"] = mask_url(settings.cache.url)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120)


def mask_url(url: str) -> str:
    """Return a URL with its password, if it has one, replaced by asterisks."""
    head, at, tail = url.rpartition("@")
    scheme, slashes, credentials = head.partition("://")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{slashes}{user}{colon}{'**********' if colon else ''}{at}{tail}" if at else url


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
    for involved, message in settings.mx_check.problems():
        yield tuple(f"mx_check.{setting}" for setting in involved), message
    for network in settings.mx_check.local_addrs:
        if parse_network(network) is None:
            yield ("mx_check.local_addrs",), f"{network!r} is not an IP address or network"
    for server in settings.dns.nameservers:
        if not _is_nameserver(server):
            yield ("dns.nameservers",), f"{server!r} is not an IP address, `ip:port` or `[ipv6]:port`"


def _is_nameserver(text: str) -> bool:
    if parse_ip(text) is not None:
        return True
    host, colon, port = text.rpartition(":")
    return bool(colon) and port.isdigit() and 0 < int(port) < 65536 and parse_ip(host.strip("[]")) is not None


def _map_deprecated(mx_check: dict[str, Any]) -> tuple[str, ...]:
    """Turn the reference's old setting names into the new ones; the new name wins when both are there."""
    warnings = []
    for old, new in _DEPRECATED.items():
        if old in mx_check:
            value = mx_check.pop(old)
            if new in mx_check:
                warnings.append(f"mx_check.{old} is deprecated and ignored, because {new} is set; remove it")
            else:
                mx_check[new] = value
                warnings.append(f"mx_check.{old} is deprecated; it was taken for {new}: rename it")
    return tuple(warnings)


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Return (settings tree, origin of each setting, problems) of a YAML file; raises ConfigError when it is none."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: is not YAML: {' '.join(str(error).split())}"]) from None
    if node is None:
        return {}, {}, []
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError([f"{path}: must be a mapping of sections, such as `server:` and `mx_check:`"])
    origins: dict[str, str] = {}
    problems: list[str] = []
    _note_origins(node, str(path), "", origins, problems)
    loader = yaml.SafeLoader("")
    return loader.construct_document(node), origins, problems


def _note_origins(node: yaml.MappingNode, path: str, parent: str, origins: dict[str, str], problems: list[str]) -> None:
    for key, value in node.value:
        setting = f"{parent}{key.value}"
        place = f"{path}:{key.start_mark.line + 1}"
        if setting in origins:
            problems.append(f"{place}: {setting}: is set twice, first at {origins[setting]}")
        origins[setting] = place
        if isinstance(value, yaml.MappingNode) and not parent:
            _note_origins(value, path, f"{setting}.", origins, problems)


def _merge_environment(tree: dict[str, Any], origins: dict[str, str], environ: Mapping[str, str]) -> list[str]:
    """Put MXCHECK_<SECTION>__<KEY> and MXCHECK_PRESET into the tree; return what is wrong with them."""
    problems = []
    for name, text in sorted(environ.items()):
        section, separator, key = name.removeprefix(ENV_PREFIX).lower().partition("__")
        if not name.startswith(ENV_PREFIX) or not (separator or section == "preset"):
            continue
        value: Any = text
        if key.endswith("_file") and key not in _SECTIONS.get(section, ()):
            key = key.removesuffix("_file")
            if name.removesuffix("_FILE") in environ:
                problems.append(f"{name}: {section}.{key} is set twice, here and by {name.removesuffix('_FILE')}")
            try:
                value = Path(text).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{name}: cannot read {text}: {getattr(error, 'strerror', None) or error}")
                continue
        elif text.startswith("[") or text in ("null", "~"):
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError:
                problems.append(f"{name}: is not a YAML list: {text}")
                continue
        if not separator:
            tree[section] = value
        else:
            if not isinstance(tree.get(section), dict):
                tree[section] = {}
            tree[section][key] = value
        origins[f"{section}.{key}" if separator else section] = name
    return problems


def _unknown(name: str, valid: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, sorted(valid), n=1, cutoff=0.6)
    return "unknown setting" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _message(fault: Any) -> str:
    text = str(fault["msg"]).removeprefix("Value error, ")
    value = fault["input"]
    if "auth_token" in fault["loc"]:
        return f"{text[0].lower()}{text[1:]}"
    return f"{text[0].lower()}{text[1:]}, not {mask_url(value) if isinstance(value, str) else value!r}"
