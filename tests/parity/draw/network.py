"""What DNS and the cache know of a domain and of its MX hosts: the layers d: and m:."""

from tests.parity.draw.addresses import draw_known_address, draw_known_addresses
from tests.parity.draw.draft import Draft, weighted
from tests.parity.world import DnsReply, DnsStatus, DnsType

FAMILIES: tuple[tuple[DnsType, int], ...] = (("A", 4), ("AAAA", 6))
NEGATIVE: tuple[DnsStatus, ...] = ("nodata", "nodata", "nxdomain", "empty")
FAILED: tuple[DnsStatus, ...] = ("servfail", "servfail", "refused", "formerr", "notimp", "timeout", "timeout", "neterr")
DOMAIN_GARBAGE = (
    "mx",
    "a:",
    "a:v5:8.8.8.8",
    "a:8.8.8.8",
    "MX:mx.example:10",
    "NO",
    "null ",
    "v4:8.8.8.8",
    "l",
    "gd",
    ":",
)
HOST_GARBAGE = ("v4", "v5:8.8.8.8", "8.8.8.8", "V4:8.8.8.8", "a:v4:8.8.8.8", "NO", "bkn", "null", "l", "df ", ",")
NO_ADDRESSES = ("", "not-an-ip", "8.8.8", "8.8.8.8.8", ",", "256.1.1.1,::g", "8.8.8.8/32")
NO_HOSTS = ("", ",", "mx.example", "mx.example:", "mx.example:ten", "mx.example:1.5", ",,mx.example", "mx.example:10 ")
# More than three hosts of equal preference, or unsorted ones, come out of table.sort in an order of its own.
SORTED_TIES = ((10, 10), (10, 10, 20), (10, 20, 20), (0, 0, 0), (5, 5))


def draw_domain(draft: Draft, domain: str) -> None:
    """Draw everything about a domain."""
    _draw_mx(draft, domain)
    if _is_missing(draft, "d", domain):
        return
    match weighted(draft.rng, {"mx": 0.37, "no mx": 0.08, "a": 0.33, "word": 0.22}):
        case "mx":
            draft.cache("d", domain, f"mx:{_cached_hosts(draft, domain)}")
        case "no mx":
            draft.cache("d", domain, f"mx:{draft.rng.choice(NO_HOSTS)}")
        case "a":
            draft.cache("d", domain, f"a:{_cached_addresses(draft)}")
        case "word":
            draft.cache("d", domain, draft.rng.choice(("no", "bkn", "null", "df")))


def draw_alike(draft: Draft, domains: list[str]) -> None:
    """Draw domains that share their MX hosts, or their addresses, and are in the same state otherwise.

    Equal state and shape, so that it does not hang on a step more or less which of them comes first.
    """
    tag, rng = draft.tag, draft.rng
    by_host = draft.chance(0.6)
    cached = draft.chance(0.4)
    hosts = [f"mx{number}.shared.example" for number in range(1, rng.choice((2, 2, 3)))]
    listed = ",".join(f"{host}:{10 * number}" for number, host in enumerate(hosts, 1))
    if by_host:
        for host in hosts:
            _draw_shared_host(draft, host)
    else:
        v4, v6 = (_records(draw_known_addresses(draft, family, 2, shared=True)) for family in (4, 6))
    for domain in domains:
        if by_host:
            exchanges = tuple((10 * number, host) for number, host in enumerate(hosts, 1))
            draft.dns["MX", domain] = DnsReply(exchanges=exchanges)
            if cached:
                draft.cache("d", domain, f"mx:{listed}")
        else:
            draft.dns["MX", domain] = DnsReply("nodata")
            draft.dns["A", domain], draft.dns["AAAA", domain] = v4, v6
            if cached:
                draft.cache("d", domain, f"a:{tag}:{','.join(v4.addresses if tag != 'v6' else v6.addresses)}")


def _draw_shared_host(draft: Draft, host: str) -> None:
    draft.hosts.append(host)
    _draw_addresses(draft, host, shared=True)
    match weighted(draft.rng, {"miss": 0.6, "list": 0.25, "no": 0.08, "df": 0.07}):
        case "list":
            family = 6 if draft.tag == "v6" else 4
            ips = draw_known_addresses(draft, family, 2, shared=True)
            draft.cache("m", host, f"{draft.tag}:{','.join(ips)}")
        case "no" | "df" as word:
            draft.cache("m", host, word)


def _is_missing(draft: Draft, layer: str, name: str) -> bool:
    """Leave the entry out, or write one that counts as missing; false when the caller is to write a good one."""
    garbage = DOMAIN_GARBAGE if layer == "d" else HOST_GARBAGE
    match weighted(draft.rng, {"missing": 0.5, "good": 0.38, "garbage": 0.06, "empty": 0.03, "list": 0.03}):
        case "good":
            return False
        case "garbage":
            draft.cache(layer, name, draft.rng.choice(garbage))
        case "empty":
            draft.cache(layer, name, "")
        case "list":
            draft.spoil(layer, name)
    return True


def _draw_mx(draft: Draft, domain: str) -> None:
    rng = draft.rng
    name = domain.removesuffix(".")
    kind = weighted(rng, {"hosts": 0.53, "none": 0.28, "failed": 0.07, "root": 0.08, "underscore": 0.04})
    exchanges: list[tuple[int, str]] = []
    if kind in ("hosts", "root", "underscore"):
        exchanges = _exchanges(draft, name)
    match kind:
        case "none":
            draft.dns["MX", name] = DnsReply(rng.choice(NEGATIVE))
            _draw_addresses(draft, name)
            return
        case "failed":
            draft.dns["MX", name] = DnsReply(rng.choice(FAILED))
            _draw_addresses(draft, name)
            return
        case "root":
            roots = [(rng.choice((0, 0, 0, 1, 10)), "") for _ in range(rng.choice((1, 1, 1, 2)))]
            real = [(preference + 1, host) for preference, host in exchanges]
            exchanges = [*roots, *real] if draft.chance(0.25) else roots
        case "underscore":
            placeholders = [(preference, f"_{host}") for preference, host in exchanges[:2]]
            rest = [(preference + 1, host) for preference, host in exchanges]
            exchanges = placeholders if draft.chance(0.5) else [*placeholders, *rest]
    draft.dns["MX", name] = DnsReply(exchanges=tuple(exchanges))
    if draft.chance(0.15):
        _draw_addresses(draft, name)


def _exchanges(draft: Draft, domain: str) -> list[tuple[int, str]]:
    """Draw MX records and their hosts; each preference once unless a sort keeps the order anyway."""
    rng = draft.rng
    count = weighted(rng, {1: 0.35, 2: 0.27, 3: 0.2, 4: 0.1, 6: 0.08})
    hosts = [_draw_host(draft, domain, number) for number in range(1, count + 1)]
    ties = [ties for ties in SORTED_TIES if len(ties) == count]
    if ties and draft.chance(0.2):
        return list(zip(rng.choice(ties), hosts, strict=True))
    preferences = rng.sample((0, 1, 5, 10, 20, 30, 50, 100, 32767, 65535), count)
    # One host twice: what is counted as broken then is records, not names.
    if count > 1 and draft.chance(0.12):
        hosts[-1] = hosts[0]
    return list(zip(preferences, hosts, strict=True))


def _draw_host(draft: Draft, domain: str, number: int) -> str:
    """Draw the name of an MX host and all that is known of it; DNS may write it in upper case."""
    kinds = {"own": 0.7, "elsewhere": 0.2, "domain": 0.04, "odd": 0.06}
    match weighted(draft.rng, kinds):
        case "own":
            host = f"mx{number}.{domain}"
        case "elsewhere":
            host = f"in-{number}.mail-{domain.partition('.')[0]}.example.net"
        case "domain":
            host = domain
        case _:
            host = draft.rng.choice(
                (f"mx_{number}.{domain}", f"a._b.{number}.{domain}", f"{number}.{domain}", "192.0.2.1")
            )
    if host not in draft.hosts:
        draft.hosts.append(host)
        draw_host(draft, host)
    return host.title() if draft.chance(0.12) else host


def draw_host(draft: Draft, host: str) -> None:
    """Draw the addresses of an MX host and its m: entry."""
    _draw_addresses(draft, host)
    if _is_missing(draft, "m", host):
        return
    if draft.chance(0.68):
        draft.cache("m", host, _cached_addresses(draft))
    else:
        draft.cache("m", host, draft.rng.choice(("no", "df")))


def _records(addresses: tuple[str, ...]) -> DnsReply:
    return DnsReply(addresses=addresses)


def _draw_addresses(draft: Draft, name: str, *, shared: bool = False) -> None:
    for kind, family in FAMILIES:
        match weighted(draft.rng, {"found": 0.62, "none": 0.2, "failed": 0.18}):
            case "found":
                most = draft.rng.choice((1, 2, 2, 3, 5))
                draft.dns[kind, name] = _records(draw_known_addresses(draft, family, most, shared=shared))
            case "none":
                draft.dns[kind, name] = DnsReply(draft.rng.choice(NEGATIVE))
            case "failed":
                draft.dns[kind, name] = DnsReply(draft.rng.choice(FAILED))


def _cached_hosts(draft: Draft, domain: str) -> str:
    """Draw a cached MX list; it is used as it stands, so it need not be sorted, short or in lower case."""
    records = _exchanges(draft, domain.removesuffix("."))
    entries = [f"{host}:{preference}" for preference, host in records]
    if draft.chance(0.25):
        oddities = ("", "lone", f"neg.{domain}:-5", f"_odd.{domain}:10", "bad:x", "spaced: 10")
        entries.insert(draft.rng.randint(0, len(entries)), draft.rng.choice(oddities))
    return ",".join(entries)


def _cached_addresses(draft: Draft) -> str:
    """Draw a tagged address list: one that covers the enabled families, or not, or has nothing of use in it.

    With both families enabled every token of a v64 list is taken as it is: only real addresses there, because what an
    empty or malformed one leads to is up to the resolver and the socket.
    """
    covering = [draft.tag] if draft.tag == "v64" else [draft.tag, "v64"]
    kind = weighted(draft.rng, {"good": 0.6, "partial": 0.2, "other": 0.1, "garbage": 0.1})
    tag = draft.rng.choice(draft.partial_tags if kind == "partial" else covering)
    if draft.tag == "v64" and tag == "v64":
        return f"v64:{','.join(_mixed(draft, (4, 6)))}"
    wanted, other = (4, 6) if draft.tag == "v4" else (6, 4)
    match kind:
        case "other":
            return f"{tag}:{','.join(_mixed(draft, (other,)))}"
        case "garbage":
            return f"{tag}:{draft.rng.choice(NO_ADDRESSES)}"
        case _:
            tokens = _mixed(draft, (wanted, wanted, other) if tag == "v64" else (wanted,))
            if draft.chance(0.15):
                tokens.insert(draft.rng.randint(0, len(tokens)), draft.rng.choice(("", "junk", "1.2.3")))
            return f"{tag}:{','.join(tokens)}"


def _mixed(draft: Draft, families: tuple[int, ...]) -> list[str]:
    count = draft.rng.choice((1, 1, 2, 3, 6))
    return [draw_known_address(draft, draft.rng.choice(families)) for _ in range(count)]
