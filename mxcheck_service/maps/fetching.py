"""Fetches maps over HTTP: only what has changed, and no more of it than is allowed."""

import hashlib
import re
from base64 import b64encode
from itertools import pairwise
from typing import BinaryIO, Final, NamedTuple

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, hdrs

from mxcheck_service import __version__
from mxcheck_service.config import mask_url
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
_CHECKSUM: Final = re.compile(r"(sha-256|sha-512)=:([A-Za-z0-9+/=]+):")


class Validators(NamedTuple):
    """By what a server recognizes a version of a map (RFC 9110, section 8.8); its own words."""

    etag: str | None = None
    last_modified: str | None = None


async def fetch(url: str, known: Validators, into: BinaryIO, *, timeout: float, max_bytes: int) -> Validators | None:
    """Write what the URL leads to, as it was sent, into a file. None: it is still the version that is known.

    Raises MapError, without the place: the server does not answer within `timeout` seconds, or not with a map, or with
    more than `max_bytes` or with another checksum than it says, or leads away from HTTP.
    """
    headers = dict(_HEADERS)
    if known.etag:
        headers[hdrs.IF_NONE_MATCH] = known.etag
    if known.last_modified:
        headers[hdrs.IF_MODIFIED_SINCE] = known.last_modified
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=timeout), auto_decompress=False) as session,
            session.get(url, headers=headers, max_redirects=_MOST_REDIRECTS) as response,
        ):
            _not_downgraded(response)
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


def _not_downgraded(response: ClientResponse) -> None:
    """Raise MapError when a redirect has left TLS: what comes from there may be anybody's."""
    schemes = [hop.url.scheme for hop in (*response.history, response)]
    if ("https", "http") in pairwise(schemes):
        raise MapError(f"redirects from https to {escape(mask_url(str(response.url)))}; map URLs stay with https")
