"""rspamd's side of Redis, DNS and TCP, simulated: what the reference asks for is answered from a scenario.

Every answer is delivered from one time-ordered queue, never from inside the call that asked, as rspamd's event loop
does it. The one exception is a TCP connect that fails at once.
"""

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from tests.parity.rspamd_task import Ip, Text
from tests.parity.world import (
    CONNECT_LATENCY,
    DNS_LATENCY,
    REDIS_LATENCY,
    WRONG_TYPE,
    Connect,
    DnsType,
    Ending,
    Peer,
    Scenario,
)

DNS_ERRORS = {
    "nodata": "requested record is not found",
    "nxdomain": "no records with this name",
    "servfail": "server fail",
    "refused": "query refused",
    "formerr": "query format error",
    "notimp": "not implemented",
    "timeout": "query timed out",
    "neterr": "network error",
}
CONNECT_ERRORS: Mapping[Connect, str] = {
    "refused": "Socket error detected: Connection refused",
    "reset": "Socket error detected: Connection reset by peer",
    "timeout": "IO timeout",
    "unreachable": "Socket error detected: Network is unreachable",
    "no route": "Socket error detected: No route to host",
    "denied": "Socket error detected: Operation not permitted",
}
READ_ERRORS: Mapping[Ending, str] = {
    "eof": "IO read error: connection terminated",
    "reset": "IO read error while trying to read data: Connection reset by peer",
    "silence": "IO timeout",
}


class Timeline:
    """The event queue: earliest first, first come first served among equals."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def after(self, delay: float, event: Callable[[], None]) -> None:
        """Let an event happen `delay` seconds from now."""
        heapq.heappush(self._queue, (self.now + delay, next(self._order), event))

    def run(self) -> None:
        """Let events happen until none is left."""
        while self._queue:
            self.now, _, event = heapq.heappop(self._queue)
            event()


class RedisServer:
    """The few commands the reference uses, with Redis's own answers.

    `content`: value and TTL of each key, TTL None if not written; `locks`: the TTL of each lock.
    """

    def __init__(self, scenario: Scenario, timeline: Timeline) -> None:
        self._mode = scenario.redis.mode
        self._timeline = timeline
        self.locks: dict[str, int] = {}
        self._races = dict(scenario.redis.races)
        self.content: dict[str, tuple[str, int | None]] = {
            key: (value, None) for key, value in scenario.redis.content().items()
        }

    def request(
        self, _task: object, _params: object, _key: str, is_write: bool, callback: Any, command: str, args: Any
    ) -> bool:
        """lua_redis.rspamd_redis_make_request; false when there is no server to send to."""
        if self._mode == "no upstream" or (is_write and self._mode == "no write upstream"):
            return False
        words = [str(word) for word in args.values()]

        def answer() -> None:
            error, data = self._execute(command, words)
            callback(error, data)

        self._timeline.after(REDIS_LATENCY, answer)
        return True

    def _execute(self, command: str, words: list[str]) -> tuple[str | None, object]:
        if self._mode == "down":
            return "cannot connect to redis: Connection refused", None
        key = words[0]
        present = self.content.get(key)
        if command == "GET":
            if self._mode == "reads fail":
                return "IO timeout", None
            if present and present[0] == WRONG_TYPE:
                return "WRONGTYPE Operation against a key holding the wrong kind of value", None
            return None, present[0] if present else None
        if self._mode == "writes fail":
            return "READONLY You can't write against a read only replica.", None
        if command == "SETEX":
            self.content[key] = (words[2], int(words[1]))
            return None, "OK"
        assert (command, words[2]) == ("SET", "EX"), words
        if words[4:] == ["NX"]:
            if key in self._races:
                value = self._races.pop(key)
                if value is None:
                    return None, None
                present = self.content[key] = (value, None)
            if present:
                return None, None
        self.content[key] = (words[1], int(words[3]))
        self.locks[key] = int(words[3])
        return None, "OK"


class Resolver:
    """task:get_resolver()."""

    def __init__(self, scenario: Scenario, timeline: Timeline, to_table: Callable[[Any], object]) -> None:
        self._scenario = scenario
        self._timeline = timeline
        self._to_table = to_table

    def resolve(self, kind: str, params: Any) -> bool:
        """Ask a question; the callback gets records or an error text."""
        types: dict[str, DnsType] = {"mx": "MX", "a": "A", "aaaa": "AAAA"}
        name, callback = params["name"], params["callback"]
        reply = self._scenario.resolve(types[kind], name)

        def answer() -> None:
            if reply.status in DNS_ERRORS:
                callback(self, name, None, DNS_ERRORS[reply.status])
                return
            records: list[object] = [Ip(address) for address in reply.addresses]
            records += [self._to_table({"name": host, "priority": number}) for number, host in reply.exchanges]
            callback(self, name, self._to_table(records), None)

        self._timeline.after(DNS_LATENCY, answer)
        return True


class Connection:
    """A TCP connection as rspamd_tcp keeps it: a queue of read and write handlers over one input buffer."""

    def __init__(self, peer: Peer, timeline: Timeline, on_connect: Any, read_timeout: float) -> None:
        self._peer = peer
        self._timeline = timeline
        self._on_connect = on_connect
        self._read_timeout = read_timeout
        self._handlers: deque[tuple[Any, str | None]] = deque()
        self._buffer = ""
        self._closed = False
        self.sent = ""

    def add_read(self, callback: Any, stop_pattern: str) -> None:
        """Queue a handler for the data up to the pattern."""
        self._handlers.append((callback, stop_pattern))

    def add_write(self, callback: Any, data: str) -> None:
        """Queue a write; its handler is called once the data is sent."""
        self.sent += data
        self._handlers.append((callback, None))

    def close(self) -> None:
        """Close; no handler is called any more."""
        self._closed = True

    def connected(self) -> None:
        """Call on_connect and let the peer talk, as far as anyone reads."""
        if self._on_connect is not None:
            self._on_connect(self)
        self._dispatch()
        self._next_chunk(0)

    def _next_chunk(self, index: int) -> None:
        if self._closed or not self._handlers:
            return
        if index == len(self._peer.chunks):
            self._timeline.after(self._read_timeout if self._peer.ending == "silence" else 0.0, self._end)
            return
        # The read timeout counts from the last byte that came.
        if self._peer.pause > self._read_timeout:
            self._timeline.after(self._read_timeout, lambda: self._fail("IO timeout"))
            return

        def arrive() -> None:
            self._buffer += self._peer.chunks[index]
            self._dispatch()
            self._next_chunk(index + 1)

        self._timeline.after(self._peer.pause, arrive)

    def _dispatch(self) -> None:
        while self._handlers and not self._closed:
            callback, pattern = self._handlers[0]
            if pattern is None:
                callback(None, self)
            else:
                line, found, rest = self._buffer.partition(pattern)
                if not found:
                    return
                callback(None, Text(line), self)
                self._buffer = rest
            self._handlers.popleft()

    def _end(self) -> None:
        ending = self._peer.ending
        if ending == "silence":
            self._fail(READ_ERRORS[ending])
            return
        # rspamd never calls back when exactly one byte is left at the end; the generator leaves that out.
        assert len(self._buffer) != 1, "one byte before the end: the engine has no answer"
        self._fail(READ_ERRORS["eof" if self._buffer else ending])

    def _fail(self, error: str) -> None:
        while self._handlers and not self._closed:
            callback, _ = self._handlers[0]
            callback(error, None, self)
            self._handlers.popleft()


class TcpModule:
    """The module rspamd_tcp."""

    def __init__(self, scenario: Scenario, timeline: Timeline) -> None:
        self._scenario = scenario
        self._timeline = timeline
        self._connections: dict[str, Connection] = {}

    @property
    def probed(self) -> tuple[str, ...]:
        """Return the addresses that were connected to, sorted."""
        return tuple(sorted(self._connections))

    @property
    def quits(self) -> tuple[str, ...]:
        """Return the addresses that were sent QUIT, sorted."""
        return tuple(sorted(ip for ip, connection in self._connections.items() if connection.sent == "QUIT\r\n"))

    def new(self, params: Any) -> bool:
        """Start to connect; false when the attempt could not even be made."""
        ip = params["host"]
        assert params["port"] == self._scenario.settings.get("port", 25)
        peer = self._scenario.peer(ip)
        on_error = params["on_error"]
        connection = Connection(peer, self._timeline, params["on_connect"], params["read_timeout"] or 0.0)
        self._connections[ip] = connection
        if params["read"] is not False:
            connection.add_read(params["callback"], params["stop_pattern"])
        if peer.connect == "unavailable":
            on_error(f"cannot connect to the host: {ip}", connection)
            return False
        if peer.connect == "ok":
            self._timeline.after(CONNECT_LATENCY, connection.connected)
            return True
        error = CONNECT_ERRORS[peer.connect]
        delay = params["connect_timeout"] if peer.connect == "timeout" else CONNECT_LATENCY
        self._timeline.after(delay, lambda: on_error(error, connection))
        return True
