"""What is counted, and what the console remembers of it: made before there are workers, who share it."""

from typing import NamedTuple, Self

from mxcheck_service.lookback import Lookback
from mxcheck_service.metrics import Metrics
from mxcheck_service.settings import ServerSettings
from mxcheck_service.web.routes import CHECKS, ENDPOINTS


class Figures(NamedTuple):
    """`lookback`: None when there is no console to show it."""

    metrics: Metrics
    lookback: Lookback | None

    @classmethod
    def of(cls, server: ServerSettings) -> Self:
        """Return those of a service with these settings."""
        metrics, workers = Metrics(ENDPOINTS, server.workers), server.workers
        if not server.has_console:
            return cls(metrics, None)
        return cls(metrics, Lookback(metrics, CHECKS, recent=server.recent_verdicts, workers=workers))

    def take_row(self, number: int) -> None:
        """This process has become worker `number`."""
        self.metrics.take_row(number)
        if self.lookback:
            self.lookback.take_row(number)
