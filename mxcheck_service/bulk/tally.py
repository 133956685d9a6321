"""What a run has come to so far, as numbers: for its exit code, for the progress shown, and for the summary."""

from collections.abc import Mapping

from mxcheck_service.bulk.rows import Row
from mxcheck_service.core.model import Verdict
from mxcheck_service.targets import OK


class Tally:
    """Counts rows. Another thread may read it: what it holds is never resized."""

    def __init__(self) -> None:
        self.rows = 0
        self.resumed = 0
        """Rows of an earlier run among them."""
        self.errors = 0
        """Rows without a verdict."""
        self.exit_code = OK
        self.octets = 0
        """How much of the input is done."""
        self._verdicts = dict.fromkeys(Verdict, 0)

    def add(self, row: Row, octets: int) -> None:
        """Count a row; `octets` of the input are done with it."""
        self.rows += 1
        self.octets = octets
        self.exit_code = max(self.exit_code, row.exit_code)
        kind = row.kind
        if kind is None:
            self.errors += 1
        else:
            self._verdicts[kind] += 1

    @property
    def verdicts(self) -> Mapping[Verdict, int]:
        """How many rows each verdict has, those that occur, most frequent first."""
        counts = sorted(self._verdicts.items(), key=lambda entry: -entry[1])
        return {verdict: count for verdict, count in counts if count}
