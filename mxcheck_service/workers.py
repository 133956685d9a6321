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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Final

import uvloop

from mxcheck_service.app import LAST_WORDS, Membership, announce, load_maps, serve
from mxcheck_service.maps import LoadedMaps
from mxcheck_service.metrics import Metrics
from mxcheck_service.settings import Settings
from mxcheck_service.web.routes import ENDPOINTS

_log = logging.getLogger(__name__)

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
    """Says once that the worker listens."""
    started: float
    listens: bool = False


def run(settings: Settings) -> None:
    """Serve with `server.workers` processes until SIGTERM or SIGINT, then let them drain.

    Raises OSError when the port is not to be had, MapError, and WorkersFailed when workers fail to start repeatedly.
    """
    loaded = load_maps(settings)
    with ExitStack() as stack:
        stop = stack.enter_context(_stop_signals())
        reserved = [stack.enter_context(taken) for taken in _reserve(settings.server.host, settings.server.port)]
        addresses = [taken.getsockname() for taken in reserved]
        server = settings.server.model_copy(update={"port": addresses[0][1]})
        parent = _Parent(settings.model_copy(update={"server": server}), loaded)
        try:
            parent.supervise(stop, addresses)
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

    def __init__(self, settings: Settings, loaded: LoadedMaps) -> None:
        self._settings = settings
        self._loaded = loaded
        self._metrics = Metrics(ENDPOINTS, settings.server.workers)
        self._leave, self._stay = os.pipe()
        self._workers: dict[int, _Worker] = {}
        self._due = dict.fromkeys(range(settings.server.workers), time.monotonic())
        """When a worker that is not there is to be started."""
        self._pauses = Pauses()
        self._start_failures = 0

    def supervise(self, stop: socket.socket, addresses: Sequence[Any]) -> None:
        """Start workers, again and again when they die, until `stop` is readable; raises WorkersFailed."""
        announced, wanted = False, self._settings.server.workers
        while True:
            for number, due in list(self._due.items()):
                if due <= time.monotonic():
                    self._start(number)
            if not announced and sum(worker.listens for worker in self._workers.values()) == wanted:
                announce(self._settings, addresses)
                announced = True
            if self._wait(stop):
                return
            for number, worker in list(self._workers.items()):
                if not worker.listens and worker.news.poll():
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

    def _wait(self, stop: socket.socket) -> bool:
        """Wait until something has happened or is due; return whether it is the end."""
        news = [worker.news for worker in self._workers.values() if not worker.listens]
        deaths = [worker.process.sentinel for worker in self._workers.values()]
        patience = max(0.0, min(self._due.values()) - time.monotonic()) if self._due else None
        return stop in wait([stop, *news, *deaths], patience)

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
        self._metrics.take_row(number)

        def listening() -> None:
            tell.send(True)
            tell.close()

        try:
            uvloop.run(serve(self._settings, self._loaded, Membership(self._metrics, listening, self._leave)))
        except Exception:
            _log.exception("worker %d failed", number)
            sys.exit(1)

    def _hear(self, worker: _Worker) -> None:
        try:
            worker.listens = worker.news.recv()
        except EOFError:
            return
        self._start_failures = 0

    def _bury(self, number: int, worker: _Worker) -> None:
        code, lived = worker.process.exitcode, time.monotonic() - worker.started
        assert code is not None
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        how = f"(pid {worker.process.pid}) {how} after {lived:.0f} s"
        worker.process.close()
        worker.news.close()
        del self._workers[number]
        self._metrics.leave_row(number)
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


def _reserve(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket bound to each address of `host`, which workers may share and no other service has.

    Port 0 is one free port, the same for all. Raises OSError.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        taken = socket.socket(family, kind, protocol)
        # What the last one to serve here has left in TIME_WAIT is in nobody's way.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            taken.bind((address[0], port, *address[2:]))
        except OSError as error:
            taken.close()
            reason = str(error.strerror).lower()
            raise OSError(error.errno, f"error while attempting to bind on address {address}: {reason}") from None
        # Only now: bound with this option, another mxcheck's workers would be joined instead of noticed. What is
        # noticed is a socket that listens; two services started in the same moment are beyond it.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = taken.getsockname()[1]
        yield taken


@contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """Yield a socket that becomes readable once SIGTERM or SIGINT has come."""
    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        yield receiver
        signal.set_wakeup_fd(-1)
