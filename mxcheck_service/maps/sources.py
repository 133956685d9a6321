"""What a map setting names: entries in line, files, URLs."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from mxcheck_service.config import mask_url
from mxcheck_service.core.settings import MapSetting
from mxcheck_service.log import escape
from mxcheck_service.maps.errors import MapError

_FILE_MARKS: Final = ("/", "./", "../", "file://")
_URL_MARKS: Final = ("http://", "https://")


class Inline(NamedTuple):
    """Neighbouring entries of a list, each with its index."""

    setting: str
    entries: tuple[tuple[int, str], ...]

    @property
    def place(self) -> str:
        """Where this is, for people: without passwords and control characters."""
        return f"mx_check.{self.setting}"


class File(NamedTuple):
    """A file on this machine."""

    path: Path

    @property
    def place(self) -> str:
        return escape(str(self.path))


class Url(NamedTuple):
    """A file on a web server."""

    url: str

    @property
    def place(self) -> str:
        return escape(mask_url(self.url))


Source: TypeAlias = Inline | File | Url


def sources(setting: str, value: MapSetting) -> tuple[Source, ...] | None:
    """Return where the entries of a map setting come from, in their order; None: it is off. Raises MapError."""
    if value is None:
        return None
    if isinstance(value, str):
        if not value.startswith((*_FILE_MARKS, *_URL_MARKS)):
            raise MapError(
                f"mx_check.{setting}: {value!r} is neither the path of a file (begin it with / or ./) nor a URL "
                "(http:// or https://); entries themselves go into a list"
            )
        value = (value,)
    return tuple(_sources(setting, value))


def _sources(setting: str, items: tuple[str, ...]) -> Iterator[Source]:
    for named, group in groupby(enumerate(items), lambda item: item[1].startswith((*_FILE_MARKS, *_URL_MARKS))):
        if not named:
            yield Inline(setting, tuple(group))
            continue
        for _, item in group:
            yield Url(item) if item.startswith(_URL_MARKS) else File(Path(item.removeprefix("file://")))
