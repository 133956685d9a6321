"""What a load runs in: mail hosts and their DNS, a Redis of some kind, and the service between them.

async with Scene() as scene:
    load = Load(scene.service.url, scene.senders)
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from tests.lab.dnsd import DnsServer
from tests.lab.load import Senders
from tests.lab.redis import RedisServer
from tests.lab.redis_cluster import RedisCluster
from tests.lab.redis_sentinel import RedisSentinel
from tests.lab.service import Service
from tests.lab.smtp import SmtpPeers
from tests.lab.waiting import StillWaiting, poll_until

Store: TypeAlias = RedisServer | RedisSentinel | RedisCluster

_CONNECT_TIMEOUT: Final = 1.0
LOCK_TTL: Final = 2.0
"""Seconds that a probe lock lives with that timeout (core.policy.lock_ttl)."""
_LOCK: Final = "l"


class Scene:
    """The scene as an async context manager. `settings` are added to those of the service, section by section.

    `store`: what makes the Redis; `under`: a command that runs the service. To be made anew for every use.
    """

    store: Store
    dns: DnsServer
    peers: SmtpPeers
    senders: Senders
    service: Service

    def __init__(
        self,
        store: Callable[[], Store] = RedisServer,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        under: Sequence[str] = (),
    ) -> None:
        self._make_store = store
        self._settings = settings or {}
        self._under = under

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.store = self._make_store()
            await asyncio.to_thread(self.store.__enter__)
            stack.push_async_exit(self._leave(self.store))
            await self.prepare(stack)
            self.dns = await stack.enter_async_context(DnsServer())
            self.peers = await stack.enter_async_context(SmtpPeers())
            self.senders = Senders(self.dns, self.peers)
            self.service = Service(self.settings(), under=self._under)
            await asyncio.to_thread(self.service.__enter__)
            stack.push_async_exit(self._leave(self.service))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def prepare(self, stack: AsyncExitStack) -> None:
        """Enter what a scene has besides; called when the Redis is there, and nothing else."""

    def settings(self) -> dict[str, Any]:
        """What the configuration file says: the defaults, but for what makes the lab reachable and faults short."""
        basis: dict[str, dict[str, Any]] = {
            "cache": {"url": self.cache_url()},
            "dns": {"nameservers": [self.dns.nameserver]},
            "mx_check": {"test_mode": True, "port": self.peers.port, "connect_timeout": _CONNECT_TIMEOUT},
        }
        return basis | {name: basis.get(name, {}) | dict(section) for name, section in self._settings.items()}

    def cache_url(self) -> str:
        """Where the service finds its cache; a scene with something in between says otherwise."""
        return self.store.url

    async def stuck_locks(self) -> list[str]:
        """Return the keys of probe locks that are there still when the time of every lock is over."""
        return await asyncio.to_thread(self._held_too_long)

    def _held_too_long(self) -> list[str]:
        with suppress(StillWaiting):
            poll_until(lambda: not any(self._locks()), LOCK_TTL + 0.5, "no lock is held")
        return list(self._locks())

    def _locks(self) -> Iterator[str]:
        for server in primaries(self.store):
            with server.client() as client:
                keys = list(client.scan_iter(match="rmx:i:*", count=1000))
                pipeline = client.pipeline(transaction=False)
                for key in keys:
                    pipeline.get(key)
                yield from (key for key, value in zip(keys, pipeline.execute(), strict=True) if value == _LOCK)

    @staticmethod
    def _leave(entered: Store | Service) -> Callable[..., Any]:
        async def leave(*error: Any) -> None:
            await asyncio.to_thread(entered.__exit__, *error)

        return leave


def primaries(store: Store) -> list[RedisServer]:
    """Return the servers that hold the keys at present."""
    match store:
        case RedisCluster():
            return store.primaries
        case RedisSentinel():
            return [store.primary]
        case _:
            return [store]
