"""A real Redis Cluster: three primaries, each with a replica. A killed primary is replaced within seconds.

with RedisCluster() as cluster:
    victim = cluster.primary_of("key")
    victim.kill()
    cluster.wait_failed_over(victim)
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from types import TracebackType
from typing import Self

import redis
from redis.crc import key_slot

from tests.lab.redis import RedisServer
from tests.lab.sockets import free_port
from tests.lab.waiting import StillWaiting, poll_until

_SLOTS = 16384
_PRIMARIES = 3
_NODE_TIMEOUT = 1000
"""Milliseconds after which the nodes take a silent one for dead; the election comes on top, up to a second."""
_PATIENCE = 30.0
_FAILOVER = 15.0
"""Seconds after which a replica has taken over, or has given up (it does so after five)."""

_AT_ONCE = 128
"""Slots that are given away together. A node does nothing else meanwhile: with 5,000, for more than half a second."""


class RedisCluster:
    """Six redis-servers as one cluster, as a context manager; its methods block."""

    def __init__(self) -> None:
        self._bus = [free_port() for _ in range(2 * _PRIMARIES)]
        self.nodes = [
            RedisServer(
                options=[
                    *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
                    *("--cluster-port", str(bus), "--cluster-node-timeout", str(_NODE_TIMEOUT)),
                    # However long a replica was alone, it may follow: the lab restarts nodes at will.
                    *("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"),
                ]
            )
            for bus in self._bus
        ]

    def __enter__(self) -> Self:
        with ExitStack() as started:
            for node in self.nodes:
                started.enter_context(node)
            self._form()
            self._started = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.close()

    def _form(self) -> None:
        first, *others = self.nodes
        share = _SLOTS // _PRIMARIES + 1
        for number, node in enumerate(self.nodes):
            # Nodes that meet with equal epochs take a while to settle whose word counts.
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < _PRIMARIES:
                last = min((number + 1) * share, _SLOTS) - 1
                node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        for node, bus in zip(others, self._bus[1:], strict=True):
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        poll_until(lambda: all(len(_view(node)) == len(self.nodes) for node in self.nodes), _PATIENCE, "all have met")
        ids = [node.ask("CLUSTER", "MYID") for node in self.nodes]
        for number, node in enumerate(self.nodes[_PRIMARIES:]):
            poll_until(lambda: _replicates(node, ids[number]), _PATIENCE, "a replica has found its primary")  # noqa: B023
        self.wait_healthy()

    @property
    def url(self) -> str:
        """`redis+cluster://…`, naming all nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def primaries(self) -> list[RedisServer]:
        """The running primaries with slots, as they see themselves."""
        return [node for node in self.nodes if node.running and _serves(node)]

    def primary_of(self, key: str) -> RedisServer:
        """The running node that holds the key's slot; raises LookupError while there is none."""
        slot = key_slot(key.encode())
        for node in self.primaries:
            if any(first <= slot <= last for first, last in _serves(node)):
                return node
        raise LookupError(f"nobody holds slot {slot}")

    def key_of(self, node: RedisServer, stem: str) -> str:
        """Return a key that begins with `stem` and belongs to this primary."""
        return next(key for key in (f"{stem}{number}" for number in range(1000)) if self.primary_of(key) is node)

    def wait_failed_over(self, victim: RedisServer) -> None:
        """Return once every slot is served without this node, whatever itself may think, and all others know."""
        others = [node for node in self.nodes if node.running and node is not victim]
        poll_until(
            lambda: _agreed(others) and not any(port == victim.port for port, _ in _slots(others[0])),
            _PATIENCE,
            f"the cluster does without {victim.port}",
        )

    def wait_healthy(self) -> None:
        """Start whatever does not run, and return once all nodes agree and each primary has a replica in step."""
        for node in self.nodes:
            if not node.running:
                node.start()
        poll_until(lambda: _agreed(self.nodes) and self._replicated(), _PATIENCE, "a healthy cluster")

    def flush(self) -> None:
        """Delete all keys of all nodes."""
        for node in self.primaries:
            node.flush()

    def switch_over(self, key: str) -> None:
        """Let the replica of the key's primary take its place in order, as for maintenance."""
        primary = self.primary_of(key)
        port = str(primary.port)
        heir = next(node for node in self.nodes if _info(node, "replication").get("master_port") == port)
        # It gives up when the others do not answer in time, as on a busy machine; then it is to be asked again.
        for last in (False, False, True):
            heir.ask("CLUSTER", "FAILOVER")
            try:
                poll_until(
                    lambda: _agreed(self.nodes) and not _serves(primary), _FAILOVER, "the replica has taken over"
                )
            except StillWaiting:
                if last or not _serves(primary):
                    raise
            else:
                return

    @contextmanager
    def teller_paused(self, number: int, key: str) -> Iterator[None]:
        """Within the block one of the nodes that do not serve the key hangs: a replica, which nobody replaces."""
        replicas = [node for node in self.nodes if node not in self.primaries]
        with replicas[number].paused():
            yield

    def moving(self, key: str, target: RedisServer) -> "MovingSlots":
        """Move the slot of a key within the block, as a resharding does."""
        return MovingSlots(self, self.primary_of(key), target, [key_slot(key.encode())])

    def emptying(self, source: RedisServer, target: RedisServer) -> "MovingSlots":
        """Move all slots of a primary but its last one, without which it would become a replica."""
        slots = [slot for first, last in _serves(source) for slot in range(first, last + 1)]
        return MovingSlots(self, source, target, slots[:-1])

    @contextmanager
    def unserved(self, key: str) -> Iterator[None]:
        """Within the block nobody serves the slot of this key, and all nodes know."""
        owner, slot = self.primary_of(key), key_slot(key.encode())
        for node in self.nodes:
            node.ask("CLUSTER", "DELSLOTS", slot)
        yield
        owner.ask("CLUSTER", "ADDSLOTS", slot)
        poll_until(lambda: _agreed(self.nodes), _PATIENCE, "the slot is served again")

    def _replicated(self) -> bool:
        owners = [node for node in self.nodes if _serves(node)]
        linked = [_info(node, "replication") for node in self.nodes if node not in owners]
        return len(owners) == _PRIMARIES == len({state.get("master_port") for state in linked}) and all(
            state.get("master_link_status") == "up" for state in linked
        )


class MovingSlots:
    """Slots on their way: within the block their owner answers ASK for keys it has not; `finish` gives them away."""

    def __init__(self, cluster: RedisCluster, source: RedisServer, target: RedisServer, slots: Sequence[int]) -> None:
        self._cluster, self.slots = cluster, slots
        self._source, self._target = source, target

    def __enter__(self) -> Self:
        source_id, target_id = (node.ask("CLUSTER", "MYID") for node in (self._source, self._target))
        self._set(self._target, "IMPORTING", source_id)
        self._set(self._source, "MIGRATING", target_id)
        return self

    def move_keys(self) -> None:
        """Take what keys there are in the slots to their new owner."""
        found = self._source.ask_all([("CLUSTER", "GETKEYSINSLOT", slot, 100) for slot in self.slots])
        for keys in filter(None, found):
            self._source.ask("MIGRATE", "127.0.0.1", self._target.port, "", 0, 5000, "KEYS", *keys)

    def finish(self) -> None:
        """Give the slots to their new owner, with what keys are left in them, and wait until all nodes know."""
        self.move_keys()
        target_id = self._target.ask("CLUSTER", "MYID")
        for first in range(0, len(self.slots), _AT_ONCE):
            for node in (self._target, self._source):
                self._set(node, "NODE", target_id, slots=self.slots[first : first + _AT_ONCE])
        poll_until(lambda: _agreed(self._cluster.nodes), _PATIENCE, "all know of the slots' new owner")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in (self._source, self._target):
            self._set(node, "STABLE")

    def _set(self, node: RedisServer, *state: str, slots: Sequence[int] | None = None) -> None:
        node.ask_all([("CLUSTER", "SETSLOT", slot, *state) for slot in slots or self.slots])


def _agreed(nodes: list[RedisServer]) -> bool:
    """Whether all is well in the eyes of each of them, and they see the same."""
    try:
        well = all("cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in nodes)
        return well and len({frozenset(_slots(node)) for node in nodes}) == 1
    except redis.RedisError:
        return False


def _view(node: RedisServer) -> list[str]:
    lines: list[str] = node.ask("CLUSTER", "NODES").splitlines()
    return [line for line in lines if " handshake " not in line.replace(",", " ")]


def _replicates(node: RedisServer, primary: str) -> bool:
    try:
        node.ask("CLUSTER", "REPLICATE", primary)
    except redis.ResponseError:  # it has not heard of it yet
        return False
    return True


def _slots(node: RedisServer) -> list[tuple[int, tuple[int, int]]]:
    """Return (port of the primary, (first slot, last slot)) as this node sees it."""
    return [(row[2][1], (row[0], row[1])) for row in node.ask("CLUSTER", "SLOTS")]


def _serves(node: RedisServer) -> list[tuple[int, int]]:
    return [ranges for port, ranges in _slots(node) if port == node.port]


def _info(node: RedisServer, section: str) -> dict[str, str]:
    lines = node.ask("INFO", section).splitlines()
    return dict(chain.from_iterable([line.split(":", 1)] for line in lines if ":" in line))
