"""Our own side fails: nothing of the domain can be known but what its records alone say."""

from functools import partial

from tests.lab.truth.kind import Kind, OurSide

_GOOD = "@ MX 10 mx\nmx A {good}"
_kind = partial(Kind, group="our-side")
_unknowable = partial(_kind, unknowable="it is our own side that fails")

KINDS: tuple[Kind, ...] = (
    _unknowable(
        "ours-port-dropped", about="A firewall of ours drops port 25.", records=_GOOD, our_side=OurSide.PORT_DROPPED
    ),
    _unknowable(
        "ours-port-dropped-three-mx",
        about="A firewall of ours drops port 25, and the domain has three MX.",
        records="@ MX 10 a\n@ MX 20 b\n@ MX 30 c\na A {good}\nb A {good.2}\nc A {good.3}",
        our_side=OurSide.PORT_DROPPED,
    ),
    _unknowable(
        "ours-port-dropped-implicit",
        about="A firewall of ours drops port 25, and the domain has no MX but an address.",
        records="@ A {good}",
        our_side=OurSide.PORT_DROPPED,
    ),
    _unknowable(
        "ours-port-dropped-refused",
        about="A firewall of ours drops port 25, and the MX would refuse.",
        records="@ MX 10 mx\nmx A {refused}",
        our_side=OurSide.PORT_DROPPED,
    ),
    _kind(
        "ours-port-dropped-null-mx",
        about="A firewall of ours drops port 25, but a Null MX speaks for itself.",
        records="@ MX 0 .",
        our_side=OurSide.PORT_DROPPED,
    ),
    _kind(
        "ours-port-dropped-nxdomain",
        about="A firewall of ours drops port 25, but that there is no such domain can be known.",
        our_side=OurSide.PORT_DROPPED,
    ),
    _unknowable(
        "ours-port-rejected", about="A firewall of ours rejects port 25.", records=_GOOD, our_side=OurSide.PORT_REJECTED
    ),
    _unknowable(
        "ours-port-rejected-three-mx",
        about="A firewall of ours rejects port 25, and the domain has three MX.",
        records="@ MX 10 a\n@ MX 20 b\n@ MX 30 c\na A {good}\nb A {good.2}\nc A {good.3}",
        our_side=OurSide.PORT_REJECTED,
    ),
    _unknowable("ours-no-route", about="We have no route to the Internet.", records=_GOOD, our_side=OurSide.NO_ROUTE),
    _unknowable(
        "ours-no-descriptors",
        about="We have no file descriptor left for a connection.",
        records=_GOOD,
        our_side=OurSide.NO_DESCRIPTORS,
    ),
    _unknowable(
        "ours-resolver-dead", about="Our resolver does not answer.", records=_GOOD, our_side=OurSide.RESOLVER_DEAD
    ),
    _unknowable(
        "ours-resolver-dead-null-mx",
        about="Our resolver does not answer, so that not even a Null MX can be known.",
        records="@ MX 0 .",
        our_side=OurSide.RESOLVER_DEAD,
    ),
)
