"""Domains whose first address takes the mail: each of them marked bad is a false alarm."""

from functools import partial

from tests.lab.truth.kind import Kind

_kind = partial(Kind, group="sound")

KINDS: tuple[Kind, ...] = (
    _kind("sound-one", about="One MX with one address that takes mail.", records="@ MX 10 mx\nmx A {good}"),
    _kind(
        "sound-backup",
        about="Two MX, both of which take mail.",
        records="@ MX 10 mx1\n@ MX 20 mx2\nmx1 A {good}\nmx2 A {good.2}",
    ),
    _kind(
        "sound-equal-preferences",
        about="Three MX of the same preference, as large providers have them; all of them take mail.",
        records="@ MX 10 a\n@ MX 10 b\n@ MX 10 c\na A {good}\nb A {good.2}\nc A {good.3}",
    ),
    _kind(
        "sound-many-addresses",
        about="One MX with 30 addresses, each of which takes mail.",
        records=("@ MX 10 mx\n" + "\n".join(f"mx A {{good.{number}}}" for number in range(1, 31))),
    ),
    _kind(
        "sound-many-hosts",
        about="50 MX, all of which take mail.",
        records="\n".join(f"@ MX {number} mx{number}\nmx{number} A {{good.{number}}}" for number in range(1, 51)),
    ),
)
