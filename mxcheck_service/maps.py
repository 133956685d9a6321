"""Loads the map settings: entries written in line, files, or a mix of both."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mxcheck_service.core.maplist import GlobMap, MapEntry, Maps, RadixMap, parse_map
from mxcheck_service.core.settings import MapSetting, MxCheckSettings
from mxcheck_service.log import escape

MAX_BYTES: Final = 256 * 1024 * 1024
_FILE_MARKS = ("/", "./", "../", "file://")
_URL_MARKS = ("http://", "https://")


class MapError(Exception):
    """A map cannot be loaded; the message names the setting, the place and what to do."""


@dataclass(frozen=True, slots=True)
class LoadedMaps:
    """The maps, and what was wrong with single entries of them."""

    maps: Maps
    problems: tuple[str, ...]


def load(settings: MxCheckSettings) -> LoadedMaps:
    """Read and parse every map of the settings; raises MapError."""

    def entries(setting: str) -> list[MapEntry] | None:
        value: MapSetting = getattr(settings, setting)
        return None if value is None else list(_entries(setting, value))

    def glob(setting: str) -> GlobMap | None:
        found = entries(setting)
        return None if found is None else GlobMap(found)

    def radix(setting: str) -> RadixMap | None:
        found = entries(setting)
        return None if found is None else RadixMap(found)

    maps = Maps(
        exclude_domains=glob("exclude_domains"),
        exclude_mxs=glob("exclude_mxs"),
        exclude_ips=radix("exclude_ips"),
        bad_mxs=glob("bad_mxs"),
        bad_ips=radix("bad_ips"),
    )
    problems = (table.problems for table in (maps.exclude_ips, maps.bad_ips) if table is not None)
    return LoadedMaps(maps, tuple(problem for found in problems for problem in found))


def _entries(setting: str, value: str | tuple[str, ...]) -> Iterator[MapEntry]:
    if isinstance(value, str):
        if not value.startswith((*_FILE_MARKS, *_URL_MARKS)):
            raise MapError(
                f"mx_check.{setting}: {value!r} is not the path of a file (begin it with / or ./); "
                "entries themselves go into a list"
            )
        value = (value,)
    for index, item in enumerate(value):
        if item.startswith(_URL_MARKS):
            raise MapError(f"mx_check.{setting}: {item!r}: maps from URLs are not supported yet; use a file")
        if item.startswith(_FILE_MARKS):
            path = Path(item.removeprefix("file://"))
            yield from parse_map(_read(setting, path), str(path))
        else:
            yield from parse_map(item, f"mx_check.{setting}[{index}]")


def _read(setting: str, path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MapError(f"mx_check.{setting}: {path} has more than {MAX_BYTES} bytes")
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MapError(f"mx_check.{setting}: cannot read {escape(str(path))}: {reason}") from error
