"""Finds out who has the place at which the service is to listen."""

import asyncio
import errno
import re
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final

from mxcheck_service import unix_socket
from mxcheck_service.doctor.facts import Listening, PortFacts
from mxcheck_service.settings import ServerSettings

_PATIENCE: Final = 2.0
"""Seconds for what has the port to say what it is."""
_LONGEST_PAGE: Final = 256 * 1024
_VERSION: Final = re.compile(rb'mxcheck_build_info\{version="([^"]{1,40})"\}')
_DNS_ONLY: Final = re.compile(rb'mxcheck_egress_up\{family="(v[46])"\} 0\.')
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


async def examine_port(server: ServerSettings) -> PortFacts:
    """Take the port for a moment, as the service would; ask who has it when it is taken.

    With a unix socket it is asked there, where TLS and `server.allow` turn nobody away.
    """
    if server.port is None:
        assert server.unix_socket
        return _socket_file(server.unix_socket) or _told(await _page(server, None)) or PortFacts(Listening.TAKEN)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as taken:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                taken.bind(address)
                taken.listen()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return PortFacts(Listening.REFUSED, error.strerror or str(error))
        if (facts := _told(await _page(server, None))) or (facts := _told(await _page(server, str(address[0])))):
            return facts
        return PortFacts(Listening.GUARDED if server.allow or server.tls_client_ca else Listening.TAKEN)
    return PortFacts(Listening.FREE)


def _socket_file(path: str) -> PortFacts | None:
    """Return why the service could, or could not, listen at a path, and None when somebody does."""
    try:
        if unix_socket.is_served(path):
            return None
    except OSError as error:
        return PortFacts(Listening.REFUSED, error.strerror or str(error))
    if (folder := Path(path).absolute().parent).is_dir():
        return PortFacts(Listening.FREE)
    return PortFacts(Listening.REFUSED, f"there is no folder {folder}")


async def _page(server: ServerSettings, address: str | None) -> bytes:
    """Return what is answered to a question for metrics, at the unix socket or at an address; empty: nothing."""
    page = b""
    if address is None and server.unix_socket is None:
        return page
    with suppress(OSError):  # which TLS errors and the end of the time are, too
        async with asyncio.timeout(_PATIENCE):
            if address is None:
                reader, writer = await asyncio.open_unix_connection(server.unix_socket)
            else:
                tls = _unverified() if server.tls_cert else None
                reader, writer = await asyncio.open_connection(_ANYWHERE.get(address, address), server.port, ssl=tls)
            try:
                writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
                while len(page) < _LONGEST_PAGE and (piece := await reader.read(_LONGEST_PAGE)):
                    page += piece
            finally:
                writer.transport.abort()
    return page


def _unverified() -> ssl.SSLContext:
    """Return a context for asking whoever is there what it is: nothing is told to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _told(page: bytes) -> PortFacts | None:
    if match := _VERSION.search(page):
        dns_only = tuple(family.decode() for family in _DNS_ONLY.findall(page))
        return PortFacts(Listening.OURS, match[1].decode("ascii", "replace"), dns_only)
    return None
