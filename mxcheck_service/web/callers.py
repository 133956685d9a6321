"""Who asks: somebody with a token, or a browser for a page that is not ours."""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from pydantic import SecretStr

from mxcheck_service.core.networks import parse_ip


def digests(tokens: SecretStr | None) -> tuple[bytes, ...] | None:
    """Return what `is_given` compares with, for each token, of which there is one a line."""
    return None if tokens is None else tuple(map(_digest, tokens.get_secret_value().splitlines()))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def is_given(headers: Mapping[str, str], expected: tuple[bytes, ...]) -> bool:
    """Tell whether the headers have one of the tokens.

    All of them are compared, whatever the first says, and digests, or the time would tell a token's length.
    """
    scheme, _, token = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    given = _digest(token)
    found = False
    for each in expected:
        found |= hmac.compare_digest(given, each)
    return found and scheme.lower() == "bearer"


def is_of_another_site(request: web.Request) -> bool:
    """Tell whether a browser sends this for a page that is not the service's own.

    Who needs no token is trusted for being on this host, and so is its browser, whatever page it shows: one that asks
    across sites says so (Fetch Metadata), and one whose site has got our address in the DNS (rebinding) comes under a
    name, where the console is used at an address or as localhost.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is None:
        return False
    try:
        name = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return True
    return site not in ("same-origin", "none") or not (name == "localhost" or parse_ip(name) is not None)
