"""Real MTAs as they come."""

from functools import partial

from tests.lab.truth.kind import Kind

_kind = partial(Kind, group="mtas")

_MTAS = {
    "postfix": "Postfix",
    "postscreen": "Postfix with postscreen, which makes strangers wait",
    "exim": "Exim",
    "opensmtpd": "OpenSMTPD",
}

KINDS: tuple[Kind, ...] = (
    *(
        _kind(f"mta-{program}", about=f"The only MX is {name}.", records=f"@ MX 10 mx\nmx A {{{program}}}")
        for program, name in _MTAS.items()
    ),
    *(
        _kind(
            f"mta-{program}-after-{dead}",
            about=f"The first MX {what}, the second is {name}.",
            records=f"@ MX 10 a\n@ MX 20 b\na A {{{dead}}}\nb A {{{program}}}",
        )
        for program, dead, what in (
            ("postfix", "refused", "refuses"),
            ("postscreen", "blackhole", "does not answer"),
            ("exim", "silent", "never greets"),
            ("opensmtpd", "code-554", "greets with 554"),
        )
        for name in (_MTAS[program],)
    ),
    _kind(
        "mta-mixed",
        about="Four MX of the same preference, each of them another MTA.",
        records=(
            "@ MX 10 a\n@ MX 10 b\n@ MX 10 c\n@ MX 10 d\na A {postfix}\nb A {postscreen}\nc A {exim}\nd A {opensmtpd}"
        ),
    ),
    _kind("mta-implicit-postfix", about="No MX; Postfix is at the domain's own address.", records="@ A {postfix}"),
)
