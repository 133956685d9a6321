"""c-ares driven by the event loop."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar

import aiodns
import pycares

_T = TypeVar("_T")
_NO_SOCKET: Final = pycares.ARES_SOCKET_BAD


class LoopDriven(aiodns.DNSResolver):
    """An aiodns resolver that c-ares serves from the event loop, when a socket of it is ready or its time has come.

    By default c-ares has a thread, which needs the interpreter's lock for each answer: while the loop is at work it
    gets that after sys.getswitchinterval(), 5 ms, and then the loop waits for it. aiodns can do without, for systems
    that lack inotify, but looks for questions to repeat only every second, and once a socket was waited for to be
    written to is told without end that it can be. So its hooks are overridden here.

    `shortest_try`: seconds that c-ares waits for an answer at least. The other options are those of aiodns.
    """

    def __init__(self, *, shortest_try: float, **options: Any) -> None:
        self._look = shortest_try / 2
        super().__init__(**options)

    def ask(self, name: str, question: int, keep: Callable[[pycares.DNSResult], _T]) -> asyncio.Future[_T]:
        """Ask for records of a type; return what `keep` makes of the answer, which is not held any longer.

        It may have thousands of records, with some objects for each, and a turn of the loop may bring many such answers
        before the first task that waits for one runs. Raises aiodns.error.DNSError as `query_dns` does.
        """
        kept: asyncio.Future[_T] = self.loop.create_future()

        def answered(answer: Any, error: int | None) -> None:
            self._callback(kept, keep(answer) if error is None else answer, error)

        with self._capture_ares_error(kept):
            self._channel.query(name, question, callback=answered)
        return kept

    def _make_channel(self, **options: Any) -> tuple[bool, pycares.Channel]:
        # c-ares holds on to what it calls; this must not keep the resolver, which closes the channel when it goes.
        weak = weakref.ref(self)

        def state(fd: int, readable: bool, writable: bool) -> None:
            if (resolver := weak()) is not None:
                resolver._sock_state_cb(fd, readable, writable)

        return False, pycares.Channel(sock_state_cb=state, timeout=self._timeout, **options)

    def _sock_state_cb(self, fd: int, readable: bool, writable: bool) -> None:
        """Wait for what c-ares wants to know of a socket; it is about to close one of which it wants nothing."""
        if readable and fd not in self._read_fds:
            self._read_fds.add(fd)
            self.loop.add_reader(fd, self._channel.process_fd, fd, _NO_SOCKET)
        elif not readable and fd in self._read_fds:
            self._read_fds.discard(fd)
            self.loop.remove_reader(fd)
        if writable and fd not in self._write_fds:
            self._write_fds.add(fd)
            self.loop.add_writer(fd, self._channel.process_fd, _NO_SOCKET, fd)
        elif not writable and fd in self._write_fds:
            self._write_fds.discard(fd)
            self.loop.remove_writer(fd)
        if (self._read_fds or self._write_fds) and self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        """Come back when the first question has waited long enough; soon, since one may be asked meanwhile."""
        wait: float = self._channel.timeout(self._look)  # type: ignore[no-untyped-call]
        self._timer = self.loop.call_later(wait, self._timer_cb)
