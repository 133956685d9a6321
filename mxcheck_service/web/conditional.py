"""Documents that are the same for everybody until the next version: sent once, and then only if they have changed."""

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple, Self

from aiohttp import hdrs, web


class Document(NamedTuple):
    """A body, its type, and the ETag that changes with it."""

    body: bytes
    content_type: str
    tag: str

    @classmethod
    def of(cls, body: bytes, content_type: str) -> Self:
        return cls(body, content_type, sha256(body).hexdigest()[:16])

    def answer(self, request: web.Request, headers: Mapping[str, str] | None = None) -> web.Response:
        """Return the document, or 304 when the one at hand is still right (RFC 9110, section 13.1.2)."""
        told = {hdrs.ETAG: f'"{self.tag}"', **(headers or {})}
        if any(known.value in (self.tag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=told)
        return web.Response(body=self.body, headers={hdrs.CONTENT_TYPE: self.content_type, **told})
