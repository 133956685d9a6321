"""Domains whose best MX fails, or seems to, and whose backup takes mail: a sender tries it next (RFC 5321, 5.1)."""

from functools import partial

from tests.lab.truth.kind import Kind

_kind = partial(Kind, group="backup")

_FIRST_FAILS = {
    "refused": "refuses connections, as in nolisting on purpose or with the service down",
    "unreachable": "is reported as unreachable by a router",
    "prohibited": "is behind a firewall that says so",
    "blackhole": "does not answer any packet",
    "silent": "accepts and never greets",
    "eof": "accepts and closes at once",
    "reset": "accepts and resets the connection",
    "tarpit-30": "greets after half a minute only",
    "http-400": "is a web server, which calls the first line a bad request",
    "http": "is a web server, which waits for a request",
    "ssh": "is an SSH server",
    "garbage": "sends octets without meaning",
    "code-421": "greets with 421, as an MTA does under load",
    "code-450": "greets with 450",
    "code-521": "greets with 521, as a host that takes no mail should (RFC 7504)",
    "code-554": "greets with 554, as a host without SMTP service may (RFC 5321 section 3.1)",
    "blocklist-554": "greets with 554, for our address is on a blocklist",
    "code-250": "greets with 250 in place of 220",
    "mixed-codes": "begins its greeting with 220 and ends it with 554",
    "ehlo-eof": "greets with 220 and closes at EHLO",
    "ehlo-silent": "greets with 220 and says nothing to EHLO",
    "rcpt-550": "greets and then rejects every recipient, which leaves no reason to ask another",
    "rcpt-450": "greets and then puts every recipient off",
    "flaky": "refuses the first connection only",
}

_FIRST_IS_AT = {
    "private-10": ("10.1.2.3", "a private address (RFC 1918)"),
    "private-192": ("192.168.0.25", "an address of a home network (RFC 1918)"),
    "cgnat": ("100.64.1.2", "an address of carrier-grade NAT (RFC 6598)"),
    "loopback": ("127.0.0.1", "the loopback address"),
    "documentation": ("192.0.2.9", "an address reserved for documentation (RFC 5737)"),
    "link-local": ("169.254.7.7", "a link-local address (RFC 3927)"),
    "this-network": ("0.0.0.0", "0.0.0.0"),
    "multicast": ("224.0.0.25", "a multicast address"),
    "reserved": ("240.1.2.3", "an address of the reserved class E"),
}

KINDS: tuple[Kind, ...] = (
    *(
        _kind(
            f"backup-first-{behaviour}",
            about=f"The first MX {what}; the second takes mail.",
            records=f"@ MX 10 mx1\n@ MX 20 mx2\nmx1 A {{{behaviour}}}\nmx2 A {{good}}",
        )
        for behaviour, what in _FIRST_FAILS.items()
    ),
    *(
        _kind(
            f"backup-first-{name}",
            about=f"The first MX has nothing but {what}; the second takes mail.",
            records=f"@ MX 10 mx1\n@ MX 20 mx2\nmx1 A {address}\nmx2 A {{good}}",
        )
        for name, (address, what) in _FIRST_IS_AT.items()
    ),
    _kind(
        "backup-first-nxdomain",
        about="The first MX names a host that does not exist; the second takes mail.",
        records="@ MX 10 gone\n@ MX 20 mx2\nmx2 A {good}",
    ),
    _kind(
        "backup-first-nodata",
        about="The first MX names a host that has no address, but a TXT record; the second takes mail.",
        records='@ MX 10 mx1\n@ MX 20 mx2\nmx1 TXT "moved"\nmx2 A {good}',
    ),
    _kind(
        "backup-first-servfail",
        about="The name server fails for the address of the first MX; the second takes mail.",
        records="@ MX 10 mx1\n@ MX 20 mx2\nmx1 A {good.2}\nmx2 A {good}",
        dns={("mx1", "A"): "servfail"},
    ),
    _kind(
        "backup-first-servfail-second-refused",
        about="The address of the first MX cannot be looked up, the second refuses, the third takes mail.",
        records="@ MX 10 mx1\n@ MX 20 mx2\n@ MX 30 mx3\nmx1 A {good.2}\nmx2 A {refused}\nmx3 A {good}",
        dns={("mx1", "A"): "servfail"},
    ),
    _kind(
        "backup-first-dead-tld",
        about="The first MX is in a top-level domain that does not exist; the second takes mail.",
        records="@ MX 10 mail.example.invalid.\n@ MX 20 mx2\nmx2 A {good}",
    ),
    _kind(
        "backup-third",
        about="The first MX refuses, the second does not answer, the third takes mail.",
        records="@ MX 10 mx1\n@ MX 20 mx2\n@ MX 30 mx3\nmx1 A {refused}\nmx2 A {blackhole}\nmx3 A {good}",
    ),
    _kind(
        "backup-fourth",
        about="The first three MX refuse, the fourth takes mail.",
        records=(
            "@ MX 10 mx1\n@ MX 20 mx2\n@ MX 30 mx3\n@ MX 40 mx4\n"
            "mx1 A {refused}\nmx2 A {refused.2}\nmx3 A {refused.3}\nmx4 A {good}"
        ),
    ),
    _kind(
        "backup-fifth",
        about="The first four MX refuse, the fifth takes mail.",
        records=(
            "@ MX 10 mx1\n@ MX 20 mx2\n@ MX 30 mx3\n@ MX 40 mx4\n@ MX 50 mx5\n"
            "mx1 A {refused}\nmx2 A {refused.2}\nmx3 A {refused.3}\nmx4 A {refused.4}\nmx5 A {good}"
        ),
    ),
    _kind(
        "backup-fourth-of-mixed",
        about="A dead name, a private address and a silent host come before the fourth MX, which takes mail.",
        records=(
            "@ MX 10 gone\n@ MX 20 mx2\n@ MX 30 mx3\n@ MX 40 mx4\nmx2 A 10.1.2.3\nmx3 A {blackhole}\nmx4 A {good}"
        ),
    ),
    _kind(
        "backup-tenth",
        about="Nine MX refuse and the tenth takes mail.",
        records="\n".join(f"@ MX {n} mx{n}\nmx{n} A {{refused.{n}}}" for n in range(1, 10))
        + "\n@ MX 10 mx10\nmx10 A {good}",
    ),
    _kind(
        "backup-equal-half-dead",
        about="Two MX of the same preference, of which one refuses.",
        records="@ MX 10 mx1\n@ MX 10 mx2\nmx1 A {refused}\nmx2 A {good}",
    ),
    _kind(
        "backup-equal-third-dead",
        about="Three MX of the same preference, of which one does not answer.",
        records="@ MX 10 a\n@ MX 10 b\n@ MX 10 c\na A {blackhole}\nb A {good}\nc A {good.2}",
    ),
    _kind(
        "backup-equal-one-alive",
        about="Three MX of the same preference, of which only one takes mail.",
        records="@ MX 10 a\n@ MX 10 b\n@ MX 10 c\na A {blackhole}\nb A {refused}\nc A {good}",
    ),
    _kind(
        "backup-unlisting",
        about="The first and the last of three MX refuse on purpose (unlisting), the second takes mail.",
        records="@ MX 10 mx1\n@ MX 20 mx2\n@ MX 30 mx3\nmx1 A {refused}\nmx2 A {good}\nmx3 A {refused.2}",
    ),
    _kind(
        "backup-underscore",
        about="The first MX has a leading underscore, as cPanel makes them, and refuses; the second takes mail.",
        records="@ MX 0 _dc-mx.3f2a9c1b7d\n@ MX 10 mx2\n_dc-mx.3f2a9c1b7d A {refused}\nmx2 A {good}",
    ),
    _kind(
        "backup-dead-last",
        about="The first MX takes mail, the second has been dead for years.",
        records="@ MX 10 mx1\n@ MX 20 mx2\nmx1 A {good}\nmx2 A {blackhole}",
    ),
)
