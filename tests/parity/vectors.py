"""The recorded outcomes: a header line, then one line of JSON for each scenario in order."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parity.world import Outcome

FILE = Path(__file__).with_name("vectors.jsonl")


@dataclass(frozen=True, slots=True)
class Vector:
    """A recorded outcome, and the digest of the scenario it belongs to."""

    digest: str
    outcome: Outcome


def save(header: dict[str, Any], vectors: Sequence[Vector]) -> None:
    """Write the file."""
    plain = [header, *({"scenario": vector.digest} | vector.outcome.to_plain() for vector in vectors)]
    lines = (json.dumps(line, sort_keys=True, separators=(",", ":")) for line in plain)
    FILE.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def load() -> list[Vector]:
    """Read the file."""
    lines = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return [Vector(line["scenario"], Outcome.from_plain(line)) for line in lines[1:]]
