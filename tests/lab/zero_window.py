"""A peer whose receive window is zero from the first packet on: what is said to it can never be sent.

No socket can be made to behave so, hence this is TCP by hand, at the other end of a TUN device in a network namespace.
"""

import errno
import fcntl
import os
import select
import socket
import struct
import threading
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.lab.process import missing
from tests.lab.truth.namespaces import Namespace

ADDRESS: Final = "198.51.100.2"
PORT: Final = 25
_OURS: Final = "198.51.100.1/24"
_DEVICE: Final = "/dev/net/tun"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_FIN, _SYN, _RST, _PSH, _ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_START: Final = 1000
_LOOK: Final = 0.1
_NAMES: Final = count()
_IP: Final = struct.Struct("!BBHHHBBH4s4s")
_TCP: Final = struct.Struct("!HHLLBBHHH")


class ZeroWindow:
    """The peer as a context manager, at ADDRESS and PORT of a namespace of its own: it greets, and takes nothing.

    One connection at a time. Needs root and a TUN device.
    """

    def __init__(self, greeting: bytes) -> None:
        self._greeting = greeting
        self.heard = b""
        """What was sent to it all the same."""
        self.packets = 0
        """Packets that came once the greeting had been taken."""

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or not Path(_DEVICE).exists():
            missing(f"root and {_DEVICE}")
        self._name = f"mxcheck-window-{os.getpid()}-{next(_NAMES)}"
        try:
            self.namespace = Namespace(self._name)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EROFS):
                missing(f"the right to make network namespaces ({error})")
            raise
        try:
            self._tun = self.namespace.run(self._open)
            self.namespace.ip("addr", "add", _OURS, "dev", "tun0")
            self.namespace.ip("link", "set", "tun0", "up")
        except BaseException:
            self.namespace.delete()
            raise
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._tun)
        self.namespace.delete()

    def connections(self) -> int:
        """How many connections to it the kernel on our side still has, closed by their owner or not."""
        wanted = f"{int.from_bytes(socket.inet_aton(ADDRESS), 'little'):08X}:{PORT:04X}"
        lines = self.namespace.run(Path("/proc/thread-self/net/tcp").read_text).splitlines()[1:]
        return sum(line.split()[2] == wanted for line in lines)

    @staticmethod
    def _open() -> int:
        tun = os.open(_DEVICE, os.O_RDWR)
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"tun0", _IFF_TUN | _IFF_NO_PI))
        return tun

    def _serve(self) -> None:
        while not self._over.is_set():
            readable, _, _ = select.select([self._tun], [], [], _LOOK)
            packet = os.read(self._tun, 65_536) if readable else b"\0"
            if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_TCP:
                self._answer(packet)

    def _answer(self, packet: bytes) -> None:
        start = (packet[0] & 15) * 4
        source, _, sequence, acknowledged, offset, flags, *_ = _TCP.unpack_from(packet, start)
        data = packet[start + (offset >> 4) * 4 :]
        greeted = _START + 1 + len(self._greeting)
        if flags & _SYN:
            self._expected = sequence + 1
            self._send(packet, source, _SYN | _ACK, _START)
        elif flags & _RST:
            return
        elif acknowledged == _START + 1 and self._greeting:
            self._send(packet, source, _PSH | _ACK, _START + 1, self._greeting)
        elif acknowledged == greeted:
            # Whatever comes is not taken, and the answer says again that there is no room.
            self.packets += 1
            self.heard += data
            if data or sequence != self._expected or flags & _FIN:
                self._send(packet, source, _ACK, greeted)

    def _send(self, packet: bytes, port: int, flags: int, sequence: int, data: bytes = b"") -> None:
        ours, theirs = packet[16:20], packet[12:16]
        segment = _TCP.pack(PORT, port, sequence, self._expected, _TCP.size // 4 << 4, flags, 0, 0, 0) + data
        pseudo = ours + theirs + struct.pack("!HH", socket.IPPROTO_TCP, len(segment))
        segment = segment[:16] + struct.pack("!H", _checksum(pseudo + segment)) + segment[18:]
        header = _IP.pack(0x45, 0, _IP.size + len(segment), 0, 0, 64, socket.IPPROTO_TCP, 0, ours, theirs)
        header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
        os.write(self._tun, header + segment)


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
