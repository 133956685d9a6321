"""rspamd's map text, compiled into images, and the immutable glob and radix maps that are read from these.

One entry a line: a key, then, after blanks, an optional value; `#` starts a comment; a key in double quotes may hold
blanks. Glob keys: the whole name must match, case-sensitively; `*` is any text (dots too), `?` at most one character,
`+` at least one, everything else is literal. Radix keys: an address or a CIDR; the longest prefix wins.

A map has parts, one for each place its entries come from, so that a place that has changed is compiled by itself.
"""

import math
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from mxcheck_service.core.globs import LONGEST, WILDCARDS, Matcher, matcher
from mxcheck_service.core.maptable import DamagedImage, Image, Row, Table, build
from mxcheck_service.core.networks import parse_ip, parse_network

Kind: TypeAlias = Literal["glob", "radix"]

_LINE = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"?|(?P<plain>(?:[^\s#\\]|\\.|\\$)+))(?P<value>[^#]*)')
_LINE_END = re.compile(r"\r\n|[\r\n]")
_NUMBER = re.compile(r"\s*([+-]?)(?:0[xX]([0-9a-fA-F]+)|((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))\s*")
_NOT_FINITE = re.compile(r"\s*[+-]?(?:inf|infinity|nan)\s*", re.IGNORECASE)
_BARE_RADIX_VALUE = "1"
"""What rspamd's radix maps give for an entry without a value; glob maps give the empty string."""
_BITS: Final = 128
_END: Final = 1 << _BITS
_NOBODYS: Final = (0, b"")


class MapEntry(NamedTuple):
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
            if "\\" in key:
                key = re.sub(r"\\(.)", r"\1", key)
            yield MapEntry(key, match["value"].strip(), f"{origin}:{number}")


class Compiled(NamedTuple):
    """A part of a map as its readers take it, and its entries that were left out, each with the reason."""

    image: bytes
    problems: tuple[str, ...] = ()


def compile_map(kind: Kind, entries: Iterable[MapEntry], place: str) -> Compiled:
    """Compile entries whose origins begin with `place`, which is not kept in each of them."""
    return _compile_globs(entries, place) if kind == "glob" else _compile_networks(entries, place)


def _compile_globs(entries: Iterable[MapEntry], place: str) -> Compiled:
    literal: dict[bytes, Row] = {}
    globs: list[Row] = []
    problems: list[str] = []
    for index, entry in enumerate(entries):
        row = Row(_octets(entry.key), index, _text(entry.origin, entry.value, place))
        if WILDCARDS.isdisjoint(entry.key):
            literal.setdefault(row.key, row)
        elif len(entry.key) > LONGEST:
            problems.append(f"{entry.origin}: a glob of more than {LONGEST} characters; the entry is left out")
        else:
            globs.append(row)
    return Compiled(build(sorted(literal.values())) + build(globs), tuple(problems))


def _compile_networks(entries: Iterable[MapEntry], place: str) -> Compiled:
    """Compile to one table without nesting: where each stretch of addresses begins that has the same longest prefix."""
    problems: list[str] = []
    networks: dict[tuple[int, int], bytes] = {}
    for entry in entries:
        network = parse_network(entry.key)
        if network is None:
            problems.append(f"{entry.origin}: {entry.key!r} is not an IP address or network; the entry is left out")
        else:
            networks.setdefault(network, _text(entry.origin, entry.value or _BARE_RADIX_VALUE, place))
    stretches: dict[int, tuple[int, bytes]] = {}
    open_: list[tuple[int, int, bytes]] = []
    for (start, length), text in [*sorted(networks.items()), ((_END, 0), b"")]:
        while open_ and open_[-1][0] <= start:
            end = open_.pop()[0]
            stretches[end] = open_[-1][1:] if open_ else _NOBODYS
        # One more than the prefix length: 0 is for addresses that belong to nobody.
        open_.append((start + (1 << (_BITS - length)), length + 1, text))
        stretches[start] = open_[-1][1:]
    del stretches[_END]
    rows = [Row(start.to_bytes(_BITS // 8, "big"), *stretch) for start, stretch in sorted(stretches.items())]
    counted = [Row(b"", len(networks), b"")]
    return Compiled(build(rows) + build(counted), tuple(problems))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(origin: str, value: str, place: str) -> bytes:
    return _octets(f"{origin.removeprefix(place)}\n{value}")


def _hit(table: Table, index: int, place: str) -> MapHit:
    origin, _, value = table.text(index).decode("utf-8", "surrogatepass").partition("\n")
    return MapHit(value, place + origin)


def glob_matchers(image: Image) -> Iterator[Matcher]:
    """Yield what a glob part needs besides its image. Each takes about 0.1 ms: a caller may pause in between."""
    for key in Table(memoryview(image)[Table(image).size :]):
        yield matcher(key.decode("utf-8", "surrogatepass"))


class GlobPart:
    """Names by glob; the first entry that matches wins. `matchers` are those of the image, `problems` tells of the
    entries that were left out."""

    def __init__(self, image: Image, matchers: Iterable[Matcher], place: str, problems: tuple[str, ...] = ()) -> None:
        self.problems = problems
        self._literal = Table(image)
        self._globs = Table(memoryview(image)[self._literal.size :])
        self._matchers = [(self._globs.rank(index), index, matches) for index, matches in enumerate(matchers)]
        self._place = place

    def __len__(self) -> int:
        return len(self._literal) + len(self._globs)

    def get(self, name: str) -> MapHit | None:
        key = _octets(name)
        index = bisect_left(self._literal, key)
        found = index < len(self._literal) and self._literal[index] == key
        limit = self._literal.rank(index) if found else math.inf
        for rank, number, matches in self._matchers:
            if rank > limit:
                break
            if matches(name):
                return _hit(self._globs, number, self._place)
        return _hit(self._literal, index, self._place) if found else None


class RadixPart:
    """Addresses by network; the longest prefix wins. `problems` tells of the entries that were left out."""

    def __init__(self, image: Image, problems: tuple[str, ...], place: str) -> None:
        self._stretches = Table(image)
        counted = Table(memoryview(image)[self._stretches.size :])
        if not counted or counted.rank(0) > sys.maxsize:
            raise DamagedImage("it does not tell how many networks it has")
        self._networks = counted.rank(0)
        self.problems = problems
        self._place = place

    def __len__(self) -> int:
        return self._networks

    def get(self, key: bytes) -> tuple[int, MapHit] | None:
        """Return the length of the longest prefix that covers an address of 16 octets, and its entry."""
        index = bisect_right(self._stretches, key) - 1
        length = self._stretches.rank(index) if index >= 0 else 0
        return (length, _hit(self._stretches, index, self._place)) if length else None


class GlobMap:
    """Names by glob: of several parts, the first one with a hit wins."""

    def __init__(self, parts: Sequence[GlobPart] = ()) -> None:
        self._parts = tuple(parts)

    @classmethod
    def of(cls, entries: Iterable[MapEntry], place: str = "") -> "GlobMap":
        """Return a map of these entries; `place` as for `compile_map`."""
        image, problems = compile_map("glob", entries, place)
        return cls([GlobPart(image, glob_matchers(image), place, problems)])

    @property
    def problems(self) -> tuple[str, ...]:
        """The entries that were left out."""
        return tuple(problem for part in self._parts for problem in part.problems)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def get(self, name: str) -> MapHit | None:
        return next((hit for part in self._parts if (hit := part.get(name))), None)


class RadixMap:
    """Addresses by network: of several parts, the one with the longest prefix wins, of these the first."""

    def __init__(self, parts: Sequence[RadixPart] = ()) -> None:
        self._parts = tuple(parts)

    @classmethod
    def of(cls, entries: Iterable[MapEntry], place: str = "") -> "RadixMap":
        """Return a map of these entries; `place` as for `compile_map`."""
        image, problems = compile_map("radix", entries, place)
        return cls([RadixPart(image, problems, place)])

    @property
    def problems(self) -> tuple[str, ...]:
        """The entries that were left out."""
        return tuple(problem for part in self._parts for problem in part.problems)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def get(self, ip: str) -> MapHit | None:
        number = parse_ip(ip)
        if number is None:
            return None
        key = number.to_bytes(_BITS // 8, "big")
        hits = [hit for part in self._parts if (hit := part.get(key))]
        return max(hits, key=lambda hit: hit[0])[1] if hits else None


@dataclass(frozen=True, slots=True)
class Maps:
    """The five maps of the settings, as one snapshot. None: the setting is off."""

    exclude_domains: GlobMap | None = None
    exclude_mxs: GlobMap | None = None
    exclude_ips: RadixMap | None = None
    bad_mxs: GlobMap | None = None
    bad_ips: RadixMap | None = None


KINDS: Final[dict[str, Kind]] = {
    "exclude_domains": "glob",
    "exclude_mxs": "glob",
    "exclude_ips": "radix",
    "bad_mxs": "glob",
    "bad_ips": "radix",
}
"""The map settings, in the order of `Maps`."""
