"""Records the outcomes of all scenarios with the reference: `python -m tests.parity.record`."""

import hashlib

from tests.parity.generate import COUNT, SEED, scenarios
from tests.parity.lua_rspamd import Reference, reference_path
from tests.parity.vectors import FILE, Vector, save


def main() -> None:
    """Run the reference on every scenario and write the vectors."""
    path = reference_path()
    reference = Reference(path)
    vectors = [Vector(scenario.digest(), reference.run(scenario)) for scenario in scenarios()]
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    save({"seed": SEED, "count": COUNT, "reference_sha256": sha256}, vectors)
    print(f"{len(vectors)} outcomes in {FILE}, {FILE.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
