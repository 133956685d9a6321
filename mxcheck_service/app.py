"""The composition root: the only place that builds what does I/O."""

import asyncio
import gc
import logging
import math
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.log import server_logger

from mxcheck_service.background import MAX_LINGERING, Background
from mxcheck_service.cache import servers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.cache.near import NearCache
from mxcheck_service.cache.redis import RedisCache
from mxcheck_service.cache.tracking import track
from mxcheck_service.capacity import Places
from mxcheck_service.checker import Adapters, Checker
from mxcheck_service.config import mask_url, secrets
from mxcheck_service.core.maplist import Maps
from mxcheck_service.counts import UNCOUNTED, CountedResolver, Counts, Reads
from mxcheck_service.descriptors import raise_limit
from mxcheck_service.dns import AresResolver
from mxcheck_service.doctor.examination import Instruments
from mxcheck_service.egress import LABELS, Egress
from mxcheck_service.listening import Entrance, entrance
from mxcheck_service.log import reconfigure
from mxcheck_service.maps.library import Library
from mxcheck_service.metrics import Metrics
from mxcheck_service.ports import CacheBackend, SystemClock
from mxcheck_service.prober import TcpDialer
from mxcheck_service.reload import Reloader, Reread
from mxcheck_service.seats import Seats
from mxcheck_service.settings import Settings
from mxcheck_service.tls import Certificates
from mxcheck_service.web.arrivals import Arrivals
from mxcheck_service.web.connections import HANDLER, Runner
from mxcheck_service.web.figures import Figures
from mxcheck_service.web.gate import GATE, STATE, Gate, Phase, State
from mxcheck_service.web.request_log import RequestLog, without_wire_text
from mxcheck_service.web.routes import routes

_log = logging.getLogger(__name__)

BACKGROUND = web.AppKey("background", Background)
LAST_WORDS: Final = 1.0
"""Seconds for requests to write their answer after the drain."""
_CANCEL_AGAIN: Final = 0.1
"""Seconds that a cancelled task has to end before it is cancelled again."""
_COLLECT_AFTER: Final = (50_000, 20, 100)
"""Thresholds of the three generations; Python's own are 700, 10 and 10."""
_TASKS: Final = 8
"""For each lookup that may be under way so many tasks: itself, what it tries, and what it has left behind."""
_LINGERING_SHARE: Final = 4
"""Of so many file descriptors, one may be of a connection whose greeting is still waited for."""
_PROBING_SHARE: Final = 3
"""Of so many file descriptors, one may be of a connection to a mail host: callers, Redis and DNS have the others."""
_FOLD_SECONDS: Final = 1.0
"""How old a worker's gauges may be when another one tells them."""


@asynccontextmanager
async def adapters(
    settings: Settings, counts: Counts = UNCOUNTED, *, most: float = math.inf
) -> AsyncIterator[Adapters]:
    """Build what does I/O, and counts; on leaving, end what background work is left and close everything.

    `most`: so many lookups under way are enough (see `capacity.Places`).
    """
    descriptors = raise_limit()
    background = Background(min(MAX_LINGERING, descriptors // _LINGERING_SHARE), most * _TASKS)
    seats = Seats(descriptors // _PROBING_SHARE)
    async with _cache(settings, counts) as cache:
        ares = AresResolver(settings.dns.nameservers, timeout=settings.dns.timeout, tries=settings.dns.tries)
        resolver, dialer, clock = CountedResolver(ares, counts), TcpDialer(), SystemClock()
        egress = Egress(dialer, resolver, clock, background, counts)
        try:
            yield Adapters(
                cache, resolver, dialer, clock, background, counts, places=Places(most), egress=egress, seats=seats
            )
        finally:
            await background.drain(0)
            await ares.close()


@asynccontextmanager
async def instruments(settings: Settings) -> AsyncIterator[Instruments]:
    """Build what `mxcheck doctor` looks with, and close it in the end."""
    async with AsyncExitStack() as stack:

        def resolver(*nameservers: str, tcp: bool = False) -> AresResolver:
            made = AresResolver(nameservers, timeout=settings.dns.timeout, tries=settings.dns.tries, tcp=tcp)
            stack.push_async_callback(made.close)
            return made

        everyone = resolver(*settings.dns.nameservers)
        named = settings.dns.nameservers or everyone.nameservers
        one_by_one = {address: (resolver(address), resolver(address, tcp=True)) for address in named}
        redis = None if settings.cache.embedded else _redis(settings)
        if redis:
            stack.push_async_callback(redis.close)
        yield Instruments(everyone, one_by_one, redis, TcpDialer(), SystemClock())


def checker(settings: Settings, maps: Maps, world: Adapters, *, deadline: float | None = None) -> Checker:
    """Build the checker of these settings on the given adapters; `deadline`: seconds, in place of the settings'."""
    return Checker(
        settings.mx_check,
        settings.improvements,
        maps,
        world,
        deadline=settings.deadline if deadline is None else deadline,
        max_addresses=settings.server.max_addresses,
        remember=settings.cache.max_entries if settings.cache.embedded else settings.cache.near_entries,
        share_questions=settings.dns.timeout * settings.dns.tries if settings.server.workers > 1 else 0.0,
    )


def application(
    settings: Settings,
    library: Library,
    reread: Reread,
    figures: Figures | None = None,
    tell_others: Callable[[], None] = lambda: None,
    certificates: Certificates | None = None,
) -> web.Application:
    """Return the web application; its adapters live as long as it runs. `library` holds the maps of the settings.

    `figures`: those that workers share; the others are for reloads, see `reload.Reloader`.
    """
    server = settings.server
    metrics, lookback = figures or Figures.of(server)
    app = web.Application(client_max_size=server.max_body_bytes, handler_args=HANDLER)
    state = app[STATE] = State(metrics, Arrivals(server.request_seconds), lookback)
    gate = app[GATE] = Gate(
        state,
        max_concurrent_requests=server.max_concurrent_requests,
        auth_token=server.auth_token,
        admin_token=server.admin_token,
        keepalive_seconds=server.keepalive_seconds,
    )
    app.add_routes(routes(gate, console=server.has_console))

    async def world(app: web.Application) -> AsyncIterator[None]:
        async with adapters(settings, metrics.counts(), most=server.max_concurrent_requests) as built:
            app[BACKGROUND] = built.background

            async def use(settings: Settings, maps: Maps) -> None:
                reconfigure(settings.server.log_level, settings.server.log_format, secrets(settings))
                former, state.checker = state.checker, checker(settings, maps, built)
                state.request_log = RequestLog()
                await former.retire()

            reloader = Reloader(settings, library, reread, use, metrics, built.clock, tell_others, certificates)
            _count(built, state, metrics)
            reloader.report()
            state.begin(checker(settings, library.maps(settings.mx_check).maps, built), built, reloader)
            watching = [asyncio.create_task(reloader.watch()), asyncio.create_task(state.lag.watch(built.places.adapt))]
            if lookback:
                watching.append(asyncio.create_task(lookback.watch(built.clock)))
            if built.egress:
                watching.append(asyncio.create_task(built.egress.watch()))
            try:
                yield
            finally:
                for task in watching:
                    await _cancelled(task)

    app.cleanup_ctx.append(world)
    return app


@dataclass(frozen=True, slots=True)
class Membership:
    """What a process gets that serves as one of several."""

    figures: Figures
    """Shared by all of them."""
    entrance: Entrance
    """The process's own."""
    listening: Callable[[], None]
    """To be called once, when connections are accepted."""
    reload_others: Callable[[], None]
    """To be called when this process was asked to reload: the others are to do so as well."""
    leave: int
    """A file descriptor that becomes readable when the process is to end."""


async def load_maps(settings: Settings) -> tuple[Library, tuple[str, ...]]:
    """Load the maps; return them, and what a person should know about them. Raises MapError."""
    library = Library(SystemClock())
    await library.refresh(settings.mx_check, settings.maps)
    loaded = library.maps(settings.mx_check)
    library.settle(settings.mx_check)
    return library, (*loaded.problems, *library.problems(settings.mx_check))


async def serve(settings: Settings, library: Library, reread: Reread, member: Membership | None = None) -> None:
    """Run the service until SIGTERM or SIGINT, then drain: unready at once, requests under way finish.

    SIGHUP reloads settings, by `reread`, and maps. `member`: be one of several processes that serve the same port.
    """
    server_logger.addFilter(without_wire_text)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with nullcontext(member.entrance) if member else entrance(settings.server) as door:
        if member is None:
            app = application(settings, library, reread, certificates=door.certificates)
        else:
            app = application(settings, library, reread, member.figures, member.reload_others, door.certificates)
        runner = Runner(app, settings.server, shutdown_timeout=LAST_WORDS)
        await runner.setup()
        assert runner.server is not None  # one without connections is false
        loop.add_signal_handler(signal.SIGHUP, app[STATE].reloader.ask)
        _calm_collector()
        close = door.open(runner.server)
        try:
            if member is None:
                door.announce(mask_url(settings.cache.url))
                await stop.wait()
            else:
                loop.add_reader(member.leave, stop.set)
                member.listening()
                await _fold_until(stop, member.figures.metrics)
                loop.remove_reader(member.leave)
            await _drain(app, settings.server.drain_seconds)
        finally:
            close()
            await runner.cleanup()
    _log.info("stopped")


def _calm_collector() -> None:
    """Spare what is there by now from garbage collection, and the requests from collections that find little.

    Nearly everything a check makes is freed by its reference counts; a full collection goes through the near cache.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


async def _fold_until(stop: asyncio.Event, metrics: Metrics) -> None:
    """Keep what other workers tell about this one up to date, until `stop`."""
    while not stop.is_set():
        metrics.fold()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _FOLD_SECONDS)


async def _drain(app: web.Application, seconds: float) -> None:
    """Let requests, then background work finish, in `seconds` all told.

    The socket stays open meanwhile: who asks for readiness, or for one more check, is told why not. Lookups that take
    too long are cancelled, and the requests that wait for them answer with what is known.
    """
    end = asyncio.get_running_loop().time() + seconds
    app[STATE].phase = Phase.DRAINING
    _log.info("draining: %d requests under way", app[STATE].active)
    with suppress(TimeoutError):
        await asyncio.wait_for(app[STATE].idle(), seconds)
    cancelled = await app[BACKGROUND].drain(max(0.0, end - asyncio.get_running_loop().time()))
    if cancelled:
        _log.warning("%d lookups and attempts did not finish within drain_seconds and were cancelled", cancelled)


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Return once a task has ended. It is told more than once: redis-py 8 drops a cancellation while it connects."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN)


def _count(world: Adapters, state: State, metrics: Metrics) -> None:
    """Let the metrics read what objects of this process count by themselves."""
    metrics.workers.read_from(lambda: 1)
    metrics.requests_in_flight.read_from(lambda: state.active)
    metrics.deadline.read_own(lambda: state.checker.deadline)
    metrics.background_tasks.read_from(lambda: len(world.background))
    metrics.lingering_probes.read_from(lambda: world.background.lingering)
    if seats := world.seats:
        metrics.open_probes.read_from(lambda: seats.open)
        metrics.probes_crowded_out.read_from(lambda: seats.refused)
    if isinstance(resolver := world.resolver, CountedResolver):
        metrics.dns_failures_in_a_row.read_from(lambda: resolver.failures)
    if egress := world.egress:
        for family, label in LABELS.items():
            metrics.egress_up.read_own(partial(egress.up, family), label)
    far = world.cache.far if isinstance(world.cache, NearCache) else world.cache
    if isinstance(far, RedisCache):
        metrics.redis_up.read_own(lambda: far.up)
        metrics.redis_waiting.read_from(lambda: far.waiting)
    if isinstance(near := world.cache, NearCache):
        metrics.tracking_up.read_own(lambda: near.tracked)
        metrics.near_cache_entries.read_from(lambda: len(near))
        metrics.near_cache_hits.read_from(lambda: near.entries.hits)
        metrics.near_cache_misses.read_from(lambda: near.entries.misses)
        metrics.near_cache_evictions.read_from(lambda: near.entries.evictions)


def _redis(settings: Settings) -> servers.Servers:
    chosen = settings.cache
    return servers.connect(chosen.url, timeout=chosen.timeout, max_connections=chosen.max_connections)


@asynccontextmanager
async def _cache(settings: Settings, counts: Counts) -> AsyncIterator[CacheBackend]:
    """Build the cache that the URL names; Redis with a near cache that is kept in step for as long as this lasts."""
    chosen = settings.cache
    clock = SystemClock()
    reads = Reads(counts, settings.mx_check.key_prefix)
    if chosen.embedded:
        yield MemoryCache(chosen.max_entries, clock, reads)
        return
    redis = _redis(settings)
    far = RedisCache(redis, batching=chosen.batching, reads=reads)
    try:
        if not chosen.near_entries:
            yield far
            return
        near = NearCache(far, max_entries=chosen.near_entries, clock=clock, reads=reads)
        prefix = f"{settings.mx_check.key_prefix}:"
        tracking = asyncio.create_task(track(redis, near, prefix, clock, untold=chosen.near_seconds))
        try:
            yield near
        finally:
            await _cancelled(tracking)
    finally:
        await far.close()
