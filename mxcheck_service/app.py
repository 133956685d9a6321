"""The composition root: the only place that builds what does I/O."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiohttp import web

from mxcheck_service import maps
from mxcheck_service.background import Background
from mxcheck_service.cache import servers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.cache.near import NearCache
from mxcheck_service.cache.redis import RedisCache
from mxcheck_service.cache.tracking import track
from mxcheck_service.checker import Adapters, Checker
from mxcheck_service.config import mask_url
from mxcheck_service.dns import AresResolver
from mxcheck_service.ports import CacheBackend, SystemClock
from mxcheck_service.prober import TcpDialer
from mxcheck_service.settings import Settings
from mxcheck_service.web.handlers import CACHE, CHECKER
from mxcheck_service.web.middleware import STATE, Phase, State, keep_alive_headers, middlewares
from mxcheck_service.web.routes import routes

_log = logging.getLogger(__name__)

BACKGROUND = web.AppKey("background", Background)
_LAST_WORDS: Final = 1.0
"""Seconds for requests to write their answer after the drain."""


@asynccontextmanager
async def adapters(settings: Settings) -> AsyncIterator[Adapters]:
    """Build what does I/O; on leaving, end what background work is left and close everything."""
    background = Background()
    async with _cache(settings) as cache:
        resolver = AresResolver(settings.dns.nameservers, timeout=settings.dns.timeout, tries=settings.dns.tries)
        try:
            yield Adapters(cache, resolver, TcpDialer(), SystemClock(), background)
        finally:
            await background.drain(0)
            await resolver.close()


def checker(settings: Settings, loaded: maps.LoadedMaps, world: Adapters) -> Checker:
    """Build the checker of these settings on the given adapters."""
    return Checker(
        settings.mx_check,
        settings.improvements,
        loaded.maps,
        world,
        deadline=settings.deadline,
        max_addresses=settings.server.max_addresses,
    )


def application(settings: Settings, loaded: maps.LoadedMaps) -> web.Application:
    """Return the web application; its adapters live as long as it runs."""
    token = settings.server.auth_token
    app = web.Application(
        client_max_size=settings.server.max_body_bytes,
        middlewares=middlewares(
            max_concurrent_requests=settings.server.max_concurrent_requests,
            auth_token=None if token is None else token.get_secret_value(),
        ),
    )
    app[STATE] = State()
    app.add_routes(routes())
    app.on_response_prepare.append(keep_alive_headers(settings.server.keepalive_seconds))

    async def world(app: web.Application) -> AsyncIterator[None]:
        async with adapters(settings) as built:
            app[CACHE] = built.cache
            app[BACKGROUND] = built.background
            app[CHECKER] = checker(settings, loaded, built)
            app[STATE].phase = Phase.READY
            yield

    app.cleanup_ctx.append(world)
    return app


async def serve(settings: Settings) -> None:
    """Run the service until SIGTERM or SIGINT, then drain: unready at once, requests under way finish."""
    loaded = maps.load(settings.mx_check)
    for problem in loaded.problems:
        _log.warning("%s", problem)
    app = application(settings, loaded)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=settings.server.keepalive_seconds,
        shutdown_timeout=_LAST_WORDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.server.host, settings.server.port)
        await site.start()
        for address in runner.addresses:
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            _log.info("listening on http://%s:%d, cache %s", host, address[1], mask_url(settings.cache.url))
        await stop.wait()
        await _drain(app, settings.server.drain_seconds)
    finally:
        await runner.cleanup()
    _log.info("stopped")


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
        _log.warning("%d lookups did not finish within drain_seconds and were cancelled", cancelled)


@asynccontextmanager
async def _cache(settings: Settings) -> AsyncIterator[CacheBackend]:
    """Build the cache that the URL names; Redis with a near cache that is kept in step for as long as this lasts."""
    chosen = settings.cache
    clock = SystemClock()
    if chosen.url.startswith("memory://"):
        yield MemoryCache(chosen.max_entries, clock)
        return
    redis = servers.connect(chosen.url, timeout=chosen.timeout, max_connections=chosen.max_connections)
    far = RedisCache(redis.client)
    try:
        if not chosen.near_entries:
            yield far
            return
        near = NearCache(far, max_entries=chosen.near_entries, clock=clock)
        tracking = asyncio.create_task(track(redis, near, f"{settings.mx_check.key_prefix}:", clock))
        try:
            yield near
        finally:
            tracking.cancel()
            await asyncio.gather(tracking, return_exceptions=True)
    finally:
        await far.close()
