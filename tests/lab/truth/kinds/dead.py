"""Domains that nobody can deliver to: each of them marked bad is a true alarm."""

from functools import partial

from tests.lab.truth.kind import Kind

_kind = partial(Kind, group="dead")

_ONLY_HOST = {
    "refused": "refuses connections",
    "unreachable": "is reported as unreachable by a router",
    "prohibited": "is behind a firewall that says so",
    "blackhole": "does not answer any packet",
    "silent": "accepts and never greets",
    "eof": "accepts and closes at once",
    "reset": "accepts and resets the connection",
    "http": "is a web server, which waits for a request",
    "http-400": "is a web server, which calls the first line a bad request",
    "code-521": "greets with 521, as a host that takes no mail should (RFC 7504)",
    "ehlo-eof": "greets with 220 and closes at EHLO",
    "ehlo-silent": "greets with 220 and says nothing to EHLO",
    "rcpt-550": "greets and then rejects every recipient",
}

_ONLY_AT = {
    "private": ("10.1.2.3", "a private address (RFC 1918)"),
    "cgnat": ("100.64.1.2", "an address of carrier-grade NAT (RFC 6598)"),
    "loopback": ("127.0.0.1", "the loopback address"),
    "documentation": ("192.0.2.9", "an address reserved for documentation (RFC 5737)"),
    "this-network": ("0.0.0.0", "0.0.0.0"),
    "broadcast": ("255.255.255.255", "the broadcast address"),
}

KINDS: tuple[Kind, ...] = (
    *(
        _kind(f"dead-{behaviour}", about=f"The only MX {what}.", records=f"@ MX 10 mx\nmx A {{{behaviour}}}")
        for behaviour, what in _ONLY_HOST.items()
    ),
    *(
        _kind(f"dead-at-{name}", about=f"The only MX has nothing but {what}.", records=f"@ MX 10 mx\nmx A {address}")
        for name, (address, what) in _ONLY_AT.items()
    ),
    _kind("dead-host-nxdomain", about="The only MX names a host that does not exist.", records="@ MX 10 gone"),
    _kind(
        "dead-host-nodata",
        about="The only MX names a host without an address.",
        records='@ MX 10 mx\nmx TXT "moved"',
    ),
    _kind(
        "dead-host-dead-tld",
        about="The only MX is in a top-level domain that does not exist.",
        records="@ MX 10 mail.example.invalid.",
    ),
    _kind(
        "dead-hosts-nxdomain",
        about="Three MX that all name hosts that do not exist.",
        records="@ MX 10 gone1\n@ MX 20 gone2\n@ MX 30 gone3",
    ),
    _kind(
        "dead-three-refused",
        about="Three MX, all of which refuse.",
        records="@ MX 10 a\n@ MX 20 b\n@ MX 30 c\na A {refused}\nb A {refused.2}\nc A {refused.3}",
    ),
    _kind(
        "dead-four-blackhole",
        about="Four MX, none of which answers.",
        records=(
            "@ MX 10 a\n@ MX 20 b\n@ MX 30 c\n@ MX 40 d\n"
            "a A {blackhole}\nb A {blackhole.2}\nc A {blackhole.3}\nd A {blackhole.4}"
        ),
    ),
    _kind(
        "dead-four-ways",
        about="Four MX that are dead in four ways: a name without address, refused, no answer, 521.",
        records=("@ MX 10 gone\n@ MX 20 b\n@ MX 30 c\n@ MX 40 d\nb A {refused}\nc A {blackhole}\nd A {code-521}"),
    ),
    _kind(
        "dead-mx-own-address-good",
        about="The only MX refuses, and the domain's own address would take mail, but is no MX.",
        records="@ MX 10 mx\n@ A {good}\nmx A {refused}",
    ),
    _kind(
        "dead-host-nxdomain-own-address-good",
        about="The only MX names no host that exists; the domain's own address would take mail, but is no MX.",
        records="@ MX 10 gone\n@ A {good}",
    ),
    _kind(
        "dead-refused-and-private",
        about="The first MX refuses, the second has a private address.",
        records="@ MX 10 a\n@ MX 20 b\na A {refused}\nb A 10.1.2.3",
    ),
    _kind(
        "dead-private-and-refused",
        about="The first MX has a private address, the second refuses.",
        records="@ MX 10 a\n@ MX 20 b\na A 10.1.2.3\nb A {refused}",
    ),
    _kind(
        "dead-addresses-three-ways",
        about="One MX whose three addresses refuse, do not answer, and speak HTTP.",
        records="@ MX 10 mx\nmx A {refused}\nmx A {blackhole}\nmx A {http-400}",
    ),
)
