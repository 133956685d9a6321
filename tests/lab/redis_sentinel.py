"""A real Redis with a replica, watched by three sentinels. A killed primary is replaced within seconds.

with RedisSentinel() as watched:
    victim = watched.primary
    victim.kill()
    watched.wait_failed_over(victim)
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.lab.process import Child, find_program
from tests.lab.redis import RedisServer
from tests.lab.sockets import free_port
from tests.lab.waiting import poll_until

_HOST = "127.0.0.1"
_SENTINELS = 3
_QUORUM = 2
_DOWN_AFTER = 700
"""Milliseconds after which a silent server is down for a sentinel; the election comes on top, up to a second."""
_FAILOVER_TIMEOUT = 2000
"""Milliseconds a failover may take; the next one begins no sooner than after twice as many."""
_PATIENCE = 30.0


class RedisSentinel:
    """Two redis-servers and their sentinels as a context manager; its methods block."""

    service = "lab"

    def __init__(self) -> None:
        at_once = ["--repl-diskless-sync-delay", "0"]
        first = RedisServer(options=at_once)
        self.servers = [first, RedisServer(options=[*at_once, "--replicaof", _HOST, str(first.port)])]
        self.ports = [free_port() for _ in range(_SENTINELS)]

    def __enter__(self) -> Self:
        with ExitStack() as started:
            for server in self.servers:
                started.enter_context(server)
            self._sentinels = [self._start_sentinel(number, started) for number in range(_SENTINELS)]
            poll_until(self._in_step, _PATIENCE, "the replica is in step, and the sentinels know")
            self._started = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.close()

    def _start_sentinel(self, number: int, started: ExitStack) -> Child:
        first, second = self.servers
        lines = [
            f"port {self.ports[number]}",
            f"bind {_HOST}",
            f"dir {first.folder}",
            f"sentinel myid {_run_id(number)}",
            f"sentinel monitor {self.service} {_HOST} {first.port} {_QUORUM}",
            f"sentinel down-after-milliseconds {self.service} {_DOWN_AFTER}",
            f"sentinel failover-timeout {self.service} {_FAILOVER_TIMEOUT}",
            # They would find each other, and the replica, by themselves; this saves the time.
            f"sentinel known-replica {self.service} {_HOST} {second.port}",
        ]
        others = [other for other in range(_SENTINELS) if other != number]
        lines += [f"sentinel known-sentinel {self.service} {_HOST} {self.ports[n]} {_run_id(n)}" for n in others]
        config = first.folder / f"sentinel{number}.conf"
        config.write_text("\n".join(lines) + "\n")
        argv = [find_program("redis-server"), str(config), "--sentinel"]
        child = Child(f"sentinel{number}", argv, first.folder / f"sentinel{number}.log")
        started.callback(child.stop)
        child.start(lambda: self._told_primary(self.ports[number]) is not None)
        return child

    @property
    def url(self) -> str:
        """`redis+sentinel://…`, naming all sentinels."""
        return "redis+sentinel://" + ",".join(f"{_HOST}:{port}" for port in self.ports) + f"/{self.service}/0"

    @property
    def primary(self) -> RedisServer:
        """The server that the sentinels agree upon; raises LookupError while they do not."""
        told = {self._told_primary(port) for port in self.ports}
        for server in self.servers:
            if told == {server.port}:
                return server
        raise LookupError(f"the sentinels name {told}")

    def primary_of(self, key: str) -> RedisServer:
        """The primary, whatever the key: as RedisCluster has it."""
        return self.primary

    def wait_failed_over(self, victim: RedisServer) -> None:
        """Return once all sentinels name another server than this one, and it accepts writes."""
        (heir,) = [server for server in self.servers if server is not victim]
        poll_until(lambda: self._names(heir), _PATIENCE, f"the sentinels name {heir.port}")

    def switch_over(self, key: str) -> None:
        """Let the replica take the primary's place in order, as for maintenance."""
        before = self.primary
        _ask(self.ports[0], "FAILOVER", self.service)
        self.wait_failed_over(before)
        # Sentinels would do that within ten seconds.
        before.ask("REPLICAOF", _HOST, self.primary.port)

    @contextmanager
    def teller_paused(self, number: int, key: str) -> Iterator[None]:
        """Within the block one of the sentinels hangs."""
        self._sentinels[number].pause()
        yield
        self._sentinels[number].resume()

    def start_over(self) -> None:
        """As new, unless nothing has happened to it: sentinels that failed over once take seconds to do it again."""
        if all(server.running for server in self.servers) and self._names(self.servers[0]):
            self.flush()
        else:
            self._started.close()
            self.__enter__()

    def flush(self) -> None:
        """Delete all keys."""
        self.primary.flush()

    def _names(self, server: RedisServer) -> bool:
        try:
            return self.primary is server and server.ask("ROLE")[0] == "master"
        except (LookupError, redis.RedisError):
            return False

    def _in_step(self) -> bool:
        try:
            synced = "state=online" in self.primary.ask("INFO", "replication")
        except LookupError:
            return False
        return synced and all(map(self._sees_all, self.ports))

    def _sees_all(self, port: int) -> bool:
        states = [_ask(port, "MASTER", self.service), *_ask(port, "REPLICAS", self.service)]
        return [dict(zip(state[::2], state[1::2], strict=True))["flags"] for state in states] == ["master", "slave"]

    def _told_primary(self, port: int) -> int | None:
        try:
            told = _ask(port, "GET-MASTER-ADDR-BY-NAME", self.service)
        except redis.RedisError:
            return None
        return int(told[1]) if told else None


def _run_id(number: int) -> str:
    return f"{number + 1}" * 40


def _ask(port: int, *command: str) -> Any:
    """Return what a sentinel replies to a SENTINEL command, texts and lists."""
    client = redis.Redis(
        host=_HOST, port=port, decode_responses=True, socket_timeout=5, protocol=2, retry=Retry(NoBackoff(), 0)
    )
    try:
        return client.execute_command("SENTINEL", *command)  # type: ignore[no-untyped-call]
    finally:
        client.close()
