"""What a kind of mail domain is made of: records, who stands behind the addresses, what is wrong on our side."""

from dataclasses import dataclass, field
from enum import StrEnum


class Truth(StrEnum):
    """Whether an MTA that follows the standards can deliver to a domain."""

    YES = "yes"
    NO = "no"
    UNKNOWABLE = "unknowable"
    """Not from here, or not now: our own fault, a passing one of DNS, or a host that turns just us away."""


class OurSide(StrEnum):
    """In what state our own side is while a kind is looked at."""

    SOUND = "sound"
    DUAL_STACK = "IPv4 and IPv6"
    V6_ONLY = "IPv6 only, with DNS64 and NAT64"
    PORT_DROPPED = "a firewall drops port 25 outwards"
    PORT_REJECTED = "a firewall rejects port 25 outwards"
    NO_ROUTE = "no route"
    NO_DESCRIPTORS = "no file descriptors left"
    RESOLVER_DEAD = "the resolver does not answer"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of mail domain.

    `name` is unique, of `[a-z0-9-]`; the domain is `<name>.<zone of the world>`, or `recipient_domain` if that is set.

    `records` is zone-file text, relative to the domain: `@ MX 10 mx` / `mx A {good}`. A placeholder stands for an
    address of its own, in a network of its own, with the behaviour it names (see `behaviours`): `{good}`, `{refused}`,
    `{good.2}` is another good one, `{good.v6}` an IPv6 one. The same placeholder is the same address.

    `dns` names, by (relative name, type), what the name server does in place of answering from the zone, such as
    `{("@", "MX"): "servfail"}` (see `behaviours`).

    `recipient_domain` may have placeholders, too, and `{domain}`, which is `<name>.<zone of the world>`.

    `message` is what the check is asked, as the fields of a request, with placeholders; without it, it is the sender
    `user@<recipient domain>`. It is for null senders, for which HELO stands in.

    `unknowable` is for kinds whose truth is not in Postfix's hands: it says why. Of all others Postfix tells.
    """

    name: str
    group: str
    about: str
    records: str = ""
    dns: dict[tuple[str, str], str] = field(default_factory=dict)
    our_side: OurSide = OurSide.SOUND
    recipient_domain: str | None = None
    message: dict[str, str] = field(default_factory=dict)
    unknowable: str | None = None

    @property
    def local_fault(self) -> bool:
        """Whether what is wrong is our own fault."""
        return self.our_side not in (OurSide.SOUND, OurSide.DUAL_STACK, OurSide.V6_ONLY)
