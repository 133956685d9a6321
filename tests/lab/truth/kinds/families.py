"""IPv6: hosts that have nothing else, hosts where it is broken, and ourselves with and without it."""

from functools import partial

from tests.lab.truth.kind import Kind, OurSide

_kind = partial(Kind, group="families")
_dual = partial(_kind, our_side=OurSide.DUAL_STACK)
_v6_only = partial(_kind, our_side=OurSide.V6_ONLY)
_NO_IPV6 = "who has IPv6 can deliver, and we have none"

_BROKEN_V6 = {
    "ula": ("fd12:3456:789a::25", "a unique local IPv6 address (RFC 4193)"),
    "documentation": ("2001:db8::25", "an IPv6 address reserved for documentation (RFC 3849)"),
    "link-local": ("fe80::25", "a link-local IPv6 address"),
    "loopback": ("::1", "the IPv6 loopback address"),
    "unspecified": ("::", "the unspecified IPv6 address"),
    "6to4": ("2002:cb00:7119::25", "a 6to4 address, to which no relay is left"),
}

KINDS: tuple[Kind, ...] = (
    _kind(
        "v4-aaaa-only",
        about="The only MX has an IPv6 address only, which takes mail; we have IPv4 only.",
        records="@ MX 10 mx\nmx AAAA {good.v6}",
        unknowable=_NO_IPV6,
    ),
    _kind(
        "v4-implicit-aaaa-only",
        about="No MX, and the domain's own address is an IPv6 one that takes mail; we have IPv4 only.",
        records="@ AAAA {good.v6}",
        unknowable=_NO_IPV6,
    ),
    _kind(
        "v4-aaaa-only-then-good",
        about="The first MX has an IPv6 address only, the second an IPv4 one that takes mail; we have IPv4 only.",
        records="@ MX 10 a\n@ MX 20 b\na AAAA {good.v6}\nb A {good}",
    ),
    _kind(
        "v4-aaaa-only-then-refused",
        about="The first MX has an IPv6 address only, the second refuses on IPv4; we have IPv4 only.",
        records="@ MX 10 a\n@ MX 20 b\na AAAA {good.v6}\nb A {refused}",
        unknowable=_NO_IPV6,
    ),
    _kind(
        "v4-dead-aaaa-good",
        about="The MX refuses on IPv4 and takes mail on IPv6; we have IPv4 only.",
        records="@ MX 10 mx\nmx A {refused}\nmx AAAA {good.v6}",
        unknowable=_NO_IPV6,
    ),
    _kind(
        "v4-broken-aaaa",
        about="The MX takes mail on IPv4 and does not answer on IPv6; we have IPv4 only.",
        records="@ MX 10 mx\nmx A {good}\nmx AAAA {blackhole.v6}",
    ),
    _kind(
        "v4-mapped",
        about="The MX has nothing but an IPv4 address in the form of an IPv6 one (::ffff:…); we have IPv4 only.",
        records="@ MX 10 mx\nmx AAAA ::ffff:{good}",
    ),
    _dual("dual-good", about="The MX takes mail on both.", records="@ MX 10 mx\nmx A {good}\nmx AAAA {good.v6}"),
    _dual("dual-a-only", about="The MX has IPv4 only, we have both.", records="@ MX 10 mx\nmx A {good}"),
    _dual("dual-aaaa-only", about="The MX has IPv6 only, we have both.", records="@ MX 10 mx\nmx AAAA {good.v6}"),
    _dual(
        "dual-implicit-aaaa-only",
        about="No MX, and the domain's own address is an IPv6 one that takes mail; we have both.",
        records="@ AAAA {good.v6}",
    ),
    _dual(
        "dual-aaaa-only-refused",
        about="The MX has IPv6 only and refuses, we have both.",
        records="@ MX 10 mx\nmx AAAA {refused.v6}",
    ),
    *(
        _dual(
            f"dual-{dead}-v6",
            about=f"The MX takes mail on IPv4; its IPv6 address {what}.",
            records=f"@ MX 10 mx\nmx A {{good}}\nmx AAAA {{{dead}.v6}}",
        )
        for dead, what in (
            ("refused", "refuses"),
            ("blackhole", "does not answer"),
            ("unreachable", "is reported as unreachable"),
        )
    ),
    *(
        _dual(
            f"dual-{dead}-v4",
            about=f"The MX takes mail on IPv6; its IPv4 address {what}.",
            records=f"@ MX 10 mx\nmx A {{{dead}}}\nmx AAAA {{good.v6}}",
        )
        for dead, what in (("refused", "refuses"), ("blackhole", "does not answer"))
    ),
    *(
        _dual(
            f"dual-{name}-and-good",
            about=f"The MX takes mail on IPv4, and has {what} besides.",
            records=f"@ MX 10 mx\nmx A {{good}}\nmx AAAA {address}",
        )
        for name, (address, what) in _BROKEN_V6.items()
    ),
    _dual(
        "dual-both-dead",
        about="The MX refuses on IPv4 and does not answer on IPv6.",
        records="@ MX 10 mx\nmx A {refused}\nmx AAAA {blackhole.v6}",
    ),
    _dual(
        "dual-both-dead-backup",
        about="The first MX is dead on both, the second takes mail on both.",
        records=("@ MX 10 a\n@ MX 20 b\na A {refused}\na AAAA {refused.v6}\nb A {good}\nb AAAA {good.v6}"),
    ),
    _dual(
        "dual-three-dead-v6",
        about="The MX has three IPv6 addresses that refuse and an IPv4 one that takes mail.",
        records="@ MX 10 mx\nmx AAAA {refused.v6}\nmx AAAA {refused.2.v6}\nmx AAAA {refused.3.v6}\nmx A {good}",
    ),
    _dual(
        "dual-three-dead-v4",
        about="The MX has three IPv4 addresses that refuse and an IPv6 one that takes mail.",
        records="@ MX 10 mx\nmx A {refused}\nmx A {refused.2}\nmx A {refused.3}\nmx AAAA {good.v6}",
    ),
    _dual(
        "dual-v6-first-dead",
        about="The first MX has IPv6 only and does not answer, the second has IPv4 only and takes mail.",
        records="@ MX 10 a\n@ MX 20 b\na AAAA {blackhole.v6}\nb A {good}",
    ),
    _dual(
        "dual-servfail-aaaa",
        about="The MX takes mail on IPv4, and the name server fails when asked for an IPv6 address.",
        records="@ MX 10 mx\nmx A {good}",
        dns={("mx", "AAAA"): "servfail"},
    ),
    _dual(
        "dual-nxdomain-aaaa",
        about="The MX takes mail on IPv4, and a load balancer denies its name when asked for an IPv6 address.",
        records="@ MX 10 mx\nmx A {good}",
        dns={("mx", "AAAA"): "nxdomain"},
    ),
    _dual(
        "dual-drop-aaaa",
        about="The MX takes mail on IPv4, and the name server does not answer when asked for an IPv6 address.",
        records="@ MX 10 mx\nmx A {good}",
        dns={("mx", "AAAA"): "drop"},
    ),
    _dual(
        "dual-nat64-published",
        about="The MX has an IPv6 address of somebody's NAT64 in DNS (64:ff9b::/96), and takes mail on IPv4.",
        records="@ MX 10 mx\nmx A {good}\nmx AAAA 64:ff9b::{good}",
    ),
    _dual(
        "dual-mapped-and-good",
        about="The MX has its IPv4 address in the form of an IPv6 one (::ffff:…) besides, and takes mail on IPv4.",
        records="@ MX 10 mx\nmx A {good}\nmx AAAA ::ffff:{good}",
    ),
    _v6_only(
        "nat64-good", about="The MX has IPv4 only; we have IPv6 only, with NAT64.", records="@ MX 10 mx\nmx A {good}"
    ),
    _v6_only(
        "nat64-aaaa-good",
        about="The MX has both and takes mail on IPv6; we have IPv6 only, with NAT64.",
        records="@ MX 10 mx\nmx A {refused}\nmx AAAA {good.v6}",
    ),
    _v6_only(
        "nat64-implicit-good",
        about="No MX, and the domain's own IPv4 address takes mail; we have IPv6 only, with NAT64.",
        records="@ A {good}",
    ),
    _v6_only(
        "nat64-refused",
        about="The MX has IPv4 only and refuses; we have IPv6 only, with NAT64.",
        records="@ MX 10 mx\nmx A {refused}",
    ),
    _v6_only(
        "nat64-first-refused",
        about="The first MX refuses, the second takes mail, both on IPv4; we have IPv6 only, with NAT64.",
        records="@ MX 10 a\n@ MX 20 b\na A {refused}\nb A {good}",
    ),
    _v6_only(
        "nat64-private",
        about="The MX has a private IPv4 address only; we have IPv6 only, with NAT64.",
        records="@ MX 10 mx\nmx A 10.1.2.3",
    ),
)
