"""A sorted table in one piece of memory, which one process builds and others read as it is.

A map of a million entries as Python objects takes seconds to build, gives the garbage collector a million things to
look at, and stops everything once more when it is dropped. Reading this takes no step for each row.
"""

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

Image: TypeAlias = "bytes | memoryview[int]"
"""A table, or several in a row."""

_HEAD: Final = struct.Struct("=QQQ")


class DamagedImage(ValueError):
    """An image is not what `build` has made."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the image of the map is damaged: {why}")


class Row(NamedTuple):
    """What is kept of a map's entry: its key, a number that decides between several hits, and a text."""

    key: bytes
    rank: int
    text: bytes


def build(rows: Sequence[Row]) -> bytes:
    """Return the image of a table with these rows, which are in the order of their keys if `Table` is to find them."""
    keys = array("Q", accumulate((len(row.key) for row in rows), initial=0))
    texts = array("Q", accumulate((len(row.text) for row in rows), initial=0))
    parts: Iterable[bytes] = (
        _HEAD.pack(len(rows), keys[-1], texts[-1]),
        keys.tobytes(),
        texts.tobytes(),
        array("Q", (row.rank for row in rows)).tobytes(),
        b"".join(row.key for row in rows),
        b"".join(row.text for row in rows),
    )
    return b"".join(parts)


class Table:
    """The keys of an image, to be searched with `bisect`, and what belongs to each. `size`: its octets.

    Raises DamagedImage. What is damaged within it reads as other keys and texts, within the image.
    """

    def __init__(self, image: Image) -> None:
        view = memoryview(image)
        if len(view) < _HEAD.size:
            raise DamagedImage(f"it has {len(view)} octets")
        self._length, keys, texts = _HEAD.unpack_from(view)
        column = 8 * (self._length + 1)
        self.size = _HEAD.size + 3 * column - 8 + keys + texts
        if len(view) < self.size:
            raise DamagedImage(f"it has {len(view)} octets of {self.size}")
        _, key_ends, text_ends, ranks, self._keys, self._texts = _cut(
            view, (_HEAD.size, column, column, column - 8, keys, texts)
        )
        self._key_ends = key_ends.cast("Q")
        self._text_ends = text_ends.cast("Q")
        self._ranks = ranks.cast("Q")

    def __len__(self) -> int:
        return int(self._length)

    def __iter__(self) -> Iterator[bytes]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> bytes:
        ends = self._key_ends
        return bytes(self._keys[ends[index] : ends[index + 1]])

    def rank(self, index: int) -> int:
        return int(self._ranks[index])

    def text(self, index: int) -> bytes:
        ends = self._text_ends
        return bytes(self._texts[ends[index] : ends[index + 1]])


def _cut(view: memoryview, lengths: Iterable[int]) -> Iterator[memoryview]:
    start = 0
    for length in lengths:
        yield view[start : start + length]
        start += length
