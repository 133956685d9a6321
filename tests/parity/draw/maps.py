"""The map settings, as lists of map lines that often hit one of the names and addresses of the scenario.

Left out, because the engine itself has no one answer: two globs of bad_mxs that match one name with different weights
(hyperscan tells one of them), glob keys that differ only in case (the second is lost), a first entry that looks like a
path or URL, a radix list whose first entry does not start with a digit (it is lost as a whole).
"""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from tests.parity.draw.draft import Draft
from tests.parity.rspamd_maps import GlobMap

# The last ones are no numbers to Lua, or none that a weight can be.
WEIGHTS = ("", "", "3", "0.5", "0x10", "1e1", ".5", "2.", "+2", "0", "corp", "corp net", "3 times", "5LL", "inf", "nan")
NEGATIVE_WEIGHTS = ("-1", "-0.25")
COMMENTS = ("", "", "", " # why", "#why", "\t# 5")
OTHER_GLOBS = ("*.invalid", "mx?.elsewhere.example", "# nothing but a comment", "d1.example.org", "[*]", "*.d1.examplé")
OTHER_NETWORKS = ("203.0.113.77", "192.0.2.0/24 docs", "9.9.9.0/24 3", "2001:db8::/32 0.5")


def draw_maps(draft: Draft, domains: Sequence[str]) -> None:
    """Draw some of the maps."""
    for setting, names in (("exclude_domains", domains), ("exclude_mxs", draft.hosts)):
        if draft.chance(0.12):
            draft.settings[setting] = _globs(draft, names)
    if draft.chance(0.16):
        draft.settings["bad_mxs"] = _distinct(_globs(draft, draft.hosts), draft.hosts)
    for setting in ("exclude_ips", "bad_ips"):
        if draft.chance(0.14):
            draft.settings[setting] = _networks(draft)


def _globs(draft: Draft, names: Sequence[str]) -> list[str]:
    rng = draft.rng
    if draft.chance(0.04):
        return []
    lines = [rng.choice(OTHER_GLOBS) for _ in range(rng.randint(0, 2))]
    for name in rng.sample(list(names), min(len(names), rng.choice(_hits(draft)))):
        lines.append(_dress(draft, _glob_for(draft, name)))
    rng.shuffle(lines)
    return lines or ["nothing.example"]


def _hits(draft: Draft) -> tuple[int, ...]:
    """Return how many names or addresses a map may aim at; many when two domains may hit it with different weights."""
    return (1, 2, 12, 20) if draft.several_domains else (1, 1, 2)


def _glob_for(draft: Draft, name: str) -> str:
    """Write a glob that matches a name, or just fails to."""
    head, _, tail = name.partition(".")
    globs = (
        name,
        name,
        f"*.{tail}",
        "*",
        f"{head}.*",
        f"{name[:1]}*{name[-1:]}",
        f"{name[:-1]}?",
        f"{name}?",
        f"?{name[2:]}",
        f"{name[:2]}+",
        f"{name}+",
        name.upper(),
        name.replace(".", "?"),
        f"[{name[:1]}]{name[1:]}",
        tail or "+",
        f"x{name}",
        f".{name}",
    )
    return draft.rng.choice(globs)


def _dress(draft: Draft, key: str) -> str:
    """Put a weight, quotes, blanks and a comment around a key, or some of that."""
    rng = draft.rng
    weights = WEIGHTS if draft.several_domains else WEIGHTS + NEGATIVE_WEIGHTS
    value = rng.choice(weights)
    key = f'"{key}"' if draft.chance(0.1) else key
    lead = rng.choice(("", "", "", " ", "\t"))
    gap = rng.choice((" ", " ", "\t", "   ")) if value else rng.choice(("", " "))
    return f"{lead}{key}{gap}{value}{rng.choice(COMMENTS)}"


def _distinct(lines: list[str], names: Sequence[str]) -> list[str]:
    """Keep only globs that match none of the names a glob before them matches."""
    kept: list[str] = []
    taken: set[str] = set()
    for line in lines:
        glob = GlobMap([line])
        # In the cache and in DNS a name may stand in another case.
        matched = {text for name in names for text in (name, name.title()) if glob.get_key(text)}
        if taken.isdisjoint(matched):
            taken |= matched
            kept.append(line)
    return kept or ["nothing.example"]


def _networks(draft: Draft) -> list[str]:
    rng = draft.rng
    if draft.chance(0.04):
        return []
    lines = [rng.choice(OTHER_NETWORKS)]
    for ip in rng.sample(draft.ips, min(len(draft.ips), rng.choice(_hits(draft)))):
        lines += [_dress_network(draft, network) for network in _around(draft, ip)]
    rng.shuffle(lines)
    # Of two entries for one network the first counts; they come by chance, and on purpose.
    if draft.chance(0.15):
        lines.append(f"{lines[0].split('#')[0].split()[0]} 7")
    first = next((line for line in lines if line[0].isdigit()), "203.0.113.77")
    return [first, *(line for line in lines if line != first)]


def _around(draft: Draft, ip: str) -> list[str]:
    """Return networks that an address is in: itself, or one or two of different size."""
    address = ip_address(ip)
    sizes = (8, 16, 20, 24, 30, 32) if address.version == 4 else (16, 32, 48, 64, 127, 128)
    if draft.chance(0.3) or ip.startswith("::ffff:"):
        # An IPv4-mapped address also matches as what it maps to.
        return [ip.removeprefix("::ffff:") if draft.chance(0.5) else ip]
    chosen = draft.rng.sample(sizes, draft.rng.choice((1, 1, 2)))
    if draft.chance(0.15):
        return [f"{ip}/{size}" for size in chosen]
    return [str(ip_network(f"{ip}/{size}", strict=False)) for size in chosen]


def _dress_network(draft: Draft, network: str) -> str:
    # rspamd takes a list of networks for what it is by the digit that it starts with.
    return _dress(draft, network).lstrip()
