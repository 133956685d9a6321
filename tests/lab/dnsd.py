"""A programmable DNS server, UDP and TCP on one port, for what a real server will not do.

    async with DnsServer(upstream=knot.nameserver) as dns:
        dns.set("example.test", "MX", mx((10, "mx.example.test")))
        dns.set("mx.example.test", "A", InTurn(DROP, a("127.0.0.2")))
        ...
        assert dns.count("example.test", "MX") == 1

It serves one event loop; the behaviours are in `dns_behaviours`. `stop` and `start` are a server that is dead for a
while, and `through` and `forge` change what happens to every question, whatever was `set`.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self, cast

import dnslib

from tests.lab.dns_behaviours import FORWARD, NODATA, NXDOMAIN, Behaviour, OverTcp
from tests.lab.dns_replies import act
from tests.lab.sockets import RESET_ON_CLOSE, free_port
from tests.lab.waiting import Changes

_UPSTREAM_TIMEOUT = 5.0


class Asked(NamedTuple):
    """A question that arrived: name in lower case without the final dot, type such as "MX", and transport."""

    name: str
    kind: str
    tcp: bool


class Forged(NamedTuple):
    """A datagram to send to who has asked; `own_port`: from the port that was asked, else from any other one."""

    packet: bytes
    own_port: bool


class DnsServer:
    """The server as an async context manager.

    What was not `set` is answered by `otherwise`, or forwarded to `upstream` (`address:port`), when there is one of
    them; else another type of a known name is NODATA and an unknown name is NXDOMAIN. With `tcp=False` TCP connections
    are refused.
    """

    def __init__(
        self,
        *,
        upstream: str | None = None,
        otherwise: Behaviour | None = None,
        tcp: bool = True,
        address: str = "127.0.0.1",
        port: int | None = None,
    ) -> None:
        self.address = address
        self.port = free_port() if port is None else port
        self.asked: list[Asked] = []
        self.through: Callable[[Behaviour], Behaviour] = lambda behaviour: behaviour
        """Makes of what was set for a question what is done with it."""
        self.forge: Callable[[bytes], Sequence[Forged]] | None = None
        """Makes datagrams of a question that are sent before it is answered."""
        self._upstream = None if upstream is None else _address_and_port(upstream)
        self._otherwise = FORWARD if otherwise is None and upstream is not None else otherwise
        self._with_tcp = tcp
        self._behaviours: dict[tuple[str, str], Behaviour] = {}
        self._changes = Changes()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def nameserver(self) -> str:
        """`address:port`, as aiodns takes it."""
        return f"{self.address}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self, *, tcp: bool | None = None) -> None:
        """Listen (again); `tcp` overrules what the server was made with."""
        loop = asyncio.get_running_loop()
        self._udp, self._udp_protocol = await loop.create_datagram_endpoint(
            lambda: _UdpQuestions(self), local_addr=(self.address, self.port)
        )
        self._tcp: asyncio.Server | None = None
        if self._with_tcp if tcp is None else tcp:
            try:
                self._tcp = await asyncio.start_server(self._serve_tcp, self.address, self.port)
            except BaseException:
                self._udp.close()
                raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Listen no more; what was set stays. Nothing when it does not listen."""
        self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._udp_protocol.closed.wait()

    def set(self, name: str, kind: str, behaviour: Behaviour) -> None:
        """What to do with questions for this name and type ("A", "MX", …; "*" is every type not set by itself)."""
        self._behaviours[_plain(name), kind.upper()] = behaviour

    def forget(self) -> None:
        """Drop all behaviours and all records of what was asked."""
        self._behaviours.clear()
        self.asked.clear()

    def counts(self) -> Counter[tuple[str, str]]:
        """How often each (name, type) was asked, over both transports."""
        return Counter((question.name, question.kind) for question in self.asked)

    def count(self, name: str, kind: str) -> int:
        """How often this name and type was asked."""
        return self.counts()[_plain(name), kind.upper()]

    async def wait_asked(self, name: str, kind: str, times: int = 1, within: float = 20.0) -> None:
        """Return once this was asked so many times; raises StillWaiting."""
        await self._changes.wait_until(
            lambda: self.count(name, kind) >= times, within, lambda: f"{name} {kind} asked {times} times: {self.asked}"
        )

    def _find(self, name: str, kind: str) -> Behaviour:
        behaviour = self._behaviours.get((name, kind)) or self._behaviours.get((name, "*")) or self._otherwise
        if behaviour is not None:
            return behaviour
        return NODATA if any(known == name for known, _ in self._behaviours) else NXDOMAIN

    async def reply_to(self, packet: bytes, *, tcp: bool) -> bytes | OverTcp | None:
        """The reply to one message, what to do to the TCP connection, or None for silence."""
        try:
            query = dnslib.DNSRecord.parse(packet)
            name, kind = _plain(str(query.q.qname)), str(dnslib.QTYPE[query.q.qtype])
        except (dnslib.DNSError, IndexError):
            return None
        self.asked.append(Asked(name, kind, tcp))
        self._changes.notify()
        return await act(
            self.through(self._find(name, kind)), query, tcp=tcp, forward=lambda: self._forward(packet, tcp=tcp)
        )

    async def _forward(self, packet: bytes, *, tcp: bool) -> bytes | None:
        assert self._upstream is not None
        with suppress(TimeoutError, OSError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_UPSTREAM_TIMEOUT):
                return await (_ask_tcp if tcp else _ask_udp)(self._upstream, packet)
        return None

    def take_datagram(self, packet: bytes, sender: tuple[str, int], transport: asyncio.DatagramTransport) -> None:
        """Answer a datagram in a task of its own."""

        async def answer() -> None:
            for forged in () if self.forge is None else self.forge(packet):
                self._send_forged(forged, sender, transport)
            reply = await self.reply_to(packet, tcp=False)
            if isinstance(reply, bytes) and not transport.is_closing():
                transport.sendto(reply, sender)

        task = asyncio.create_task(answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send_forged(self, forged: Forged, victim: tuple[str, int], transport: asyncio.DatagramTransport) -> None:
        if forged.own_port:
            transport.sendto(forged.packet, victim)
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.sendto(forged.packet, victim)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        try:
            while True:
                reply = await self.reply_to(await _read_framed(reader), tcp=True)
                if isinstance(reply, OverTcp):
                    if reply is OverTcp.RESET:
                        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                    return
                if reply is not None:
                    writer.write(_framed(reply))
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the client went, or the server ends
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self._tasks.discard(task)


class _UdpQuestions(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.take_datagram(data, addr, self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


def _address_and_port(nameserver: str) -> tuple[str, int]:
    address, _, port = nameserver.rpartition(":")
    return address, int(port)


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _framed(packet: bytes) -> bytes:
    return struct.pack("!H", len(packet)) + packet


async def _read_framed(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(length)


async def _ask_udp(server: tuple[str, int], packet: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(server)
        await loop.sock_sendall(client, packet)
        return await loop.sock_recv(client, 65_535)


async def _ask_tcp(server: tuple[str, int], packet: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(_framed(packet))
        return await _read_framed(reader)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
