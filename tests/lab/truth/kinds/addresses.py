"""One MX host with several addresses, some of which lead nowhere: a sender tries them all (RFC 5321 section 5.1)."""

from functools import partial

from tests.lab.truth.kind import Kind

_kind = partial(Kind, group="addresses")


def _one_host(*addresses: str) -> str:
    return "@ MX 10 mx\n" + "\n".join(f"mx A {address}" for address in addresses)


KINDS: tuple[Kind, ...] = (
    _kind(
        "addresses-one-of-two-refused", about="Of two addresses one refuses.", records=_one_host("{refused}", "{good}")
    ),
    _kind(
        "addresses-one-of-three-blackhole",
        about="Of three addresses one does not answer.",
        records=_one_host("{blackhole}", "{good}", "{good.2}"),
    ),
    _kind(
        "addresses-two-of-three-refused",
        about="Of three addresses two refuse.",
        records=_one_host("{refused}", "{refused.2}", "{good}"),
    ),
    _kind(
        "addresses-two-of-three-blackhole",
        about="Of three addresses two do not answer.",
        records=_one_host("{blackhole}", "{blackhole.2}", "{good}"),
    ),
    _kind(
        "addresses-one-of-three-421",
        about="Of three addresses one is overloaded and greets with 421.",
        records=_one_host("{code-421}", "{good}", "{good.2}"),
    ),
    _kind(
        "addresses-one-of-three-http",
        about="Of three addresses one is a web server.",
        records=_one_host("{http-400}", "{good}", "{good.2}"),
    ),
    _kind(
        "addresses-private-and-good",
        about="Split DNS gone wrong: a private address besides the public one that takes mail.",
        records=_one_host("10.1.2.3", "{good}"),
    ),
    _kind(
        "addresses-private-and-refused",
        about="A private address besides a public one that refuses.",
        records=_one_host("10.1.2.3", "{refused}"),
    ),
    _kind(
        "addresses-loopback-and-good",
        about="The loopback address besides a public one that takes mail.",
        records=_one_host("127.0.0.1", "{good}"),
    ),
    _kind(
        "addresses-two-private-and-good",
        about="Two private addresses besides a public one that takes mail.",
        records=_one_host("10.1.2.3", "192.168.0.25", "{good}"),
    ),
    _kind(
        "addresses-private-refused-backup",
        about="The first MX has a private address and one that refuses; the second takes mail.",
        records="@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 10.1.2.3\nmx1 A {refused}\nmx2 A {good}",
    ),
    _kind(
        "addresses-thirty-few-dead",
        about="Of 30 addresses three refuse.",
        records=_one_host(*(f"{{refused.{n}}}" for n in range(1, 4)), *(f"{{good.{n}}}" for n in range(1, 28))),
    ),
    _kind(
        "addresses-thirty-most-dead",
        about="Of 30 addresses 20 refuse.",
        records=_one_host(*(f"{{refused.{n}}}" for n in range(1, 21)), *(f"{{good.{n}}}" for n in range(1, 11))),
    ),
    _kind(
        "addresses-shared-by-both-mx",
        about="Two MX with the same two addresses, of which one refuses.",
        records="@ MX 10 a\n@ MX 20 b\na A {refused}\na A {good}\nb A {refused}\nb A {good}",
    ),
)
