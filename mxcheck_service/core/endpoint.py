"""A host with a port, as a person writes it."""

from urllib.parse import urlsplit

from mxcheck_service.core.networks import parse_ip


def endpoint(text: str) -> tuple[str, int | None]:
    """Read `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`; raises ValueError."""
    if parse_ip(text) is not None:
        return text, None
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets that are no IPv6 address's, or a port that is no number
        host, port = None, None
    if not host or parts.netloc != text or "@" in text or port == 0:
        raise ValueError(f"{text!r} is not HOST or HOST:PORT")
    return host, port
