"""Looking at single entries of the cache and purging them: `/v1/cache/` and `mxcheck cache`.

What is asked for is a domain, host or address as a person writes it. The key that is made of it can only be one of its
layer, since nothing but a name or an address gets through.
"""

import socket
from typing import Final, get_args

from mxcheck_service.cache.layers import CacheLayers, Decoded, Entry, Layer
from mxcheck_service.core.candidates import normalize
from mxcheck_service.core.codec import AddressList, MxList, Slot
from mxcheck_service.core.model import Family, Outcome, Verdict
from mxcheck_service.core.networks import parse_ip

LAYERS: Final[tuple[Layer, ...]] = get_args(Layer)

_FAMILIES: Final = {Family.V4: "A", Family.V6: "AAAA", Family.BOTH: "A and AAAA"}
_DNS: Final = {
    ("d", Verdict.NONE): "no MX, A or AAAA record, or no such domain",
    ("d", Verdict.BROKEN): "MX records, but none that names a usable host",
    ("d", Verdict.NULL): "Null MX: the domain receives no mail",
    ("m", Verdict.NONE): "no address, or no such host",
}
_PROBE: Final = {
    Verdict.GOOD: "answers",
    Verdict.REFUSED: "refuses connections",
    Verdict.TIMEOUT_CONNECT: "does not answer",
    Verdict.TIMEOUT_READ: "accepts connections but sends no greeting in time",
    Verdict.INVALID: "does not speak SMTP",
    Verdict.ERROR: "speaks SMTP but turns us away",
}


class NoSuchKey(ValueError):
    """What was asked for cannot be the key of an entry."""


async def look(cache: CacheLayers, layer: Layer, text: str) -> Entry | None:
    """Return the entry of a domain (`d`), host (`m`) or address (`i`); raises NoSuchKey and CacheError."""
    return await cache.entry(layer, name_of(layer, text))


async def purge(cache: CacheLayers, layer: Layer, text: str) -> str:
    """Delete an entry, wherever it is kept, and return its key; raises NoSuchKey and CacheError."""
    return await cache.purge(layer, name_of(layer, text))


def name_of(layer: Layer, text: str) -> str:
    """Return the text as checks write it into keys: names in lower case and A-labels, addresses in their usual form."""
    if layer == "i":
        if parse_ip(text) is None:
            raise NoSuchKey("must be an IPv4 or IPv6 address, without port or zone id")
        # As c-ares and rspamd write addresses, IPv4-mapped ones with dots, which `ipaddress` does not on every Python.
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    name = normalize(text, False)
    if name is None:
        raise NoSuchKey("must be a domain name" if layer == "d" else "must be a host name")
    return name


def meaning(layer: Layer, decoded: Decoded) -> str:
    """Return what a cached value says, in words."""
    match decoded:
        case None | Slot.GARBAGE:
            return "not a value that a check would write; it counts as absent"
        case Slot.LOCKED:
            return "locked: a probe is under way"
        case Outcome(verdict, code):
            return _PROBE[verdict] + (f" ({code})" if code else "")
        case MxList(hosts):
            return "MX hosts, best first: " + ", ".join(f"{host.exchange} ({host.preference})" for host in hosts)
        case AddressList(families, ips):
            found = f"{', '.join(ips) or 'none'} ({_FAMILIES[families]} asked for)"
            return f"no MX, addresses: {found}" if layer == "d" else f"addresses: {found}"
        case verdict:
            return _DNS.get((layer, verdict), "DNS gave no answer")
