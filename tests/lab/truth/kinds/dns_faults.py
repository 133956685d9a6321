"""Name servers that fail, or answer in ways that take a resolver some work."""

from functools import partial

from tests.lab.truth.kind import Kind

_kind = partial(Kind, group="dns")
_GOOD = "@ MX 10 mx\nmx A {good}"
_MAY_PASS = "a failure of DNS that may pass: the host behind it takes mail"

_FAILS = {
    "servfail": "answers with SERVFAIL",
    "refused": "refuses to answer",
    "drop": "does not answer",
    "formerr": "answers with FORMERR",
    "garbage": "answers with something that is no DNS message",
}

_WORKS_OUT = {
    "servfail-once": "fails at the first question and answers the second",
    "slow-3": "takes 3 s to answer",
    "truncated": "truncates its answer over UDP and gives it over TCP",
    "no-edns": "knows no EDNS",
}

KINDS: tuple[Kind, ...] = (
    *(
        _kind(
            f"dns-{fault}-mx",
            about=f"The name server {what} when asked for the MX.",
            records=_GOOD,
            dns={("@", "MX"): fault},
            unknowable=_MAY_PASS,
        )
        for fault, what in _FAILS.items()
    ),
    *(
        _kind(
            f"dns-{fault}-host",
            about=f"The name server {what} when asked for the address of the only MX.",
            records=_GOOD,
            dns={("mx", "A"): fault},
            unknowable=_MAY_PASS,
        )
        for fault, what in _FAILS.items()
        if fault in ("servfail", "drop")
    ),
    *(
        _kind(f"dns-{fault}", about=f"The name server {what}.", records=_GOOD, dns={("@", "MX"): fault})
        for fault, what in _WORKS_OUT.items()
    ),
    _kind(
        "dns-servfail-all",
        about="The name server answers every question about the domain with SERVFAIL.",
        records=_GOOD,
        dns={("@", "*"): "servfail", ("mx", "*"): "servfail"},
        unknowable=_MAY_PASS,
    ),
    _kind(
        "dns-servfail-mx-implicit",
        about="The name server fails when asked for the MX, and the domain's own address would take mail.",
        records="@ A {good}",
        dns={("@", "MX"): "servfail"},
        unknowable="a failure of DNS that may pass: there may be an MX",
    ),
    _kind(
        "dns-servfail-mx-parked",
        about="The name server fails when asked for the MX, and the domain's own address refuses.",
        records="@ A {refused}",
        dns={("@", "MX"): "servfail"},
        unknowable="a failure of DNS that may pass: there may be an MX",
    ),
    _kind(
        "dns-servfail-implicit",
        about="There is no MX, and the name server fails when asked for the domain's own address.",
        records="@ A {good}",
        dns={("@", "A"): "servfail"},
        unknowable=_MAY_PASS,
    ),
    _kind(
        "dns-servfail-host-and-dead",
        about="The name server fails for the address of the first MX, and the second refuses.",
        records="@ MX 10 a\n@ MX 20 b\na A {good}\nb A {refused}",
        dns={("a", "A"): "servfail"},
        unknowable=_MAY_PASS,
    ),
    _kind(
        "dns-servfail-last-host",
        about="The first MX takes mail, and the name server fails for the address of the second.",
        records="@ MX 10 a\n@ MX 20 b\na A {good}\nb A {good.2}",
        dns={("b", "A"): "servfail"},
    ),
    _kind(
        "dns-servfail-aaaa",
        about="The name server answers for the address of the MX, but fails when asked for an IPv6 one.",
        records=_GOOD,
        dns={("mx", "AAAA"): "servfail"},
    ),
    _kind(
        "dns-truncated-host",
        about="The 30 addresses of the only MX come over TCP only.",
        records="@ MX 10 mx\n" + "\n".join(f"mx A {{good.{n}}}" for n in range(1, 31)),
        dns={("mx", "A"): "truncated"},
    ),
    _kind(
        "dns-truncated-large",
        about="50 MX with long names, whose records come over TCP only; all of them take mail.",
        records="\n".join(
            f"@ MX {n} mx{n}.a-long-name-for-the-sake-of-it\nmx{n}.a-long-name-for-the-sake-of-it A {{good.{n}}}"
            for n in range(1, 51)
        ),
        dns={("@", "MX"): "truncated"},
    ),
    _kind(
        "dns-truncated-only",
        about="The name server truncates its answer over UDP, and a firewall keeps TCP from it.",
        records=_GOOD,
        dns={("@", "MX"): "truncated-only"},
        unknowable="the records are there for whoever reaches the server over TCP",
    ),
    _kind(
        "dns-large-txt",
        about="The domain has 6 KB of TXT records besides an MX that takes mail.",
        records=_GOOD + "\n" + "\n".join(f'@ TXT "{n:02}-{"x" * 240}"' for n in range(25)),
    ),
    _kind("dns-delegated", about="The domain is a zone of its own.", records=_GOOD, dns={("@", "*"): "delegated"}),
    _kind(
        "dns-half-lame",
        about="One of the domain's two name servers does not know it.",
        records=_GOOD,
        dns={("@", "*"): "half-lame"},
    ),
    _kind(
        "dns-lame",
        about="The domain is delegated to name servers that refuse to answer for it.",
        records=_GOOD,
        dns={("@", "*"): "lame"},
    ),
    _kind(
        "dns-lame-drop",
        about="The domain is delegated to name servers that are gone.",
        records=_GOOD,
        dns={("@", "*"): "lame-drop"},
    ),
    _kind(
        "dns-bogus",
        about="The domain's signatures do not fit its key (DNSSEC), and our resolver validates.",
        records=_GOOD,
        dns={("@", "*"): "bogus"},
    ),
)
