"""What a person sees of a run: a live bar while it goes on, a table at its end. All of it on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mxcheck_service.bulk.tally import Tally
from mxcheck_service.core.model import Verdict
from mxcheck_service.targets import UNKNOWN

_PER_SECOND = 4
_FINE = frozenset({Verdict.GOOD, Verdict.ERROR, Verdict.WHITE})
_SAYS = {
    Verdict.GOOD: "receives mail",
    Verdict.REFUSED: "connection refused",
    Verdict.TIMEOUT_CONNECT: "no answer to the connection",
    Verdict.TIMEOUT_READ: "no greeting in time",
    Verdict.INVALID: "does not speak SMTP",
    Verdict.ERROR: "speaks SMTP, turns us away",
    Verdict.NONE: "no MX, A or AAAA record",
    Verdict.BROKEN: "no MX host resolves",
    Verdict.NULL: "receives no mail (Null MX)",
    Verdict.DNS_FAIL: "DNS failed",
    Verdict.WHITE: "trusted by a map",
    Verdict.SKIP: "not probed, a map says so",
    Verdict.BAD_MX: "MX host listed as bad",
    Verdict.BAD_IP: "MX address listed as bad",
    Verdict.IP_CLASS_SKIPPED: "no public address",
    Verdict.INFLIGHT: "no verdict in time",
    Verdict.REDIS_ERROR: "not probed, the cache failed",
    Verdict.UNAVAILABLE: "could not be probed from here",
    Verdict.RATELIMITED: "not probed, too many probes",
}


def live(tally: Tally, total: int | None, *, shown: bool) -> AbstractContextManager[object]:
    """Show the progress while the context lasts. `total`: octets of the input, None when unknown."""
    return _Bar(tally, total).live() if shown else nullcontext()


class _Bar:
    """Drawn by a thread of its own, which reads the tally: a terminal that stands still holds up no probe."""

    def __init__(self, tally: Tally, total: int | None) -> None:
        self._tally = tally
        self._total = total
        self._progress = Progress(
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]:,} lines"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            auto_refresh=False,
            expand=True,
        )
        self._task = self._progress.add_task("", total=total, completed=self._done, rows=tally.rows, rate="- lines/s")

    @contextmanager
    def live(self) -> Iterator[None]:
        with Live(
            get_renderable=self._draw,
            console=Console(stderr=True, highlight=False),
            refresh_per_second=_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield

    @property
    def _done(self) -> int:
        """How far the bar is: octets where their total is known, else rows."""
        return self._tally.rows if self._total is None else self._tally.octets

    def _draw(self) -> RenderableType:
        rows, done = self._tally.rows, self._done
        speed = self._progress.tasks[0].speed
        rate = "- lines/s" if not speed or not done else f"{speed * rows / done:,.0f} lines/s"
        self._progress.update(self._task, completed=done, rows=rows, rate=rate)
        counts = [_styled(verdict, f"{verdict} {count:,}") for verdict, count in self._tally.verdicts.items()]
        if self._tally.errors:
            counts.append(Text(f"error {self._tally.errors:,}", style="yellow"))
        return Group(self._progress.get_renderable(), Text("  ").join(counts))


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def summary(tally: Tally, seconds: float) -> RenderableType:
    """Return the table at the end."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("lines", justify="right")
    table.add_column("", justify="right")
    table.add_column("verdict")
    table.add_column("meaning")
    for verdict, count in tally.verdicts.items():
        table.add_row(f"{count:,}", _share(count, tally.rows), _styled(verdict, verdict), _SAYS[verdict])
    if tally.errors:
        table.add_row(f"{tally.errors:,}", _share(tally.errors, tally.rows), Text("-", style="yellow"), "not checked")
    fresh = tally.rows - tally.resumed
    last = f"{tally.rows:,} lines"
    if tally.resumed:
        last += f", {tally.resumed:,} of them before"
    last += f"; {seconds:.1f} s, {fresh / seconds if seconds else 0:,.0f} lines/s"
    return Group(table, Text(last)) if tally.rows else Text(last)


def show_summary(tally: Tally, seconds: float) -> None:
    """Print the table, with colours on a terminal."""
    Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 100).print(summary(tally, seconds))


def _share(count: int, rows: int) -> str:
    return f"{count / rows:.1%}"


def _styled(verdict: Verdict, text: str) -> Text:
    if verdict in _FINE:
        return Text(text, style="green")
    if verdict in UNKNOWN:
        return Text(text, style="yellow")
    return Text(text, style="dim" if verdict is Verdict.SKIP else "red")
