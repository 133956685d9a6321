"""`mxcheck doctor` within the test's own process: what it finds under given settings, with real servers around it."""

from pathlib import Path
from typing import NamedTuple

from mxcheck_service import present
from mxcheck_service.app import instruments
from mxcheck_service.config import load
from mxcheck_service.core.endpoint import endpoint
from mxcheck_service.doctor.examination import examine as find_out
from mxcheck_service.doctor.judgement import judge
from mxcheck_service.doctor.rows import Status, exit_code

GOOD, WARNINGS, FAILURES = 0, 1, 2
"""Exit codes."""


class Findings(NamedTuple):
    code: int
    rows: list[dict[str, str]]

    def of(self, area: str) -> list[tuple[str, str]]:
        """(status, what was found) of each row of an area."""
        return [(row["status"], row["found"]) for row in self.rows if row["area"] == area]

    def bad(self) -> dict[str, str]:
        """The heading of the manual for each area that is not well."""
        return {row["area"]: row["see"] for row in self.rows if row["status"] in ("warn", "fail")}


async def examine(config: Path, *targets: str) -> Findings:
    """What `mxcheck doctor --json` would print, without the second that a child needs to start."""
    loaded = load(config, {})
    async with instruments(loaded.settings) as tools:
        facts = await find_out(loaded.settings, tools, [endpoint(text) for text in targets], loaded.warnings)
    rows = judge(loaded.settings, facts)
    assert all(row.advice for row in rows if row.status is not Status.OK), "what is not well comes with advice"
    return Findings(exit_code(rows), present.health_document(rows))
