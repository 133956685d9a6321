"""Bodies that have not come whole with their head, which few do: how long they may take, and how many there may be."""

import asyncio
from typing import Final

from aiohttp import hdrs, web

from mxcheck_service.web.errors import ApiError

MOST: Final = 128
"""Bodies waited for at once; each may hold `max_body_bytes` twice. For one more the oldest is given up."""
_CODINGS: Final = ("", "identity")


class Arrivals:
    """Waits for bodies; each may take so many seconds from when its head was there."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._count = 0
        self._limits: dict[asyncio.Timeout, None] = {}
        """Of those waited for, the oldest first."""

    def __len__(self) -> int:
        return self._count

    async def whole(self, request: web.Request) -> bytes:
        """Return the body. Raises ApiError, and what aiohttp raises for one that is too large or broken."""
        if request.content.is_eof():
            return await request.read()
        if len(self._limits) >= MOST:
            # What has taken longest is likeliest to lead nowhere: an honest body is here within milliseconds.
            oldest = next(iter(self._limits))
            del self._limits[oldest]
            oldest.reschedule(0)
        limit = asyncio.timeout(self._seconds)
        self._limits[limit] = None
        self._count += 1
        try:
            async with limit:
                return await request.read()
        except TimeoutError:
            raise ApiError(408, f"the body has not come within {self._seconds:g} s") from None
        except ConnectionError:
            raise ApiError(400, "the caller has gone in the middle of the body") from None  # who would read it?
        finally:
            self._count -= 1
            self._limits.pop(limit, None)


def refuse_coded(request: web.Request) -> None:
    """Raise ApiError for a body that would first have to be decompressed: a bomb costs its sender next to nothing."""
    if hdrs.CONTENT_ENCODING in request.headers:
        coding = request.headers[hdrs.CONTENT_ENCODING].strip().lower()
        if coding not in _CODINGS:
            detail = "the body must come as it is, without Content-Encoding"
            raise ApiError(415, detail, headers={hdrs.ACCEPT_ENCODING: "identity"})
