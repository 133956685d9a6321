"""schemathesis against the running service, for `bench.fuzz`: generated requests by its own OpenAPI document.

Every reply has to be as documented, and none a 5xx; tests/e2e/test_schemathesis.py does the same for a moment. It is
run again and again, each time with another seed, until the time is over.
"""

import asyncio
import os
import re
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench import report
from tests.e2e.test_schemathesis import SETTINGS, document_of
from tests.lab.dnsd import DnsServer
from tests.lab.service import Service

NAME: Final = "interface"
_EXAMPLES: Final = 30
"""Generated requests for each operation, in one run."""
_GENERATED: Final = re.compile(r"(\d+) generated")


def fuzz(seconds: int, folder: Path) -> dict[str, Any]:
    """Run it to the end of its time and return the row of the result file; what it found is written into the folder."""
    return asyncio.run(_fuzz(seconds, folder))


async def _fuzz(seconds: int, folder: Path) -> dict[str, Any]:
    began, generated, seed, findings = time.monotonic(), 0, 0, []
    before = os.times()
    async with DnsServer() as dns:
        with (
            Service({"dns": {"nameservers": [dns.nameserver]}}) as service,
            tempfile.TemporaryDirectory(prefix="mxcheck-fuzz-") as temporary,
        ):
            document = await document_of(service, Path(temporary), secured=False)
            (Path(temporary) / "schemathesis.toml").write_text(SETTINGS)
            while time.monotonic() < began + seconds:
                seed += 1
                code, said = await _schemathesis(document, service.url, seed)
                generated += sum(map(int, _GENERATED.findall(said)))
                if code != 0 or not service.running or "crashed" in service.log:
                    findings.append(f"seed-{seed}")
                    (folder / f"{NAME}-{seed}.log").write_text(said + service.log)
    after = os.times()
    return {
        "target": NAME,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": report.commit(),
        "seconds": round(time.monotonic() - began),
        "cpu_seconds": round(sum(after[:4]) - sum(before[:4])),
        "executions": generated,
        "corpus": None,
        "findings": findings,
    }


async def _schemathesis(document: Path, url: str, seed: int) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "nice", "-n", "19", sys.executable, "-m", "schemathesis.cli",
        "--config-file", str(document.with_name("schemathesis.toml")), "run", str(document), "--url", url,
        "--seed", str(seed), "--max-examples", str(_EXAMPLES), "--phases", "examples,coverage,fuzzing",
        "--continue-on-failure", "--no-color",
        cwd=document.parent,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    except BaseException:
        process.kill()
        raise
    return await process.wait(), output.decode()
