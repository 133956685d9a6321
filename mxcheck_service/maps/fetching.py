"""Fetches maps over HTTP: only what has changed, and no more of it than is allowed."""

import errno
import hashlib
import re
import socket
from base64 import b64encode
from types import SimpleNamespace
from typing import Any, BinaryIO, Final, NamedTuple

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    TCPConnector,
    TraceConfig,
    TraceRequestRedirectParams,
    hdrs,
)
from yarl import URL

from mxcheck_service import __version__
from mxcheck_service.config import mask_url
from mxcheck_service.core.addresses import IpClasses
from mxcheck_service.core.settings import RECOMMENDED, MxCheckSettings
from mxcheck_service.log import escape
from mxcheck_service.maps.errors import MapError

_CHUNK: Final = 1 << 16
_MOST_REDIRECTS: Final = 5
_ENCODINGS: Final = ("", "identity", "gzip", "x-gzip", "zstd")
_HEADERS: Final = {
    hdrs.USER_AGENT: f"mxcheck-service/{__version__}",
    # Taken apart by whoever compiles the map, and not by aiohttp: not in this process' time.
    hdrs.ACCEPT_ENCODING: "zstd, gzip",
    "Want-Repr-Digest": "sha-256=1",
}
_CLASSES: Final = IpClasses(MxCheckSettings(), RECOMMENDED)
"""Of the addresses that redirects lead to: no setting of what is probed has a say in it."""
_CHECKSUM: Final = re.compile(r"(sha-256|sha-512)=:([A-Za-z0-9+/=]+):")


class Validators(NamedTuple):
    """By what a server recognizes a version of a map (RFC 9110, section 8.8); its own words."""

    etag: str | None = None
    last_modified: str | None = None


async def fetch(
    url: str, known: Validators, into: BinaryIO, *, timeout: float, max_bytes: int, private_redirects: bool = False
) -> Validators | None:
    """Write what the URL leads to, as it was sent, into a file. None: it is still the version that is known.

    Raises MapError, without the place: the server does not answer within `timeout` seconds, or not with a map, or with
    more than `max_bytes` or with another checksum than it says, or leads away from HTTP, from `https` to `http`, or,
    without `private_redirects`, from the Internet to an address that is not public.
    """
    way = _Way(private_redirects)
    headers = dict(_HEADERS)
    if known.etag:
        headers[hdrs.IF_NONE_MATCH] = known.etag
    if known.last_modified:
        headers[hdrs.IF_MODIFIED_SINCE] = known.last_modified
    try:
        async with (
            ClientSession(
                # A connection for each request, so that all of them pass by.
                connector=TCPConnector(socket_factory=way.socket, force_close=True),
                timeout=ClientTimeout(total=timeout),
                auto_decompress=False,
                trace_configs=[way.traced()],
            ) as session,
            session.get(url, headers=headers, max_redirects=_MOST_REDIRECTS) as response,
        ):
            if response.status == 304 and any(known):
                return None
            if response.status != 200:
                raise MapError(f"the server answered {response.status} {response.reason or ''}".rstrip())
            if response.headers.get(hdrs.CONTENT_ENCODING, "").lower() not in _ENCODINGS:
                raise MapError(f"is encoded as {response.headers[hdrs.CONTENT_ENCODING]!r}, which was not asked for")
            checksums = _Checksums(response)
            received = 0
            async for chunk in response.content.iter_chunked(_CHUNK):
                received += len(chunk)
                if received > max_bytes:
                    raise MapError(f"has more than {max_bytes} bytes (maps.max_bytes)")
                checksums.add(chunk)
                into.write(chunk)
            checksums.verify()
            return Validators(response.headers.get(hdrs.ETAG), response.headers.get(hdrs.LAST_MODIFIED))
    except TimeoutError:
        raise MapError(f"was not received within {timeout:g} s (maps.timeout)") from None
    except (ClientError, ValueError, OSError) as error:
        if way.refused is not None:
            raise MapError(
                f"redirects to {way.refused}, which is not a public address; maps.private_redirects allows that"
            ) from error
        # aiohttp's words for a redirect to another scheme, for one, are just its URL.
        reason = escape(mask_url(f"{type(error).__name__}: {error}"))
        raise MapError(reason) from error


class _Checksums:
    """What the server says of the octets it sends (RFC 9530), held against those that come."""

    def __init__(self, response: ClientResponse) -> None:
        fields = (value for name in ("Repr-Digest", "Content-Digest") for value in response.headers.getall(name, ()))
        told = [match.groups() for field in fields for match in _CHECKSUM.finditer(field)]
        self._told = [(name, checksum, hashlib.new(name.replace("-", ""))) for name, checksum in told]

    def add(self, chunk: bytes) -> None:
        for _, _, counted in self._told:
            counted.update(chunk)

    def verify(self) -> None:
        for name, checksum, counted in self._told:
            if b64encode(counted.digest()).decode() != checksum:
                raise MapError(f"is not what the server's {name} checksum says: damaged or changed on the way")


class _Way:
    """Where redirects may lead. What counts is the address that is connected to, whatever name led there and when.

    The operator's own URL may name any host. As long as that leads to private addresses only, it stays inside, where
    redirects may lead, too; who has once led outside does not come in again.
    """

    def __init__(self, private_redirects: bool) -> None:
        self._is_inside = True
        self._may_go_inside = private_redirects
        self._is_redirected = False
        self.refused: str | None = None
        """The address that was not connected to."""

    def socket(self, address: tuple[Any, ...]) -> socket.socket:
        """Return a socket for what getaddrinfo(3) says of an address; raises OSError where it must not go."""
        family, kind, protocol, _, (ip, *_) = address
        is_public = _CLASSES.is_public(ip)
        if self._is_redirected and not (is_public or self._is_inside or self._may_go_inside):
            self.refused = ip
            raise OSError(errno.EACCES, "is not a public address")
        self._is_inside = self._is_inside and not is_public
        return socket.socket(family, kind, protocol)

    def traced(self) -> TraceConfig:
        """Return what has aiohttp tell of redirects before it follows them."""
        config = TraceConfig()
        config.on_request_redirect.append(self._redirected)
        return config

    async def _redirected(self, _: ClientSession, __: SimpleNamespace, params: TraceRequestRedirectParams) -> None:
        self._is_redirected = True
        headers = params.response.headers
        to = params.url.join(URL(headers.get(hdrs.LOCATION) or headers.get(hdrs.URI) or ""))
        if (params.url.scheme, to.scheme) == ("https", "http"):
            raise MapError(f"redirects from https to {escape(mask_url(str(to)))}; map URLs stay with https")
