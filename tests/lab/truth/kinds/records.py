"""What stands in MX records, and should not, or seldom does."""

from functools import partial

from tests.lab.truth.kind import Kind

_kind = partial(Kind, group="records")

KINDS: tuple[Kind, ...] = (
    _kind("null-mx", about="A Null MX: the domain takes no mail (RFC 7505).", records="@ MX 0 ."),
    _kind(
        "null-mx-with-address",
        about="A Null MX on a domain whose address would take mail.",
        records="@ MX 0 .\n@ A {good}",
    ),
    _kind(
        "null-mx-and-good",
        about="A Null MX together with an MX that takes mail, which RFC 7505 forbids.",
        records="@ MX 0 .\n@ MX 10 mx\nmx A {good}",
    ),
    _kind("null-mx-preference-5", about="`MX 5 .`: almost a Null MX.", records="@ MX 5 ."),
    _kind("null-mx-twice", about="Two MX records with the root for a target.", records="@ MX 0 .\n@ MX 10 ."),
    _kind("mx-localhost", about="The only MX is `localhost.`.", records="@ MX 10 localhost."),
    _kind(
        "mx-localhost-and-good",
        about="The first MX is `localhost.`, the second takes mail.",
        records="@ MX 10 localhost.\n@ MX 20 mx\nmx A {good}",
    ),
    _kind("mx-0-0-0-0", about="The only MX is `0.0.0.0.`.", records="@ MX 10 0.0.0.0."),
    _kind(
        "mx-is-an-address",
        about="The only MX is an IPv4 address in place of a name, and a good one at that.",
        records="@ MX 10 {good}.",
    ),
    _kind(
        "mx-is-an-address-refused",
        about="The only MX is an IPv4 address in place of a name, and refuses.",
        records="@ MX 10 {refused}.",
    ),
    _kind(
        "mx-is-a-private-address",
        about="The only MX is a private IPv4 address in place of a name.",
        records="@ MX 10 192.168.0.25.",
    ),
    _kind(
        "mx-is-an-address-and-good",
        about="The first MX is an IPv4 address in place of a name, the second takes mail.",
        records="@ MX 10 {good.2}.\n@ MX 20 mx\nmx A {good}",
    ),
    _kind(
        "mx-cname",
        about="The MX is an alias (against RFC 2181 section 10.3) of a host that takes mail.",
        records="@ MX 10 mx\nmx CNAME real\nreal A {good}",
    ),
    _kind(
        "mx-cname-chain",
        about="The MX is an alias of an alias of an alias of a host that takes mail.",
        records="@ MX 10 mx\nmx CNAME a\na CNAME b\nb CNAME real\nreal A {good}",
    ),
    _kind(
        "mx-cname-loop",
        about="The MX is an alias that leads back to itself.",
        records="@ MX 10 a\na CNAME b\nb CNAME a",
    ),
    _kind("mx-cname-dangling", about="The MX is an alias of nothing.", records="@ MX 10 mx\nmx CNAME gone"),
    _kind(
        "mx-cname-dangling-and-good",
        about="The first MX is an alias of nothing, the second takes mail.",
        records="@ MX 10 mx\n@ MX 20 mx2\nmx CNAME gone\nmx2 A {good}",
    ),
    _kind(
        "domain-cname",
        about="The domain is an alias of one whose MX takes mail.",
        records="@ CNAME real\nreal MX 10 mx\nmx A {good}",
    ),
    _kind(
        "domain-cname-to-web",
        about="The domain is an alias of a web host without MX, at which the port is closed.",
        records="@ CNAME web\nweb A {refused}",
    ),
    _kind("domain-cname-dangling", about="The domain is an alias of nothing.", records="@ CNAME gone"),
    _kind("mx-itself", about="The domain is its own MX and takes mail.", records="@ MX 10 {domain}.\n@ A {good}"),
    _kind("mx-preference-0", about="The MX has preference 0 and takes mail.", records="@ MX 0 mx\nmx A {good}"),
    _kind("mx-preference-65535", about="The MX has preference 65535.", records="@ MX 65535 mx\nmx A {good}"),
    _kind(
        "mx-twice",
        about="The same host at two preferences.",
        records="@ MX 10 mx\n@ MX 20 mx\nmx A {good}",
    ),
    _kind(
        "mx-twice-dead-and-good",
        about="The same dead host at three preferences before one that takes mail.",
        records="@ MX 10 mx\n@ MX 20 mx\n@ MX 30 mx\n@ MX 40 mx4\nmx A {refused}\nmx4 A {good}",
    ),
    _kind(
        "mx-underscore",
        about="The only MX has a name that begins with an underscore, as cPanel makes them, and takes mail.",
        records="@ MX 0 _dc-mx.3f2a9c1b7d\n_dc-mx.3f2a9c1b7d A {good}",
    ),
    _kind(
        "mx-underscore-within",
        about="The MX has an underscore within its name, and takes mail.",
        records="@ MX 10 mail_1\nmail_1 A {good}",
    ),
    _kind(
        "mx-doubled-domain",
        about="The final dot was forgotten in the zone file, so that the MX ends in the domain twice.",
        records="@ MX 10 mx.{domain}\nmx A {good}",
    ),
    _kind(
        "mx-doubled-domain-wildcard",
        about="The final dot was forgotten in the zone file, and a wildcard gives the name an address that takes mail.",
        records="@ MX 10 mx.{domain}\n* A {good}",
    ),
    _kind(
        "mx-is-a-url",
        about="The only MX is a URL in place of a name.",
        records="@ MX 10 http\\058//mx\nmx A {good}",
    ),
    _kind(
        "mx-is-a-url-and-good",
        about="The first MX is a URL in place of a name, the second takes mail.",
        records="@ MX 10 http\\058//mx\n@ MX 20 mx\nmx A {good}",
    ),
    _kind(
        "mx-with-space-and-good",
        about="The preference stands in the name of the first MX once more, the second takes mail.",
        records="@ MX 10 10\\032mx\n@ MX 20 mx\nmx A {good}",
    ),
    _kind(
        "mx-hyphen-first-and-good",
        about="The name of the first MX begins with a hyphen, the second takes mail.",
        records="@ MX 10 -mx\n@ MX 20 mx\n-mx A {refused}\nmx A {good}",
    ),
    _kind(
        "mx-hyphen-first",
        about="The name of the only MX begins with a hyphen, against RFC 1123 section 2.1, and the host takes mail.",
        records="@ MX 10 -mx\n-mx A {good}",
    ),
    _kind(
        "mx-with-space",
        about="The preference stands in the name of the MX once more.",
        records="@ MX 10 10\\032mx\nmx A {good}",
    ),
    _kind(
        "mx-upper-case",
        about="The MX is written in upper case, its address in lower case.",
        records="@ MX 10 MX.Mail\nmx.mail A {good}",
    ),
    _kind(
        "mx-wildcard-address",
        about="The MX has an address by a wildcard only, and takes mail.",
        records="@ MX 10 anything\n* A {good}",
    ),
    _kind(
        "mx-wildcard-parked",
        about="The MX has an address by a parking wildcard only, at which the port is closed.",
        records="@ MX 10 mail\n* A {refused}",
    ),
    _kind(
        "mx-fifty-last-good",
        about="50 MX, of which only the last takes mail.",
        records="\n".join(f"@ MX {n} mx{n}\nmx{n} A {{refused.{n}}}" for n in range(1, 50))
        + "\n@ MX 50 mx50\nmx50 A {good}",
    ),
    _kind(
        "mx-fifty-first-good",
        about="50 MX, of which only the first takes mail.",
        records="@ MX 1 mx1\nmx1 A {good}\n"
        + "\n".join(f"@ MX {n} mx{n}\nmx{n} A {{refused.{n}}}" for n in range(2, 51)),
    ),
)
