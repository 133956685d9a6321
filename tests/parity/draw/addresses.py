"""IP addresses of every class, and what the cache and the network know of each: the i: layer and the peer."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from tests.parity.draw.draft import Draft, weighted
from tests.parity.draw.peers import draw_peer
from tests.parity.world import Peer

LOCAL = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/8", "fd00::/8")
LOOPBACK = ("127.0.0.0/8", "::1/128")
BOGON = (
    *LOOPBACK,
    "169.254.0.0/16",
    "fe80::/10",
    "0.0.0.0/8",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "64:ff9b::/96",
    "100::/64",
    "2001:db8::/32",
    "ff00::/8",
)
# The last two are public to the reference, though Python's is_global and the engine's is_local say otherwise.
PUBLIC = ("8.8.0.0/16", "93.184.0.0/16", "185.12.64.0/22", "2a00:1450::/32", "2606:4700::/32", "fec0::/10", "2002::/16")
ENGINE_LOCAL = ("127.0.0.0/8", "::1/128", "fe80::/10", "fec0::/10")
DEFAULT_LOCAL_ADDRS = (
    "192.168.0.0/16",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "fd00::/8",
    "169.254.0.0/16",
    "fe80::/10",
)

VERDICTS = ("gd", "rf", "tc", "tr", "inv", "err:421", "err:554", "err:250", "err:000")
GARBAGE = (
    "err:25",
    "err:2500",
    "err:abc",
    "err:",
    "GD",
    "gd ",
    "ok",
    "L",
    "ll",
    "no",
    "v4:8.8.8.8",
    "\u00e9\u00ff",
    "0",
)
MAPPED_SHARE = 0.06


def in_networks(ip: str, networks: Sequence[str]) -> bool:
    """Tell whether an address is in one of the networks; an IPv4-mapped one counts as IPv4."""
    address = ip_address(ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ip_network(network) for network in networks)


def draw_from(draft: Draft, networks: Sequence[str], family: int) -> str:
    """Draw an address out of one of the networks; its first and last, and their neighbours outside, come often."""
    network = ip_network(draft.rng.choice([text for text in networks if (":" in text) == (family == 6)]))
    first, last = int(network[0]), int(network[-1])
    edges = [first, last, max(first - 1, 0), min(last + 1, 2**network.max_prefixlen - 1)]
    number = draft.rng.choice(edges) if draft.chance(0.3) else draft.rng.randint(first, last)
    return str(IPv4Address(number) if family == 4 else IPv6Address(number))


def draw_address(draft: Draft, family: int, *, mapped: bool = True) -> str:
    """Draw an address that was not used before, most of them public, and all that is known of it."""
    while True:
        networks = weighted(draft.rng, {PUBLIC: 0.78, LOCAL: 0.11, BOGON: 0.11})
        if family == 6 and mapped and draft.chance(MAPPED_SHARE):
            ip = f"::ffff:{draw_from(draft, networks, 4)}"
        else:
            ip = draw_from(draft, networks, family)
        if ip not in draft.ips:
            draft.ips.append(ip)
            return ip


def draw_known_address(draft: Draft, family: int, *, shared: bool = False) -> str:
    """Draw an address together with its i: entry and its peer.

    `shared`: two domains will ask for it at the same time. Then only such entries and peers are drawn that give both
    the same answer whichever of the two is a step ahead: nothing that is overwritten, nothing that fails at once.
    """
    ip = draw_address(draft, family, mapped=not shared)
    kinds = {"miss": 0.58, "verdict": 0.15, "lock": 0.06, "empty": 0.05, "garbage": 0.07, "list": 0.05, "race": 0.04}
    if draft.redis_mode in ("writes fail", "no write upstream"):
        kinds["garbage"] = 0.6
    match weighted(
        draft.rng, {kind: share for kind, share in kinds.items() if not (shared and kind in ("garbage", "race"))}
    ):
        case "verdict":
            draft.cache("i", ip, draft.rng.choice(VERDICTS))
        case "lock":
            draft.cache("i", ip, "l")
        case "empty":
            draft.cache("i", ip, "")
        case "garbage":
            draft.cache("i", ip, draft.rng.choice(GARBAGE))
        case "list":
            draft.spoil("i", ip)
        case "race":
            draft.races[draft.key("i", ip)] = draft.rng.choice((*VERDICTS, *GARBAGE, "l", "", None, None))
    peer = draw_peer(draft)
    draft.tcp[ip] = Peer("refused") if shared and peer.connect == "unavailable" else peer
    return ip


def draw_known_addresses(draft: Draft, family: int, most: int, *, shared: bool = False) -> tuple[str, ...]:
    """Draw one to `most` addresses."""
    return tuple(draw_known_address(draft, family, shared=shared) for _ in range(draft.rng.randint(1, most)))
