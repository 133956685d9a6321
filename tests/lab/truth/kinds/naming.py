"""Names: long, odd, in other scripts; and what a HELO names when there is no sender."""

from functools import partial

from tests.lab.truth.kind import Kind

_kind = partial(Kind, group="names")
_LABEL_63 = "a-label-of-sixty-three-octets-which-is-the-most-that-it-may-have"[:63]
_LONG = ".".join([_LABEL_63, _LABEL_63, _LABEL_63, "l" * 30])

KINDS: tuple[Kind, ...] = (
    _kind(
        "name-idn",
        about="The sender's domain is written in its own script (RFC 5890), and takes mail.",
        records="xn--mnchen-3ya MX 10 mx\nmx A {good}",
        recipient_domain="xn--mnchen-3ya.{domain}",
        message={"sender": "user@münchen.{domain}"},
    ),
    _kind(
        "name-idn-dead",
        about="The sender's domain is written in its own script (RFC 5890), and its MX refuses.",
        records="xn--e1afmkfd MX 10 mx\nmx A {refused}",
        recipient_domain="xn--e1afmkfd.{domain}",
        message={"sender": "user@пример.{domain}"},
    ),
    _kind(
        "name-punycode",
        about="The sender's domain is an A-label, and takes mail.",
        records="xn--bcher-kva MX 10 mx\nmx A {good}",
        recipient_domain="xn--bcher-kva.{domain}",
    ),
    _kind(
        "name-punycode-mx",
        about="The MX is an A-label, and takes mail.",
        records="@ MX 10 xn--bcher-kva\nxn--bcher-kva A {good}",
    ),
    _kind(
        "name-punycode-bad",
        about="The sender's domain looks like an A-label and is none, but it is in DNS and takes mail.",
        records="xn--a-ecp.shop MX 10 mx\nmx A {good}",
        recipient_domain="xn--a-ecp.shop.{domain}",
    ),
    _kind(
        "name-upper-case",
        about="The sender's domain is written in upper case.",
        records="mail MX 10 mx\nmx A {good}",
        recipient_domain="MAIL.{domain}",
    ),
    _kind(
        "name-final-dot",
        about="The sender's domain is written with the final dot.",
        records="@ MX 10 mx\nmx A {good}",
        message={"sender": "user@{domain}."},
    ),
    _kind(
        "name-label-63",
        about="A label of the domain has 63 octets, the most there may be (RFC 1035 section 2.3.4).",
        records=f"{_LABEL_63} MX 10 mx\nmx A {{good}}",
        recipient_domain=_LABEL_63 + ".{domain}",
    ),
    _kind(
        "name-label-64",
        about="A label of the domain has 64 octets, one too many: the domain cannot be in DNS.",
        records="@ MX 10 mx\n* MX 10 mx\nmx A {good}",
        recipient_domain=_LABEL_63 + "x.{domain}",
    ),
    _kind(
        "name-240",
        about="The domain is nearly as long as a name may be (RFC 1035 section 2.3.4).",
        records=f"{_LONG} MX 10 mx\nmx A {{good}}",
        recipient_domain=_LONG + ".{domain}",
    ),
    _kind(
        "name-240-mx",
        about="The name of the MX is nearly as long as a name may be.",
        records=f"@ MX 10 {_LONG}\n{_LONG} A {{good}}",
    ),
    _kind(
        "name-260",
        about="The domain is longer than a name may be.",
        records="@ MX 10 mx\n* MX 10 mx\nmx A {good}",
        recipient_domain=".".join([_LABEL_63] * 4) + ".{domain}",
    ),
    _kind(
        "name-deep",
        about="The domain is 20 labels deep.",
        records=f"{'.'.join('abcdefghijklmnopqrst')} MX 10 mx\nmx A {{good}}",
        recipient_domain=".".join("abcdefghijklmnopqrst") + ".{domain}",
    ),
    _kind(
        "name-underscore",
        about="The domain has an underscore, as host names of Windows do.",
        records="my_shop MX 10 mx\nmx A {good}",
        recipient_domain="my_shop.{domain}",
    ),
    _kind(
        "name-underscore-first",
        about="The domain begins with an underscore.",
        records="_mail MX 10 mx\nmx A {good}",
        recipient_domain="_mail.{domain}",
    ),
    _kind(
        "name-hyphen-first",
        about="The domain begins with a hyphen, against RFC 1123 section 2.1.",
        records="-shop MX 10 mx\nmx A {good}",
        recipient_domain="-shop.{domain}",
    ),
    _kind(
        "name-digits",
        about="The first label of the domain is a number.",
        records="163 MX 10 mx\nmx A {good}",
        recipient_domain="163.{domain}",
    ),
    _kind(
        "name-empty-label",
        about="The domain has an empty label: two dots, one after the other.",
        records="@ MX 10 mx\n* MX 10 mx\nmx A {good}",
        recipient_domain="mail..{domain}",
    ),
    _kind(
        "name-quoted-local-part",
        about="The sender's local part is quoted and has an at sign in it.",
        records="@ MX 10 mx\nmx A {good}",
        message={"sender": '"user@example.invalid"@{domain}'},
    ),
    _kind("name-dead-tld", about="The sender's top-level domain does not exist.", recipient_domain="shop.invalid"),
    _kind("name-localhost", about="The sender is at localhost.", recipient_domain="localhost"),
    _kind("name-local", about="The sender is at a name of a home network.", recipient_domain="printer.local"),
    _kind("name-single-label", about="The sender's domain is a single label.", recipient_domain="mailserver"),
    _kind(
        "helo-good",
        about="No sender; HELO is the name of a host that takes mail.",
        records="out A {good}",
        recipient_domain="out.{domain}",
        message={"sender": "", "helo": "out.{domain}"},
    ),
    _kind(
        "helo-refused",
        about="No sender; HELO is the name of a host that only sends.",
        records="out A {refused}",
        recipient_domain="out.{domain}",
        message={"sender": "", "helo": "out.{domain}"},
    ),
    _kind(
        "helo-nxdomain",
        about="No sender; HELO is a name that does not exist.",
        recipient_domain="out.{domain}",
        message={"sender": "", "helo": "out.{domain}"},
    ),
    _kind(
        "helo-literal",
        about="No sender; HELO is an address literal (RFC 5321 section 4.1.3) of a host that takes mail.",
        records="out A {good}",
        recipient_domain="[{good}]",
        message={"sender": "", "helo": "[{good}]"},
    ),
    _kind(
        "helo-literal-refused",
        about="No sender; HELO is an address literal of a host that only sends.",
        records="out A {refused}",
        recipient_domain="[{refused}]",
        message={"sender": "", "helo": "[{refused}]"},
    ),
    _kind(
        "helo-bare-address",
        about="No sender; HELO is an address without the brackets, of a host that takes mail.",
        records="out A {good}",
        recipient_domain="[{good}]",
        message={"sender": "", "helo": "{good}"},
    ),
    _kind(
        "helo-single-label",
        about="No sender; HELO is a single label, as an internal host may send it.",
        recipient_domain="mailserver",
        message={"sender": "", "helo": "mailserver"},
    ),
    _kind(
        "helo-localhost",
        about="No sender; HELO is localhost.localdomain.",
        recipient_domain="localhost.localdomain",
        message={"sender": "", "helo": "localhost.localdomain"},
    ),
)
