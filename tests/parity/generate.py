"""The scenarios: number N is always the same one, whatever is asked for before it."""

from collections.abc import Iterator
from random import Random

from tests.parity.draw.addresses import draw_known_addresses
from tests.parity.draw.draft import Draft, weighted
from tests.parity.draw.maps import draw_maps
from tests.parity.draw.network import draw_alike, draw_domain
from tests.parity.draw.request import LITERAL, draw_domains, draw_request
from tests.parity.draw.settings import draw_refused_settings, draw_settings
from tests.parity.world import DnsReply, Parsed, RedisMode, Request, Scenario

SEED = 20220531
COUNT = 3000

REDIS_MODES: dict[RedisMode, float] = {
    "ok": 0.88,
    "down": 0.02,
    "no upstream": 0.02,
    "reads fail": 0.02,
    "writes fail": 0.03,
    "no write upstream": 0.03,
}


def scenario(number: int) -> Scenario:
    """Return the scenario with this number."""
    draft = Draft(Random(f"{SEED}/{number}"))
    draft.redis_mode = weighted(draft.rng, REDIS_MODES)
    if draft.chance(0.035):
        draw_refused_settings(draft)
    else:
        draw_settings(draft)
    if draft.chance(0.015):
        return _literal(draft)
    domains = draw_domains(draft)
    request = draw_request(draft, domains)
    # The cache key of a HELO keeps its final dot, so the keys are those of what is named, not of the domains drawn.
    named = request.parsed.candidates({})
    alike = named[:2] if len(named) > 1 and draft.chance(0.3) else []
    if alike:
        draw_alike(draft, alike)
    for domain in named:
        if domain not in alike:
            draw_domain(draft, domain)
    draw_maps(draft, named)
    return draft.finish(request)


def scenarios() -> Iterator[Scenario]:
    """Yield all scenarios."""
    return (scenario(number) for number in range(COUNT))


def _literal(draft: Draft) -> Scenario:
    """A sender at an address literal: the reference looks the address up as if it were a name."""
    if draft.chance(0.5):
        draft.dns["MX", LITERAL] = DnsReply("nodata")
        draft.dns["A", LITERAL] = DnsReply(addresses=draw_known_addresses(draft, 4, 2))
    in_header = draft.chance(0.5)
    text = draft.rng.choice((f"user@[{LITERAL}]", f"<user@[{LITERAL}]>"))
    parsed = Parsed(None if in_header else LITERAL, (LITERAL,) if in_header else (), (), None, False, False)
    return draft.finish(Request({"mime_from" if in_header else "sender": text}, parsed))
