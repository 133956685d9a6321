"""One MX that accepts connections, and what it says on them: slow, odd, busy, or another protocol altogether."""

from functools import partial

from tests.lab.truth.kind import Kind

_kind = partial(Kind, group="greetings")
_US = "it is our address that the host turns away, others may deliver"

_SAYS = {
    "tarpit-5": "greets after 5 s, as a tarpit or a slow reverse lookup makes it",
    "tarpit-10": "greets after 10 s",
    "tarpit-30": "greets after 30 s, within the five minutes of RFC 5321 section 4.5.3.2.1",
    "slow-line-5": "sends the second line of its greeting after 5 s, as postscreen does",
    "slow-line-30": "sends the second line of its greeting after 30 s",
    "trickle": "greets octet by octet",
    "multi-line": "greets with several lines",
    "lf-only": "ends its lines with LF in place of CRLF",
    "bare-code": "greets with `220` and nothing else in the line",
    "long-line": "greets with a line of 2000 octets",
    "nul-bytes": "has NUL octets in its greeting",
    "code-200": "greets with 200",
    "code-250": "greets with 250",
    "mixed-codes": "begins its greeting with 220 and ends it with 554",
    "code-421": "greets with 421 whenever one comes",
    "code-450": "greets with 450 whenever one comes",
    "code-451": "greets with 451 whenever one comes",
    "code-550": "greets with 550",
    "code-554": "greets with 554, as a host without SMTP service may (RFC 5321 section 3.1)",
    "once-421": "is busy and greets with 421, but takes mail at the next try",
    "once-450": "greets with 450, but takes mail at the next try",
    "flaky": "refuses the first connection, but takes mail at the next try",
    "greylist": "answers the first try to send mail with 450 at RCPT, and takes it at the next (greylisting)",
    "helo-only": "knows HELO only, and no EHLO",
    "ehlo-reset": "greets with 220 and resets the connection at EHLO",
    "rcpt-450": "greets and then puts every recipient off",
    "ssh": "is an SSH server",
    "pop3": "is a POP3 server, which greets with +OK",
    "ftp": "is an FTP server, which greets with 220 as well",
    "tls": "speaks TLS from the first octet",
    "garbage": "sends octets without meaning",
}

KINDS: tuple[Kind, ...] = (
    *(
        _kind(f"greets-{behaviour}", about=f"The only MX {what}.", records=f"@ MX 10 mx\nmx A {{{behaviour}}}")
        for behaviour, what in _SAYS.items()
    ),
    *(
        _kind(
            f"greets-blocklist-{code}",
            about=f"The only MX greets with {code}, for our address is on a blocklist.",
            records=f"@ MX 10 mx\nmx A {{blocklist-{code}}}",
            unknowable=_US,
        )
        for code in (421, 550, 554)
    ),
    _kind(
        "greets-blocklist-both",
        about="Both MX greet with 554, for our address is on a blocklist.",
        records="@ MX 10 a\n@ MX 20 b\na A {blocklist-554}\nb A {blocklist-554.2}",
        unknowable=_US,
    ),
    _kind(
        "greets-blocklist-then-refused",
        about="The first MX greets with 554, for our address is on a blocklist; the second refuses.",
        records="@ MX 10 a\n@ MX 20 b\na A {blocklist-554}\nb A {refused}",
        unknowable=_US,
    ),
    _kind(
        "greets-421-both",
        about="Both MX are busy and greet with 421, but take mail at the next try.",
        records="@ MX 10 a\n@ MX 20 b\na A {once-421}\nb A {once-421.2}",
    ),
    _kind(
        "greets-tarpit-both",
        about="Both MX greet after 10 s.",
        records="@ MX 10 a\n@ MX 20 b\na A {tarpit-10}\nb A {tarpit-10.2}",
    ),
    _kind(
        "greets-tarpit-last-dead",
        about="The first MX greets after 10 s, the second does not answer.",
        records="@ MX 10 a\n@ MX 20 b\na A {tarpit-10}\nb A {blackhole}",
    ),
)
