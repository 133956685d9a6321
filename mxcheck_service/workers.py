"""Several processes on one port: starts them, starts again what dies, ends them all.

The parent has no event loop and no threads, so that a worker can be forked from it at any time. The parent alone has
the writing end of a pipe, whose end tells the workers to leave: when the parent closes it, and when it is no more.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Final

import uvloop

from mxcheck_service.app import LAST_WORDS, Membership, serve
from mxcheck_service.config import Loaded, mask_url
from mxcheck_service.listening import Entrance, entrance
from mxcheck_service.maps.library import Library
from mxcheck_service.reload import Reread
from mxcheck_service.settings import Settings
from mxcheck_service.web.figures import Figures

_log = logging.getLogger(__name__)

_STOP: Final = (signal.SIGTERM, signal.SIGINT)
_SIGNALS_AT_ONCE: Final = 4096

_START_FAILURES: Final = 5
"""Workers in a row that end before they listen, until the service gives up."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds before a dead worker is started again; doubled each time it does not live long."""
_LONG_LIFE: Final = 60.0
"""Seconds after which a death counts as the first one again."""
_GRACE: Final = LAST_WORDS + 4.0
"""Seconds past `server.drain_seconds` after which a worker is taken for stuck."""


class WorkersFailed(Exception):
    """No worker can be started."""


@dataclass(slots=True)
class _Worker:
    process: ForkProcess
    news: Connection
    """Says first that the worker listens, and later each time that it was asked to reload."""
    started: float
    listens: bool = False


def run(settings: Settings, library: Library, reread: Reread) -> None:
    """Serve with `server.workers` processes until SIGTERM or SIGINT, then let them drain. SIGHUP goes to each of them.

    Raises OSError when the port is not to be had, TlsError, and WorkersFailed when workers fail to start repeatedly.
    """
    with ExitStack() as stack:
        signals = stack.enter_context(_signals())
        door = stack.enter_context(entrance(settings.server, shared=True))
        server = settings.server.model_copy(update={"port": door.port})

        def reread_here() -> Loaded:
            # Port 0 has become a number, which is no change.
            loaded = reread()
            if loaded.settings.server.port != settings.server.port:
                return loaded
            found = loaded.settings.server.model_copy(update={"port": server.port})
            return Loaded(loaded.settings.model_copy(update={"server": found}), loaded.warnings)

        parent = _Parent(settings.model_copy(update={"server": server}), library, reread_here, door)
        try:
            parent.supervise(signals)
        finally:
            parent.end()


class Pauses:
    """How long to wait before a dead worker is started again."""

    def __init__(self) -> None:
        self._last: dict[int, float] = {}

    def after(self, number: int, lived: float) -> float:
        """Return seconds for worker `number`, which has `lived` for so many."""
        again = number in self._last and lived < _LONG_LIFE
        self._last[number] = min(_LONGEST_PAUSE, 2 * self._last[number]) if again else _FIRST_PAUSE
        return self._last[number]


class _Parent:
    """Keeps `server.workers` processes alive."""

    def __init__(self, settings: Settings, library: Library, reread: Reread, door: Entrance) -> None:
        self._settings = settings
        self._library = library
        self._reread = reread
        self._door = door
        self._reloaded = False
        """Whether settings and maps may be others than those that a new worker begins with."""
        self._figures = Figures.of(settings.server)
        self._leave, self._stay = os.pipe()
        self._workers: dict[int, _Worker] = {}
        self._due = dict.fromkeys(range(settings.server.workers), time.monotonic())
        """When a worker that is not there is to be started."""
        self._pauses = Pauses()
        self._start_failures = 0

    def supervise(self, signals: socket.socket) -> None:
        """Start workers, again and again when they die, until a signal says to stop; raises WorkersFailed."""
        announced, wanted = False, self._settings.server.workers
        while True:
            for number, due in list(self._due.items()):
                if due <= time.monotonic():
                    self._start(number)
            if not announced and sum(worker.listens for worker in self._workers.values()) == wanted:
                self._door.announce(mask_url(self._settings.cache.url))
                announced = True
            if self._wait(signals):
                return
            for number, worker in list(self._workers.items()):
                if worker.news.poll():
                    self._hear(worker)
                if worker.process.exitcode is not None:
                    self._bury(number, worker)

    def end(self) -> None:
        """Tell the workers to leave and wait for them, for as long as they are allowed to drain."""
        os.close(self._stay)
        last = time.monotonic() + self._settings.server.drain_seconds + _GRACE
        for worker in self._workers.values():
            worker.process.join(max(0.0, last - time.monotonic()))
            if worker.process.exitcode is None:
                _log.error("a worker (pid %d) did not end and is killed", worker.process.pid)
                worker.process.kill()
                worker.process.join()
        os.close(self._leave)

    def _wait(self, signals: socket.socket) -> bool:
        """Wait until something has happened or is due; return whether it is the end."""
        news = [worker.news for worker in self._workers.values()]
        deaths = [worker.process.sentinel for worker in self._workers.values()]
        patience = max(0.0, min(self._due.values()) - time.monotonic()) if self._due else None
        if signals not in wait([signals, *news, *deaths], patience):
            return False
        came = set(signals.recv(_SIGNALS_AT_ONCE))
        if signal.SIGHUP in came:
            self._reload()
        return not came.isdisjoint(_STOP)

    def _reload(self, asked: _Worker | None = None) -> None:
        """Have the workers reload, all but the one that was asked to by a request and does it by itself."""
        self._reloaded = True
        for worker in self._workers.values():
            if worker.listens and worker is not asked and worker.process.exitcode is None:
                _hang_up(worker)

    def _start(self, number: int) -> None:
        del self._due[number]
        news, tell = multiprocessing.Pipe(duplex=False)
        with tell:  # closed here, or the worker's death would not be the end of the news
            process = multiprocessing.get_context("fork").Process(target=self._work, args=(number, tell))
            try:
                process.start()
            except OSError as error:
                news.close()
                self._failed(number, f"cannot be started ({error})", lived=0.0, listened=False)
            else:
                self._workers[number] = _Worker(process, news, time.monotonic())

    def _work(self, number: int, tell: Connection) -> None:
        """Be a worker, from its first moment."""
        # The loop sets its own; until then a signal to this process must not look like one to the parent.
        signal.set_wakeup_fd(-1)
        os.close(self._stay)
        self._figures.take_row(number)

        def say_so() -> None:
            tell.send(True)

        try:
            with self._door.joined() as own:
                member = Membership(self._figures, own, listening=say_so, reload_others=say_so, leave=self._leave)
                uvloop.run(serve(self._settings, self._library, self._reread, member))
        except Exception:
            _log.exception("worker %d failed", number)
            sys.exit(1)

    def _hear(self, worker: _Worker) -> None:
        try:
            worker.news.recv()
        except EOFError:
            return
        if worker.listens:
            self._reload(worker)
            return
        worker.listens = True
        self._start_failures = 0
        if self._reloaded and worker.process.exitcode is None:
            _hang_up(worker)

    def _bury(self, number: int, worker: _Worker) -> None:
        code, lived = worker.process.exitcode, time.monotonic() - worker.started
        assert code is not None
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        how = f"(pid {worker.process.pid}) {how} after {lived:.0f} s"
        worker.process.close()
        worker.news.close()
        del self._workers[number]
        self._figures.metrics.leave_row(number)
        self._failed(number, how, lived=lived, listened=worker.listens)

    def _failed(self, number: int, how: str, *, lived: float, listened: bool) -> None:
        """Note when to start a worker again; raises WorkersFailed when there is no point in it."""
        if not listened:
            self._start_failures += 1
            if self._start_failures >= _START_FAILURES:
                raise WorkersFailed(
                    f"{_START_FAILURES} workers in a row did not come to listen; the last, worker {number}, {how}"
                )
        pause = self._pauses.after(number, lived)
        self._due[number] = time.monotonic() + pause
        _log.error("worker %d %s; it is started again in %.1f s", number, how, pause)


def _hang_up(worker: _Worker) -> None:
    assert worker.process.pid
    os.kill(worker.process.pid, signal.SIGHUP)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Yield a socket at which the number of every SIGTERM, SIGINT and SIGHUP arrives, an octet each."""
    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        for number in (*_STOP, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        yield receiver
        signal.set_wakeup_fd(-1)
