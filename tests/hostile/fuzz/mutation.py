"""Inputs made of others, the same ones on every run. bench.fuzz has a better way: it sees what an input reaches."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial

Change = Callable[[random.Random, bytearray], None]


def mutations(corpus: Sequence[bytes], words: Sequence[bytes], longest: int, count: int, seed: str) -> Iterator[bytes]:
    """Yield so many inputs, each one of the corpus with a few changes."""
    dice = random.Random(seed)
    changes: Sequence[Change] = (
        _flip, _replace, _delete, _insert, _repeat, partial(_splice, corpus),
        *([partial(_word, words)] * 3 if words else []),
    )  # fmt: skip
    for _ in range(count):
        data = bytearray(dice.choice(corpus))
        for _ in range(dice.randint(1, 5)):
            dice.choice(changes)(dice, data)
        yield bytes(data[:longest])


def _place(dice: random.Random, data: bytearray) -> int:
    return dice.randint(0, len(data))


def _stretch(dice: random.Random, data: bytearray) -> slice:
    start = _place(dice, data)
    return slice(start, start + dice.choice((1, 2, 4, 16, 64)))


def _flip(dice: random.Random, data: bytearray) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _replace(dice: random.Random, data: bytearray) -> None:
    if data:
        data[dice.randrange(len(data))] = dice.choice((0, 9, 10, 13, 32, 127, 128, 255, dice.randrange(256)))


def _delete(dice: random.Random, data: bytearray) -> None:
    del data[_stretch(dice, data)]


def _insert(dice: random.Random, data: bytearray) -> None:
    place = _place(dice, data)
    data[place:place] = dice.randbytes(dice.choice((1, 2, 4, 16)))


def _repeat(dice: random.Random, data: bytearray) -> None:
    stretch = _stretch(dice, data)
    data[stretch.start : stretch.start] = data[stretch] * dice.choice((1, 2, 10, 100))


def _splice(corpus: Sequence[bytes], dice: random.Random, data: bytearray) -> None:
    other = bytearray(dice.choice(corpus))
    place = _place(dice, data)
    data[place : place + dice.choice((0, 4, 64))] = other[_stretch(dice, other)]


def _word(words: Sequence[bytes], dice: random.Random, data: bytearray) -> None:
    place = _place(dice, data)
    data[place : place + dice.choice((0, 0, 1, 4))] = dice.choice(words)
