"""One target under libFuzzer, for `bench.fuzz`: its name, the folder for findings, and libFuzzer's own arguments.

A finding does not end the run: one input for each place and kind of error is written down.
"""

import hashlib
import sys
import traceback
from pathlib import Path
from types import TracebackType

import atheris

with atheris.instrument_imports(include=["mxcheck_service", "email", "idna", "yaml", "csv", "json", "redis"]):
    from tests.hostile.fuzz.targets import TARGETS


def main() -> None:
    name, findings, *options = sys.argv[1:]
    known: set[str] = set()
    with TARGETS[name].timed() as check:

        def one(data: bytes) -> None:
            try:
                check(data)
            except Exception as error:
                kind = _kind(error)
                if kind not in known:
                    known.add(kind)
                    found = Path(findings) / f"finding-{hashlib.sha256(kind.encode()).hexdigest()[:8]}"
                    found.write_bytes(data)
                    print(f"{found}: {data!r}", file=sys.stderr)
                    traceback.print_exception(error)

        atheris.Setup([sys.argv[0], *options], one)
        atheris.Fuzz()


def _kind(error: Exception) -> str:
    """Tell errors apart by their type and by the last line of the service that they passed."""
    place = ""
    frame: TracebackType | None = error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        if "mxcheck_service" in code.co_filename or "tests/hostile" in code.co_filename:
            place = f"{Path(code.co_filename).name}:{code.co_name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return f"{type(error).__name__} {place}"


if __name__ == "__main__":
    main()
