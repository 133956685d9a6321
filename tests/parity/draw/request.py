"""Requests: the ways to write sender, HELO, From and Reply-To, each with what rspamd reads out of it.

The readings follow rspamd's src/libmime/email_addr.c and src/ragel/smtp_address.rl. Left out, because nothing defines
the answer: names with characters outside [A-Za-z0-9._-], which rspamd's resolver never answers, and with them HELO
literals and labels that rspamd's SMTP grammar refuses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.parity.draw.addresses import DEFAULT_LOCAL_ADDRS, ENGINE_LOCAL, PUBLIC, draw_from, in_networks
from tests.parity.draw.draft import Draft, weighted
from tests.parity.world import Parsed, Request

Forms = Sequence[Callable[[str], str]]

# Forms of one header address whose domain is the one given.
HEADER_FORMS: Forms = (
    lambda d: f"user@{d}",
    lambda d: f"<user@{d}>",
    lambda d: f"Jo Doe <user@{d}>",
    lambda d: f"Jo Doe<user@{d}>",
    lambda d: f'"Doe, Jo" <user@{d}>',
    lambda d: f'"Jo <jo@evil.example>" <user@{d}>',
    lambda d: f'"jo@evil.example" <user@{d}>',
    lambda d: f'"Jo \\"the, mail\\" Doe" <user@{d}>',
    lambda d: f"Jo (at evil@evil.example, too) <user@{d}>",
    lambda d: f"user@{d} (Jo (nested) Doe)",
    lambda d: f"(first) user@{d}",
    lambda d: f"=?utf-8?q?J=C3=B6?= <user@{d}>",
    lambda d: f"=?utf-8?B?SsO2?= =?utf-8?q?_Doe?= <user@{d}>",
    lambda d: f"=?utf-8?q?Jo=2C_jo=40evil=2Eexample?= <user@{d}>",
    lambda d: f"=?nonsense?x?Jo?= <user@{d}>",
    lambda d: f"Doe, Jo <user@{d}>",
    lambda d: f"jo@evil.example <user@{d}>",
    lambda d: f'"user, x"@{d}',
    lambda d: f'<"user, jo@evil.example"@{d}>',
    lambda d: f"user+tag@{d}",
    lambda d: f"user@{d}.",
    lambda d: f"Jo <user@{d}",
    lambda d: f" \tuser@{d} ",
    lambda d: f"Jo\t< user@{d} >",
    lambda d: f"Team: user@{d};",
    lambda d: f"user@{d},",
    lambda d: f",, user@{d}",
    lambda d: f"J\u00f6 D\u00f6e <user@{d}>",
)
PAIRS: Sequence[Callable[[str, str], str]] = (
    lambda a, b: f"one@{a}, two@{b}",
    lambda a, b: f"One <one@{a}>, Two <two@{b}>",
    lambda a, b: f'"One, first" <one@{a}>,"Two; second" <two@{b}>',
    lambda a, b: f"one@{a};two@{b}",
    lambda a, b: f"Team: one@{a}, Two <two@{b}>;",
    lambda a, b: f"one@{a} (x, y@evil.example), (z) <two@{b}>",
    lambda a, b: f"One <one@{a}>\r\n ,\r\n\tTwo <two@{b}>",
)
NO_ADDRESS = ("", " ", "Jo Doe", "undisclosed-recipients:;", "user@", "<>", "(user@evil.example)", '"Jo', "Jo <>", ",")
SENDER_FORMS: Forms = (
    lambda d: f"user@{d}",
    lambda d: f"user@{d}",
    lambda d: f"<user@{d}>",
    lambda d: f"USER+tag@{d}",
    lambda d: f'"a b, c"@{d}',
    lambda d: f'"a@evil.example"@{d}',
    lambda d: f"user@{d}.",
    lambda d: f"<@relay.example:user@{d}>",
)
# What is no address to rspamd counts as the null sender.
NULL_SENDERS: Sequence[str | None] = (*(None, "", "<>") * 6, "postmaster", "user@")
LITERAL = "192.0.2.1"


@dataclass(slots=True)
class _Heard:
    """The request so far, as JSON and as read."""

    body: dict[str, Any] = field(default_factory=dict)
    envelope: str | None = None
    helo: str | None = None
    mime_from: list[str] = field(default_factory=list)
    reply_to: list[str] = field(default_factory=list)


def draw_domains(draft: Draft) -> list[str]:
    """Draw the domains that a request will name, in lower case."""
    count = weighted(draft.rng, {1: 0.55, 2: 0.27, 3: 0.14, 5: 0.04})
    draft.several_domains = count > 1
    kinds = (
        "d{}.example",
        "d{}.example",
        "d{}.example.org",
        "sub.d{}.example.co.uk",
        "x_{}.example",
        "{}com",
        "xn--d{}-y.example",
    )
    return [draft.rng.choice(kinds).format(number) for number in range(1, count + 1)]


def draw_request(draft: Draft, domains: Sequence[str]) -> Request:
    """Draw a request that names all of the domains, some of them more than once."""
    heard = _Heard()
    shares: dict[str, list[str]] = {"from": [], "mime_from": [], "reply_to": []}
    for domain in domains:
        # Only one of them can be the envelope sender's.
        free = [source for source in shares if source != "from" or not shares["from"]]
        for source in draft.rng.sample(free, min(len(free), draft.rng.choice((1, 1, 1, 2, 3)))):
            shares[source].append(_recased(draft, domain))
    _draw_envelope(draft, heard, shares["from"])
    _draw_mime_from(draft, heard, shares["mime_from"])
    _draw_reply_to(draft, heard, shares["reply_to"])
    authenticated = draft.chance(0.12)
    if authenticated or draft.chance(0.3):
        heard.body["authenticated"] = authenticated
    local = _draw_client(draft, heard)
    parsed = Parsed(heard.envelope, tuple(heard.mime_from), tuple(heard.reply_to), heard.helo, local, authenticated)
    return Request(heard.body, parsed)


def _recased(draft: Draft, domain: str) -> str:
    return draft.rng.choice((domain.upper(), domain.title())) if draft.chance(0.2) else domain


def _draw_envelope(draft: Draft, heard: _Heard, domains: Sequence[str]) -> None:
    rng = draft.rng
    if domains and draft.chance(0.72):
        heard.body["sender"] = rng.choice(SENDER_FORMS)(domains[0])
        heard.envelope = domains[0]
        if draft.chance(0.5):
            heard.body["helo"] = heard.helo = "helo.example"
        return
    sender = rng.choice(NULL_SENDERS)
    if sender is not None or draft.chance(0.5):
        heard.body["sender"] = sender
    if domains:
        heard.body["helo"] = heard.helo = domains[0] + ("." if draft.chance(0.2) else "")
    elif draft.chance(0.3):
        heard.body["helo"] = heard.helo = ""


def _draw_mime_from(draft: Draft, heard: _Heard, domains: Sequence[str]) -> None:
    values = _header_values(draft, domains)
    if draft.chance(0.1):
        values.append(draft.rng.choice(NO_ADDRESS))
    if draft.chance(0.04):
        # rspamd does not decode From before it looks for addresses.
        values.append("=?utf-8?q?Jo_=3Cjo=40hidden=2Eexample=3E?=")
    heard.mime_from.extend(domains)
    if len(values) == 1 and draft.chance(0.6):
        heard.body["mime_from"] = values[0]
    elif values or draft.chance(0.2):
        heard.body["mime_from"] = values


def _draw_reply_to(draft: Draft, heard: _Heard, domains: Sequence[str]) -> None:
    """Only the first Reply-To header counts, so all domains go into one value."""
    if len(domains) == 1 and draft.chance(0.08):
        # This one is decoded first.
        values = [f"=?utf-8?q?Jo_=3Cuser=40{domains[0].replace('_', '=5F')}=3E?="]
    else:
        values = [", ".join(_header_values(draft, domains, plain=len(domains) > 1))] if domains else []
        if not domains and draft.chance(0.1):
            values = [draft.rng.choice(NO_ADDRESS)]
    heard.reply_to.extend(domains)
    if values and draft.chance(0.1):
        values.append("second@header.example")
    if len(values) == 1 and draft.chance(0.6):
        heard.body["reply_to"] = values[0]
    elif values:
        heard.body["reply_to"] = values


def _header_values(draft: Draft, domains: Sequence[str], *, plain: bool = False) -> list[str]:
    """Write addresses as header values; `plain` ones can be joined by commas."""
    values: list[str] = []
    left = list(domains)
    while left:
        if len(left) > 1 and draft.chance(0.5):
            values.append(draft.rng.choice(PAIRS[:3] if plain else PAIRS)(left.pop(0), left.pop(0)))
        else:
            values.append(draft.rng.choice(HEADER_FORMS[:14] if plain else HEADER_FORMS)(left.pop(0)))
    return values


def _draw_client(draft: Draft, heard: _Heard) -> bool:
    """Draw the client's address; tell whether the engine counts it as local."""
    rng = draft.rng
    networks = list(DEFAULT_LOCAL_ADDRS)
    if draft.chance(0.06):
        networks = list(rng.choice((["203.0.113.0/24"], ["2001:db8:1::/48", "10.1.2.3"], ["0.0.0.0/0"])))
        draft.settings["local_addrs"] = networks
    if draft.chance(0.3):
        return False
    near = (*networks, *ENGINE_LOCAL, "100.64.0.0/10", "fc00::/8", "203.0.113.0/24")
    pool = near if draft.chance(0.3) else PUBLIC[:5]
    family = rng.choice((4, 4, 6))
    ip = draw_from(draft, pool, family)
    if family == 4 and draft.chance(0.1):
        ip = f"::ffff:{ip}"
    heard.body["client_ip"] = ip
    return in_networks(ip, (*ENGINE_LOCAL, *networks))
