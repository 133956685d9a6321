"""rspamd's map text, parsed into immutable glob and radix maps.

One entry a line: a key, then, after blanks, an optional value; `#` starts a comment; a key in double quotes may hold
blanks. Glob keys: the whole name must match, case-sensitively; `*` is any text (dots too), `?` at most one character,
`+` at least one, everything else is literal. Radix keys: an address or a CIDR; the longest prefix wins.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mxcheck_service.core.networks import NetworkTable, parse_network

_LINE = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"?|(?P<plain>(?:[^\s#\\]|\\.|\\$)+))(?P<value>[^#]*)')
_LINE_END = re.compile(r"\r\n|[\r\n]")
_NUMBER = re.compile(r"\s*([+-]?)(?:0[xX]([0-9a-fA-F]+)|((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))\s*")
_NOT_FINITE = re.compile(r"\s*[+-]?(?:inf|infinity|nan)\s*", re.IGNORECASE)
_WILDCARDS = {"*": ".*", "?": ".?", "+": ".+"}
_BARE_RADIX_VALUE = "1"
"""What rspamd's radix maps give for an entry without a value; glob maps give the empty string."""


@dataclass(frozen=True, slots=True)
class MapEntry:
    """One line of a map: `origin` says where it stands, for traces and complaints."""

    key: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class MapHit:
    """The entry that matched: its value, and where it stands."""

    value: str
    origin: str

    @property
    def multiplier(self) -> float:
        """The value as a weight multiplier: Lua's tonumber(); 1 for what is no number, 0 for an infinite one or NaN."""
        number = _NUMBER.fullmatch(self.value)
        if not number:
            return 0.0 if _NOT_FINITE.fullmatch(self.value) else 1.0
        sign = -1.0 if number[1] == "-" else 1.0
        magnitude = float(int(number[2], 16)) if number[2] and len(number[2]) <= 16 else float(number[3] or "inf")
        return sign * magnitude if math.isfinite(magnitude) else 0.0


def parse_map(text: str, origin: str) -> Iterator[MapEntry]:
    """Yield the entries of a map text. `origin` names it; entries are told apart as `origin:line`."""
    for number, line in enumerate(_LINE_END.split(text), start=1):
        match = _LINE.match(line)
        if match:
            key = match["plain"] if match["quoted"] is None else match["quoted"]
            yield MapEntry(re.sub(r"\\(.)", r"\1", key), match["value"].strip(), f"{origin}:{number}")


class GlobMap:
    """Names by glob; the first entry that matches wins. Literal entries cost one dict access, however many."""

    def __init__(self, entries: Iterable[MapEntry] = ()) -> None:
        self._literal: dict[str, tuple[int, MapHit]] = {}
        self._globs: list[tuple[int, re.Pattern[str], MapHit]] = []
        for index, entry in enumerate(entries):
            hit = MapHit(entry.value, entry.origin)
            if _WILDCARDS.keys().isdisjoint(entry.key):
                self._literal.setdefault(entry.key, (index, hit))
            else:
                pattern = "".join(_WILDCARDS.get(char) or re.escape(char) for char in entry.key)
                self._globs.append((index, re.compile(pattern, re.DOTALL), hit))

    def __len__(self) -> int:
        return len(self._literal) + len(self._globs)

    def get(self, name: str) -> MapHit | None:
        limit, hit = self._literal.get(name, (math.inf, None))
        for index, pattern, glob_hit in self._globs:
            if index > limit:
                break
            if pattern.fullmatch(name):
                return glob_hit
        return hit


class RadixMap:
    """Addresses by network. `problems` names the entries that are neither an address nor a CIDR and were left out."""

    def __init__(self, entries: Iterable[MapEntry] = ()) -> None:
        problems: list[str] = []
        networks: list[tuple[tuple[int, int], MapHit]] = []
        for entry in entries:
            network = parse_network(entry.key)
            if network is None:
                problems.append(f"{entry.origin}: {entry.key!r} is not an IP address or network; the entry is left out")
            else:
                networks.append((network, MapHit(entry.value or _BARE_RADIX_VALUE, entry.origin)))
        self._table = NetworkTable(networks)
        self.problems = tuple(problems)

    def __len__(self) -> int:
        return len(self._table)

    def get(self, ip: str) -> MapHit | None:
        return self._table.get(ip)


@dataclass(frozen=True, slots=True)
class Maps:
    """The five maps of the settings, as one snapshot. None: the setting is off."""

    exclude_domains: GlobMap | None = None
    exclude_mxs: GlobMap | None = None
    exclude_ips: RadixMap | None = None
    bad_mxs: GlobMap | None = None
    bad_ips: RadixMap | None = None
