"""What the service remembers of itself for its console: an hour of counts, the latest verdicts that were not good."""

from collections.abc import Iterable
from typing import Final, NoReturn

from mxcheck_service.checker import Report
from mxcheck_service.history import History
from mxcheck_service.metrics import Metrics
from mxcheck_service.ports import Clock
from mxcheck_service.recent import KEPT, Recent

_TICK: Final = 1.0
"""Seconds between two looks at what is to be noted."""


class Lookback:
    """`checks`: the endpoints whose requests are checks; `recent`: so many verdicts are kept, 0 for none; `workers`: so
    many processes share what is remembered."""

    def __init__(self, metrics: Metrics, checks: Iterable[str], *, recent: int, workers: int = 1) -> None:
        self.history = History(metrics, checks)
        self.recent = Recent(recent, workers) if recent else None

    def take_row(self, number: int) -> None:
        """This process has become worker `number`."""
        if self.recent:
            self.recent.take_row(number)

    def saw(self, report: Report) -> None:
        """Take in what a check told."""
        if self.recent is None:
            return
        kept = report.memo.get("kept")
        if kept is None:
            # A report that is given again has nearly always nothing in it that is kept; it is looked through once.
            results = [domain.result for domain in report.domains]
            kept = report.memo["kept"] = [each for each in results if each.lookup.outcome.verdict in KEPT]
        for result in kept:
            self.recent.saw(result)

    async def watch(self, clock: Clock) -> NoReturn:
        """Note what is due, for ever."""
        while True:
            self.history.note(clock.monotonic())
            if self.recent:
                self.recent.publish()
            await clock.sleep(_TICK)
