"""The stage that the rows play on: DNS servers, services, the people at a row's addresses, and what Redis holds."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis import Redis

from tests.e2e.scenarios import ROWS
from tests.e2e.scenarios.row import ZONE, At, Mta, Nobody, Row, fill
from tests.e2e.scenarios.services import MAP_FILE, MAP_FILE_TEXT, key_prefix, settings
from tests.lab.dnsd import DnsServer
from tests.lab.knot import KnotServer
from tests.lab.redis import RedisServer
from tests.lab.service import Service
from tests.lab.smtp import Peer, SmtpPeers
from tests.lab.waiting import StillWaiting, poll_until

NUMBERED = {row.id: (number, row) for number, row in enumerate(ROWS)}
_CACHED_SECONDS = 500
_TTL_SLACK = 5
"""Seconds that may pass between the writing of an entry and the look at what it has left."""


class Stage:
    """What all rows share: the DNS servers, and the services, each started when the first row asks it."""

    def __init__(self, dns: DnsServer, redis: RedisServer, smtp_port: int, folder: Path, stack: ExitStack) -> None:
        self.dns = dns
        self._redis = redis
        self._smtp_port = smtp_port
        self._folder = folder
        self._stack = stack
        self._services: dict[str, Service] = {}

    def service(self, name: str) -> Service:
        if name not in self._services:
            chosen = settings(
                name,
                nameserver=self.dns.nameserver,
                redis_url=self._redis.url,
                smtp_port=self._smtp_port,
                folder=self._folder,
            )
            self._services[name] = self._stack.enter_context(Service(chosen, name=name))
        return self._services[name]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    knot: KnotServer, redis_process: RedisServer, smtp_port: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """The zone of all rows behind a scripted DNS server, and the services."""
    knot.set_zone(ZONE, "\n".join(zone_text(number, row) for number, row in NUMBERED.values()))
    folder = tmp_path_factory.mktemp("maps")
    (folder / MAP_FILE).write_text(MAP_FILE_TEXT)
    async with DnsServer(upstream=knot.nameserver) as dns:
        with ExitStack() as stack:
            yield Stage(dns, redis_process, smtp_port, folder, stack)


@asynccontextmanager
async def scene(
    name: str, stage: Stage, redis: RedisServer, smtp_port: int, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Row, dict[str, str], Service]]:
    """Set a row's scene for one message: yields the row, what its placeholders stand for, and the service it asks.

    Afterwards Redis must hold, and the peers must have seen, what the row says.
    """
    number, row = NUMBERED[name]
    names = row.names(number)
    prefix = key_prefix(row.service)
    for question, behaviour in row.dns.items():
        host, kind = fill(question, names).split()
        stage.dns.set(host, kind, behaviour(names) if callable(behaviour) else behaviour)
    store(redis, prefix, fill(row.cached, names))
    async with SmtpPeers(smtp_port) as peers:
        scripted = await people(row, names, peers, request)
        yield row, names, stage.service(row.service)
        await check_redis(redis, prefix, row, names)
        for peer_name, peer in scripted.items():
            if peer_name not in row.unprobed:
                await peer.wait_ended()
        assert {peer_name: (peer.connections, peer.received) for peer_name, peer in scripted.items()} == {
            peer_name: (0 if peer_name in row.unprobed else 1, row.received.get(peer_name, b""))
            for peer_name in scripted
        }


async def people(
    row: Row, names: Mapping[str, str], peers: SmtpPeers, request: pytest.FixtureRequest
) -> dict[str, Peer]:
    """Put everybody in place who is at the row's addresses; return the scripted peers."""
    scripted = {}
    for name, who in row.peers.items():
        address = names[name]
        match who:
            case Nobody.LISTENS:
                peers.add_refused(address)
            case Nobody.ANSWERS:
                await peers.add_connect_timeout(address)
            case Mta():
                request.getfixturevalue(who.name.lower())
            case At(_, script):
                scripted[name] = peers.add(script, address=address)
            case script:
                scripted[name] = peers.add(script, address=address)
    return scripted


def zone_text(number: int, row: Row) -> str:
    return f"$ORIGIN {row.domain}.\n{fill(row.zone, row.names(number))}"


def store(redis: RedisServer, prefix: str, entries: Mapping[str, str | list[str]]) -> None:
    with redis.client() as client:
        for key, value in entries.items():
            if isinstance(value, list):
                client.rpush(f"{prefix}:{key}", *value)
            else:
                client.set(f"{prefix}:{key}", value, ex=_CACHED_SECONDS)


async def check_redis(redis: RedisServer, prefix: str, row: Row, names: Mapping[str, str]) -> None:
    """Redis holds what the row says and nothing else, and each entry as long as it should, soon after the reply."""
    entries: Mapping[str, str | list[str] | re.Pattern[str]] = row.cached if row.redis is None else row.redis
    expected = {f"{prefix}:{key}": value for key, value in fill(entries, names).items()}

    def as_expected(held: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            key: held[key] if isinstance(value, re.Pattern) and value.fullmatch(str(held.get(key))) else value
            for key, value in expected.items()
        }

    with redis.client() as client, suppress(StillWaiting):
        await asyncio.to_thread(
            poll_until, lambda: (held := content(client)) == as_expected(held), 30, "Redis is right"
        )
    with redis.client() as client:
        held = content(client)
        lifetimes = {key: client.ttl(key) for key in held}
    assert held == as_expected(held)
    assert [key for key, value in held.items() if isinstance(value, str) and lifetimes[key] <= 0] == []


def content(client: "Redis") -> dict[str, Any]:
    """Every key with its value, a list where it is one."""
    return {
        key: client.get(key) if client.type(key) == "string" else client.lrange(key, 0, -1)
        for key in client.scan_iter()
    }
