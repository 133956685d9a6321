"""What goes out to mail hosts, as seen on the wire itself: nobody's own count of what it did."""

import socket
import struct
from collections import Counter
from ipaddress import ip_address
from threading import Thread
from types import TracebackType
from typing import Final, NamedTuple, Self

from tests.lab.process import ComponentFailed

_SMTP: Final = 25
_ALL_PROTOCOLS: Final = 3  # ETH_P_ALL, linux/if_ether.h: only such a socket sees what goes out
_SOL_PACKET, _STATISTICS = 263, 6  # linux/if_packet.h
_RCVBUFFORCE: Final = 33  # asm-generic/socket.h
_TCP: Final = 6
_SYN, _ACK = 0x02, 0x10
_BUFFER: Final = 8 << 20
_TURN_SECONDS: Final = 0.2


class Attempt(NamedTuple):
    """An attempt to connect. One that is sent again, as nobody answered, is the same one."""

    address: str
    port: int
    sequence: int


def attempt(packet: bytes) -> Attempt | None:
    """Return the attempt to connect to port 25 that an IP packet begins, if it does.

    Fragments and packets with IPv6 extension headers begin none.
    """
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20 and packet[9] == _TCP:
        destination, segment = packet[16:20], packet[(packet[0] & 15) * 4 :]
    elif version == 6 and len(packet) >= 40 and packet[6] == _TCP:
        destination, segment = packet[24:40], packet[40:]
    else:
        return None
    if len(segment) < 20:
        return None
    port, to, sequence, _, _, flags = struct.unpack_from(">HHIIBB", segment)
    if to != _SMTP or flags & (_SYN | _ACK) != _SYN:
        return None
    return Attempt(str(ip_address(destination)), port, sequence)


class Wire:
    """Counts while the context lasts; to be entered inside the namespace where the interface is."""

    def __init__(self, interface: str = "wire") -> None:
        self._interface = interface
        self._seen: set[Attempt] = set()
        self._told: frozenset[Attempt] = frozenset()
        self._ended = False

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)
        self._socket.bind((self._interface, _ALL_PROTOCOLS))
        self._socket.settimeout(_TURN_SECONDS)
        self._thread = Thread(target=self._listen, name="wire")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._thread.join()
        self._socket.close()

    def taken(self) -> Counter[str]:
        """Return how often each address was tried since the last call; raises ComponentFailed for lost packets."""
        _, lost = struct.unpack("=II", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8))
        if lost:
            raise ComponentFailed(f"{self._interface}: {lost} packets went by uncounted; give it a larger buffer")
        # All is kept: what is sent again may have been told of already.
        before, self._told = self._told, frozenset(self._seen)
        return Counter(one.address for one in self._told - before)

    def _listen(self) -> None:
        while not self._ended:
            try:
                packet, (_, _, direction, *_) = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            if direction == socket.PACKET_OUTGOING and (found := attempt(packet)) is not None:
                self._seen.add(found)
