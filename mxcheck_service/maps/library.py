"""Keeps the maps of the settings: looks at their places, takes what has changed, keeps the last good of what is broken.

Each place is kept by itself, as a part of a map, so that what has not changed is not read again. The maps that checks
look at are immutable and put together from these parts; nothing here changes under a check.
"""

import asyncio
import errno
import math
import os
import random
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final, NamedTuple

from mxcheck_service.core.maplist import (
    KINDS,
    GlobMap,
    GlobPart,
    Kind,
    Maps,
    RadixMap,
    RadixPart,
    compile_map,
    glob_matchers,
    parse_map,
)
from mxcheck_service.core.maptable import Image
from mxcheck_service.core.settings import MxCheckSettings
from mxcheck_service.maps.compiling import CompiledMap, compile_apart, spool
from mxcheck_service.maps.errors import MapError
from mxcheck_service.maps.fetching import Validators, fetch
from mxcheck_service.maps.sources import File, Inline, Source, Url, sources
from mxcheck_service.ports import Clock
from mxcheck_service.settings import MapsSettings

_RETRY: Final = 5.0
"""Seconds until a URL that failed is fetched again; doubled each time, up to `maps.interval`."""
_JITTER: Final = 0.25
"""By how much of itself an interval may be shorter or longer, so that many services do not come at once."""
_SLICE: Final = 4
"""Patterns compiled until others have their turn: half a millisecond."""


@dataclass(frozen=True, slots=True)
class LoadedMaps:
    """The maps, and what was wrong with single entries of them."""

    maps: Maps
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceState:
    """How one place of a map stands. `age`: seconds since it was last found good, None if it never was.

    `sha256`: of its text, decompressed; None for entries in line and for what was never read.
    """

    source: str
    entries: int
    sha256: str | None
    age: float | None
    changed: bool
    error: str | None


class _Stamp(NamedTuple):
    """By what a change of a file shows without reading it."""

    modified: int
    size: int
    inode: int


@dataclass(slots=True)
class _Held:
    """What is held of a place, and how it was found last; times are the clock's."""

    part: GlobPart | RadixPart | None = None
    digest: str = ""
    stamp: _Stamp | None = None
    validators: Validators = field(default_factory=Validators)
    good_at: float | None = None
    error: str | None = None
    failures: int = 0
    due: float = -math.inf


_Place = tuple[Kind, Source]


class Library:
    """The maps of a process. `uniform` draws a number between two others."""

    def __init__(self, clock: Clock, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._clock = clock
        self._uniform = uniform
        self._held: dict[_Place, _Held] = {}
        self._changed: set[_Place] = set()

    async def refresh(self, wanted: MxCheckSettings, settings: MapsSettings, *, due: bool = False) -> bool:
        """Look at every place that the settings want, or at those that are `due`; return whether there is news.

        News are another content, a failure, and its end. Failures are told by `states`; raises MapError for a setting
        that names no place.
        """
        now = self._clock.monotonic()
        places = {(KINDS[setting], source) for setting, found in _wanted(wanted) for source in found}
        looked_at = [place for place in places if not due or self._held.setdefault(place, _Held()).due <= now]
        # One at a time is compiled: a million entries take hundreds of megabytes meanwhile.
        turn = asyncio.Semaphore(1)
        before = {place: self._held.get(place, _Held()).error for place in looked_at}
        await asyncio.gather(*(self._look(place, settings, turn, due=due) for place in looked_at))
        return self.changed or any(self._held[place].error != before[place] for place in looked_at)

    def maps(self, wanted: MxCheckSettings) -> LoadedMaps:
        """Return the maps of these settings, from what is held. A URL that could not be fetched yet counts as empty.

        Raises MapError, which names every file that was never read.
        """
        found: dict[str, GlobMap | RadixMap] = {}
        faults: list[str] = []
        for setting, named in _wanted(wanted):
            held = [self._held[KINDS[setting], source] for source in named]
            faults += [
                f"mx_check.{setting}: cannot read {source.place}: {one.error}"
                for source, one in zip(named, held, strict=True)
                if one.part is None and not isinstance(source, Url)
            ]
            if KINDS[setting] == "glob":
                found[setting] = GlobMap([one.part for one in held if isinstance(one.part, GlobPart)])
            else:
                found[setting] = RadixMap([one.part for one in held if isinstance(one.part, RadixPart)])
        if faults:
            raise MapError("\n".join(faults))
        problems = (table.problems for table in found.values())
        return LoadedMaps(Maps(**found), tuple(problem for each in problems for problem in each))  # type: ignore[arg-type]

    def states(self, wanted: MxCheckSettings) -> Mapping[str, tuple[SourceState, ...]]:
        """Return how each place of each map setting that is on stands; `changed` as above."""
        now = self._clock.monotonic()

        def state(place: _Place) -> SourceState:
            held = self._held[place]
            good_at = now if isinstance(place[1], Inline) else held.good_at
            age = None if good_at is None else now - good_at
            entries = 0 if held.part is None else len(held.part)
            return SourceState(place[1].place, entries, held.digest or None, age, place in self._changed, held.error)

        return {
            setting: tuple(state((KINDS[setting], source)) for source in named) for setting, named in _wanted(wanted)
        }

    def problems(self, wanted: MxCheckSettings) -> tuple[str, ...]:
        """Return what is broken now, each with what is used instead."""
        return tuple(
            f"mx_check.{setting}: cannot read {place.source}: {place.error} ({_instead(place)})"
            for setting, places in self.states(wanted).items()
            for place in places
            if place.error is not None
        )

    @property
    def changed(self) -> bool:
        """Whether any content is other than when `settle` was called last."""
        return bool(self._changed)

    def settle(self, wanted: MxCheckSettings) -> None:
        """Take the maps of these settings for those that are in use, and drop what they do not name."""
        self._changed.clear()
        named = {(KINDS[setting], source) for setting, found in _wanted(wanted) for source in found}
        for place in self._held.keys() - named:
            del self._held[place]

    async def _look(self, place: _Place, settings: MapsSettings, turn: asyncio.Semaphore, *, due: bool) -> None:
        kind, source = place
        held = self._held.setdefault(place, _Held())
        try:
            match source:
                case Inline():
                    if held.part is None:
                        await self._take(place, held, _compile_inline(kind, source))
                case File():
                    await self._look_at_file(place, source, held, settings, turn, due=due)
                case Url():
                    await self._look_at_url(place, source, held, settings, turn)
        except (MapError, OSError, ValueError) as error:
            held.error = str(error.strerror or error) if isinstance(error, OSError) else str(error)
            held.failures += 1
            if isinstance(error, OSError):
                held.stamp = None  # it says nothing about the content, and the next look may find it well
        else:
            held.error, held.failures, held.good_at = None, 0, self._clock.monotonic()
        held.due = self._clock.monotonic() + self._patience(source, held, settings)

    def _patience(self, source: Source, held: _Held, settings: MapsSettings) -> float:
        """Return the seconds until the place is due again."""
        if isinstance(source, Inline):
            return math.inf
        if isinstance(source, File):
            return settings.watch or math.inf
        seconds = settings.interval or math.inf
        if held.failures:
            seconds = min(seconds, _RETRY * 2 ** min(held.failures - 1, 20))
        return seconds * self._uniform(1 - _JITTER, 1 + _JITTER)

    async def _look_at_file(
        self, place: _Place, source: File, held: _Held, settings: MapsSettings, turn: asyncio.Semaphore, *, due: bool
    ) -> None:
        with _open(source) as file:
            status = os.fstat(file.fileno())
            stamp = _Stamp(status.st_mtime_ns, status.st_size, status.st_ino)
            if due and stamp == held.stamp:
                # What was wrong with it is still wrong.
                if held.error is not None:
                    raise MapError(held.error)
                return
            if status.st_size > settings.max_bytes:
                raise MapError(f"has more than {settings.max_bytes} bytes (maps.max_bytes)")
            held.stamp = stamp
            await self._compile(place, held, file, settings, turn)

    async def _look_at_url(
        self, place: _Place, source: Url, held: _Held, settings: MapsSettings, turn: asyncio.Semaphore
    ) -> None:
        with spool() as file:
            known = held.validators
            found = await fetch(source.url, known, file, timeout=settings.timeout, max_bytes=settings.max_bytes)
            if found is None:
                return
            file.seek(0)
            await self._compile(place, held, file, settings, turn)
            # Not before: what could not be compiled has to be sent again.
            held.validators = found

    async def _compile(
        self, place: _Place, held: _Held, file: BinaryIO, settings: MapsSettings, turn: asyncio.Semaphore
    ) -> None:
        kind, source = place
        async with turn:
            compiled = await compile_apart(kind, source.place, file, known=held.digest, max_bytes=settings.max_bytes)
        if compiled is not None:
            await self._take(place, held, compiled)

    async def _take(self, place: _Place, held: _Held, compiled: CompiledMap) -> None:
        kind, source = place
        image, digest, problems = compiled
        if kind == "glob":
            held.part = await _glob_part(image, problems, source.place)
        else:
            held.part = RadixPart(image, problems, source.place)
        held.digest = digest
        self._changed.add(place)


def _instead(place: SourceState) -> str:
    if place.age is None:
        return "it counts as empty until it can be had"
    entries = "1 entry" if place.entries == 1 else f"{place.entries} entries"
    return f"the last good one stays in use: {entries}, {place.age:.0f} s old"


def _wanted(settings: MxCheckSettings) -> list[tuple[str, tuple[Source, ...]]]:
    """Return every map setting that is on, and its places; raises MapError, which names every setting that has none."""
    wanted, faults = [], []
    for setting in KINDS:
        try:
            found = sources(setting, getattr(settings, setting))
        except MapError as error:
            faults.append(str(error))
        else:
            if found is not None:
                wanted.append((setting, found))
    if faults:
        raise MapError("\n".join(faults))
    return wanted


def _compile_inline(kind: Kind, source: Inline) -> CompiledMap:
    entries = (entry for index, text in source.entries for entry in parse_map(text, f"{source.place}[{index}]"))
    compiled = compile_map(kind, entries, source.place)
    return CompiledMap(compiled.image, "", compiled.problems)


async def _glob_part(image: Image, problems: tuple[str, ...], place: str) -> GlobPart:
    """Make a part whose globs are compiled a few at a time."""
    matchers = []
    for matches in glob_matchers(image):
        matchers.append(matches)
        if len(matchers) % _SLICE == 0:
            await asyncio.sleep(0)
    return GlobPart(image, matchers, place, problems)


def _open(source: File) -> BinaryIO:
    """Open a regular file, without waiting for whoever writes to one that is not; raises OSError, MapError."""
    descriptor = os.open(source.path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        raise MapError("is no regular file")
    return open(descriptor, "rb")
