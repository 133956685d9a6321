"""Finds out the facts, with what the composition root has built."""

import asyncio
import os
import resource
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mxcheck_service.cache.servers import Servers
from mxcheck_service.core.addresses import IpClasses
from mxcheck_service.core.endpoint import endpoint
from mxcheck_service.core.model import Family
from mxcheck_service.core.networks import parse_ip
from mxcheck_service.descriptors import raise_limit
from mxcheck_service.doctor.facts import (
    KNOWN,
    UNKNOWN_TOP,
    CacheFacts,
    ClockFacts,
    Facts,
    Nameserver,
    ProcessFacts,
    Target,
)
from mxcheck_service.doctor.port_examination import examine_port
from mxcheck_service.doctor.redis_examination import examine_redis
from mxcheck_service.maps.errors import MapError
from mxcheck_service.maps.library import Library
from mxcheck_service.ports import Clock, ConnectError, Dialer, DnsAnswer, DnsFailure, Found, NotFound, Resolver
from mxcheck_service.settings import Settings
from mxcheck_service.tls import TlsError, certificates

_SLEEP: Final = 0.05


@dataclass(frozen=True, slots=True)
class Instruments:
    """What the doctor looks with. `nameservers`: a resolver that asks only this one, over UDP first and over TCP."""

    resolver: Resolver
    nameservers: Mapping[str, tuple[Resolver, Resolver]]
    servers: Servers | None
    """None: the cache is in the process."""
    dialer: Dialer
    clock: Clock


async def examine(
    settings: Settings, tools: Instruments, targets: Sequence[tuple[str, int | None]], warnings: Sequence[str]
) -> Facts:
    """Find out everything, side by side; it takes no longer than the slowest of it, which its timeout bounds.

    Without `targets`, those that the service itself asks are connected to.
    """
    targets = targets or [endpoint(text) for text in settings.improvements.egress_check]
    # Before the rest keeps the event loop busy.
    clock = await _clock(tools.clock)
    nameservers = [_nameserver(address, *both, tools.clock) for address, both in tools.nameservers.items()]
    port = settings.mx_check.port
    asked, reached, cache, listening, (odd, no_maps) = await asyncio.gather(
        asyncio.gather(*nameservers),
        asyncio.gather(*(_target(settings, tools, host, number or port) for host, number in targets)),
        _cache(settings, tools),
        examine_port(settings.server),
        _maps(settings, tools),
    )
    connected = tuple(found for several in reached for found in several)
    warnings, no_tls = (*warnings, *odd), _tls(settings)
    return Facts(tuple(asked), cache, connected, clock, _process(), listening, warnings, no_maps, no_tls)


def _tls(settings: Settings) -> str:
    """Return why the service would not start with its certificate."""
    try:
        certificates(settings.server)
    except TlsError as error:
        return str(error)
    return ""


async def _maps(settings: Settings, tools: Instruments) -> tuple[tuple[str, ...], str]:
    """Return what is odd about the maps, and why the service would not start with them."""
    library = Library(tools.clock)
    try:
        await library.refresh(settings.mx_check, settings.maps)
        loaded = library.maps(settings.mx_check)
    except MapError as error:
        return (), str(error)
    return (*loaded.problems, *library.problems(settings.mx_check)), ""


async def _nameserver(address: str, resolver: Resolver, over_tcp: Resolver, clock: Clock) -> Nameserver:
    unknown_name = f"mxcheck-{secrets.token_hex(6)}.{UNKNOWN_TOP}"
    begun = clock.monotonic()
    known = await resolver.addresses(KNOWN, Family.V4)
    seconds = clock.monotonic() - begun
    unknown, tcp = await asyncio.gather(
        resolver.addresses(unknown_name, Family.V4), over_tcp.addresses(KNOWN, Family.V4)
    )
    return Nameserver(address, known, seconds, unknown_name, unknown, tcp)


async def _cache(settings: Settings, tools: Instruments) -> CacheFacts:
    if tools.servers is None:
        return CacheFacts()
    return await examine_redis(settings, tools.servers, tools.clock)


async def _target(settings: Settings, tools: Instruments, host: str, port: int) -> list[Target]:
    """Connect to one address of each family that is probed; behind a name to a public one, as the service does."""
    if parse_ip(host) is not None:
        return [await _connect(settings, tools, host, port, host)]
    wanted = [(Family.V4, settings.mx_check.probe_ipv4), (Family.V6, settings.mx_check.probe_ipv6)]
    families = [family for family, probed in wanted if probed]
    answers = await asyncio.gather(*(tools.resolver.addresses(host, family) for family in families))
    found = [answer.records for answer in answers if isinstance(answer, Found)]
    if not found:
        return [Target(host, port, detail=_why_none(answers[0]))]
    is_public = IpClasses(settings.mx_check, settings.improvements).is_public
    addresses = [ip for records in found if (ip := next(filter(is_public, records), None))]
    if not addresses:
        return [Target(host, port, detail=f"only {found[0][0]}, which is not public")]
    return list(await asyncio.gather(*(_connect(settings, tools, host, port, address) for address in addresses)))


def _why_none(answer: DnsAnswer[str]) -> str:
    match answer:
        case DnsFailure(reason):
            return reason
        case NotFound(nxdomain=True):
            return "NXDOMAIN"
        case _:
            return "NODATA"


async def _connect(settings: Settings, tools: Instruments, host: str, port: int, address: str) -> Target:
    begun = tools.clock.monotonic()
    try:
        connection = await tools.dialer.connect(address, port, settings.mx_check.connect_timeout)
    except ConnectError as error:
        return Target(host, port, address, error.problem, str(error))
    connection.close()
    return Target(host, port, address, seconds=tools.clock.monotonic() - begun)


async def _clock(clock: Clock) -> ClockFacts:
    monotonic, wall = clock.monotonic(), time.time()
    await clock.sleep(_SLEEP)
    return ClockFacts(_SLEEP, clock.monotonic() - monotonic, time.time() - wall, time.time())


def _process() -> ProcessFacts:
    # As the service does at its start: what it would have counts.
    raise_limit()
    soft, hard = (
        None if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    folder = Path("/proc/self/fd")
    return ProcessFacts(soft, hard, len(list(folder.iterdir())) if folder.exists() else 0, os.cpu_count() or 1)
