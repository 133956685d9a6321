"""Takes changed settings and maps into a running service, all of a change or nothing of it.

What is new is read, checked and compiled beside what is in use; then the next request gets a checker made of it. A
request under way keeps the one it began with.
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from mxcheck_service.config import ConfigError, Loaded
from mxcheck_service.core.maplist import KINDS, Maps
from mxcheck_service.maps.errors import MapError
from mxcheck_service.maps.library import Library, LoadedMaps, SourceState
from mxcheck_service.metrics import Metrics
from mxcheck_service.ports import Clock
from mxcheck_service.settings import Settings
from mxcheck_service.tls import Certificates

_log = logging.getLogger(__name__)

_TICK: Final = 1.0
"""Most seconds between two looks whether a map is due."""
_SERVER: Final = ("deadline", "log_level", "max_addresses")
"""Settings of `server` that a reload changes; the others are built into what listens."""

Reread = Callable[[], Loaded]
"""Reads the settings again; raises ConfigError."""
Use = Callable[[Settings, Maps], Awaitable[None]]
"""Puts a checker of these settings and maps in place."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of a reload: settings that changed, those that need a restart, what is wrong, and every map's state."""

    changed: tuple[str, ...]
    restart: tuple[str, ...]
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    maps: Mapping[str, tuple[SourceState, ...]]


class Reloader:
    """What a process does to stay up to date. `settings` and the maps of `library` are what it serves with so far.

    `tell_others`: called when this process was asked to reload and others that serve the same port were not;
    `certificates`: what TLS is spoken with, if it is.
    """

    def __init__(
        self,
        settings: Settings,
        library: Library,
        reread: Reread,
        use: Use,
        metrics: Metrics,
        clock: Clock,
        tell_others: Callable[[], None] = lambda: None,
        certificates: Certificates | None = None,
    ) -> None:
        self._settings = settings
        self._library = library
        self._reread = reread
        self._use = use
        self._metrics = metrics
        self._clock = clock
        self._tell_others = tell_others
        self._certificates = certificates
        self._turn = asyncio.Lock()
        self._asked = asyncio.Event()

    async def reload_everywhere(self) -> Reloaded:
        """Reload here, and have the other processes do so too."""
        self._tell_others()
        return await self.reload()

    async def reload(self) -> Reloaded:
        """Read settings and maps again. What is broken is told, and what was there before stays in use."""
        async with self._turn:
            errors: list[str] = []
            self._renew_certificates(errors)
            wanted, restart, warnings = self._read(errors)
            try:
                await self._library.refresh(wanted.mx_check, wanted.maps)
                loaded = self._library.maps(wanted.mx_check)
            except MapError as error:
                errors += str(error).splitlines()
                wanted, restart = self._settings, ()
                await self._library.refresh(wanted.mx_check, wanted.maps)
                loaded = self._library.maps(wanted.mx_check)
            return await self._take(wanted, loaded, restart, (*warnings, *loaded.problems), errors)

    async def refresh(self) -> None:
        """Look at those maps that are due."""
        async with self._turn:
            settings = self._settings
            if await self._library.refresh(settings.mx_check, settings.maps, due=True):
                loaded = self._library.maps(settings.mx_check)
                await self._take(settings, loaded, (), loaded.problems, [])
            else:
                self.report()

    def ask(self) -> None:
        """Have a reload made by whoever runs `watch`; asked for again before it begins, it is one."""
        self._asked.set()

    async def watch(self) -> None:
        """Refresh what is due, and reload when asked, for ever."""
        await asyncio.gather(self._refresh_when_due(), self._reload_when_asked())

    async def _refresh_when_due(self) -> NoReturn:
        while True:
            await self._clock.sleep(min(_TICK, self._settings.maps.watch or _TICK))
            await self._surely(self.refresh())

    async def _reload_when_asked(self) -> NoReturn:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._surely(self.reload())

    async def _surely(self, work: Awaitable[object]) -> None:
        """Do something that must not end the watch, whatever defect it meets."""
        try:
            await work
        except Exception:
            self._metrics.reloads.add("error")
            _log.exception("a reload crashed; what was in use before stays in use")

    @property
    def settings(self) -> Settings:
        """What the process serves with."""
        return self._settings

    def maps(self) -> Mapping[str, tuple[SourceState, ...]]:
        """Return how every place of every map in use stands."""
        return self._library.states(self._settings.mx_check)

    def report(self) -> None:
        """Tell the metrics how the maps stand."""
        now = time.time()
        states = self.maps()
        metrics = self._metrics
        for setting in KINDS:
            places = states.get(setting, ())
            ages = [place.age for place in places if place.age is not None]
            metrics.map_entries.set(sum(place.entries for place in places), setting)
            metrics.map_errors.set(sum(place.error is not None for place in places), setting)
            metrics.map_good.set(now - max(ages) if ages and len(ages) == len(places) else 0, setting)

    def _read(self, errors: list[str]) -> tuple[Settings, tuple[str, ...], tuple[str, ...]]:
        """Return the settings to serve with, the names of those that need a restart, and warnings."""
        try:
            read = self._reread()
        except ConfigError as error:
            errors += error.problems
            return self._settings, (), ()
        wanted = _merge(self._settings, read.settings)
        return wanted, tuple(_differences(wanted, read.settings)), read.warnings

    def _renew_certificates(self, errors: list[str]) -> None:
        """Take the certificate anew; it depends on nothing that may be wrong with the rest."""
        if self._certificates is None:
            return
        changed, error = self._certificates.renew()
        if error:
            errors.append(error)
        elif changed:
            _log.info("reload: a new certificate, key or authority is in use for new connections")

    async def _take(
        self,
        settings: Settings,
        loaded: LoadedMaps,
        restart: tuple[str, ...],
        warnings: tuple[str, ...],
        errors: list[str],
    ) -> Reloaded:
        """Serve with these settings and maps from now on, and tell of it."""
        changed = tuple(_differences(self._settings, settings))
        maps = self._library.states(settings.mx_check)
        errors += self._library.problems(settings.mx_check)
        if changed or self._library.changed:
            await self._use(settings, loaded.maps)
            self._settings = settings
        self._library.settle(settings.mx_check)
        self.report()
        self._metrics.reloads.add("error" if errors else "ok")
        done = Reloaded(changed, restart, warnings, tuple(errors), maps)
        _tell(done)
        return done


def _merge(running: Settings, read: Settings) -> Settings:
    """Return the settings that a reload leads to: those read, but for what needs a restart."""
    server = running.server.model_copy(update={name: getattr(read.server, name) for name in _SERVER})
    # Redis tells of changes below the prefix that it was asked for at the start.
    mx_check = dataclasses.replace(read.mx_check, key_prefix=running.mx_check.key_prefix)
    return read.model_copy(update={"server": server, "mx_check": mx_check, "cache": running.cache, "dns": running.dns})


def _differences(one: Settings, other: Settings) -> Iterator[str]:
    """Yield the dotted name of every setting in which they differ."""
    for section in Settings.model_fields:
        mine, others = getattr(one, section), getattr(other, section)
        if isinstance(mine, str):
            if mine != others:
                yield section
            continue
        yield from (f"{section}.{name}" for name, value in _items(mine) if getattr(others, name) != value)


def _items(section: Any) -> Iterator[tuple[str, Any]]:
    names = (
        [field.name for field in dataclasses.fields(section)]
        if dataclasses.is_dataclass(section)
        else type(section).model_fields
    )
    return ((name, getattr(section, name)) for name in names)


def _tell(done: Reloaded) -> None:
    # Each text is a kind of its own: the log holds back repeats of a kind, and these are different faults.
    for error in done.errors:
        _log.error(error)
    for warning in done.warnings:
        _log.warning(warning)
    if done.restart:
        _log.warning("reload: a restart is needed for changes of %s", ", ".join(done.restart))
    changed = [*done.changed, *(place.source for places in done.maps.values() for place in places if place.changed)]
    _log.info(
        "reload: %s; %s",
        f"problems: {len(done.errors)}, what was in use before stays" if done.errors else "done",
        f"changed: {', '.join(dict.fromkeys(changed))}" if changed else "nothing has changed",
    )
