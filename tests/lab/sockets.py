"""Free ports, and what a plain socket does not say by itself."""

import os
import random
import socket
import struct
from contextlib import ExitStack

from tests.lab.process import ComponentFailed

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""The value of SO_LINGER that makes close() send a TCP reset in place of an orderly end."""

# Below Linux's range for outgoing connections, so that no client socket takes a port between choice and use. Processes
# that pytest-xdist runs tests in share it out, so that none of them does either.
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PORTS = range(10_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")), 32_000, _PROCESSES)
_given_out: set[int] = set()
_random = random.SystemRandom()


def free_port() -> int:
    """A port that is free for TCP and UDP on every local IPv4 and IPv6 address, and was not given out before."""
    for port in _random.sample(_PORTS, k=500):
        if port not in _given_out and is_free(port):
            _given_out.add(port)
            return port
    raise ComponentFailed("no free port")


def is_free(port: int) -> bool:
    """Whether nobody holds the port on any local address, over TCP or UDP."""
    with ExitStack() as sockets:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                try:
                    probe = sockets.enter_context(socket.socket(family, kind))
                except OSError:  # a machine without IPv6
                    continue
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                try:
                    probe.bind((address, port))
                except OSError:
                    return False
    return True


def accepts_connections(address: str, port: int) -> bool:
    """Whether a TCP connection to the address succeeds."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
