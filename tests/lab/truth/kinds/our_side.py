"""Nothing is known about the domain, since what fails is on our own side."""

from functools import partial

from tests.lab.truth.kind import Kind, OurSide

_GOOD = "@ MX 10 mx\nmx A {good}"
_kind = partial(Kind, group="our-side", unknowable="it is our own side that fails")

KINDS: tuple[Kind, ...] = (
    _kind("ours-port-dropped", about="A firewall of ours drops port 25.", records=_GOOD, our_side=OurSide.PORT_DROPPED),
    _kind(
        "ours-port-rejected",
        about="A firewall of ours rejects port 25.",
        records=_GOOD,
        our_side=OurSide.PORT_REJECTED,
    ),
    _kind("ours-no-route", about="We have no route to the Internet.", records=_GOOD, our_side=OurSide.NO_ROUTE),
    _kind(
        "ours-no-descriptors",
        about="We have no file descriptor left for a connection.",
        records=_GOOD,
        our_side=OurSide.NO_DESCRIPTORS,
    ),
    _kind("ours-resolver-dead", about="Our resolver does not answer.", records=_GOOD, our_side=OurSide.RESOLVER_DEAD),
)
