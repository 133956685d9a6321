"""Domains without MX records: their own address is the implicit MX (RFC 5321 section 5.1), if they have one."""

from functools import partial

from tests.lab.truth.kind import Kind

_kind = partial(Kind, group="implicit")

KINDS: tuple[Kind, ...] = (
    _kind("implicit-good", about="No MX; the domain's own address takes mail.", records="@ A {good}"),
    _kind(
        "implicit-one-of-three-refused",
        about="No MX; of the domain's three addresses one refuses.",
        records="@ A {refused}\n@ A {good}\n@ A {good.2}",
    ),
    _kind(
        "implicit-parked",
        about="A parked domain: no MX, and an address at which the port is closed.",
        records="@ A {refused}",
    ),
    _kind(
        "implicit-parked-filtered",
        about="A parked domain: no MX, and an address whose firewall drops the port.",
        records="@ A {blackhole}",
    ),
    _kind("implicit-web-server", about="No MX; a web server has the domain's port 25.", records="@ A {http-400}"),
    _kind("implicit-tarpit-10", about="No MX; the domain's address greets after 10 s.", records="@ A {tarpit-10}"),
    _kind("implicit-private", about="No MX; the domain's address is private.", records="@ A 192.168.0.25"),
    _kind("implicit-loopback", about="No MX; the domain's address is the loopback address.", records="@ A 127.0.0.1"),
    _kind("implicit-521", about="No MX; the domain's address greets with 521 (RFC 7504).", records="@ A {code-521}"),
    _kind("implicit-txt-only", about="The domain has a TXT record and nothing else.", records='@ TXT "v=spf1 -all"'),
    _kind(
        "implicit-soa-only",
        about="The domain is a zone of its own with nothing in it but SOA and NS.",
        dns={("@", "*"): "delegated"},
    ),
    _kind("implicit-nxdomain", about="The domain does not exist."),
    _kind(
        "implicit-empty",
        about="The domain exists only because a name below it does (RFC 8020).",
        records="www A {good}",
    ),
    _kind(
        "implicit-wildcard-parked",
        about="A registrar's wildcard answers for every name with an address that refuses.",
        records="* A {refused}\n@ A {refused}",
    ),
    _kind(
        "implicit-sub-of-good",
        about="The sender writes from a subdomain without records, whose parent has a good MX.",
        records="@ MX 10 mx\nmx A {good}",
        recipient_domain="newsletter.{domain}",
    ),
    _kind(
        "implicit-sub-by-wildcard-mx",
        about="The sender writes from a subdomain that a wildcard MX covers.",
        records="@ MX 10 mx\n* MX 10 mx\nmx A {good}",
        recipient_domain="bounces.{domain}",
    ),
)
