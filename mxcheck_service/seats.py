"""Seats: how many connections to mail hosts a process holds open at once, and who gives way when there is no room.

Strangers decide which hosts are met, and each of these how long a connection to it lasts, within the prober's patience.
So connections are bounded, and shared in such a way that nobody gets them all:

- A connection whose verdict has been told (it waits for the reply to QUIT, or for a late greeting) is spare: it ends
  when its seat is needed, the oldest first.
- A network, the same one as that which is limited in a minute, has no more seats than are left for all others. So a
  single one gets half of them, two get a third each, and there is always as much left as the largest holds.

Who gets no seat is not probed, and not blamed either.
"""

import asyncio
from collections import Counter
from typing import Any

from mxcheck_service.core.limits import network_of


class Seats:
    """The seats of a process; `allowed`: so many its file descriptors allow, whatever is wished for."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._busy: Counter[str] = Counter()
        self._spare: dict[Seat, asyncio.Task[Any]] = {}
        self.open = 0
        """Connections that are open, or being made."""
        self.busy = 0
        """How many of them are needed for a verdict that somebody may wait for."""
        self.refused = 0
        """How often there was no seat."""

    def take(self, ip: str, wished: int) -> "Seat | None":
        """Take a seat for a connection to this address; None: there is none, or its network has its share.

        `wished`: most seats, as the settings have it; 0: any number.
        """
        if not wished:
            return self._taken("")
        most = min(wished, self._allowed)
        network = network_of(ip)
        if self._busy[network] >= most - self.busy:
            self.refused += 1
            return None
        if self.open >= most and self._spare:
            # It closes its connection when it is next in turn: for a moment there is one more.
            self._spare.pop(next(iter(self._spare))).cancel()
        return self._taken(network)

    def _taken(self, network: str) -> "Seat":
        self.open += 1
        self.busy += 1
        self._busy[network] += 1
        return Seat(self, network)

    def no_longer_busy(self, network: str) -> None:
        """Take a seat off those that a network holds."""
        self.busy -= 1
        self._busy[network] -= 1
        if not self._busy[network]:
            del self._busy[network]

    def to_spare(self, seat: "Seat", task: asyncio.Task[Any]) -> None:
        """Note who is to be cancelled for this seat."""
        self._spare[seat] = task

    def freed(self, seat: "Seat") -> None:
        """Take a seat back."""
        self._spare.pop(seat, None)
        self.open -= 1


class Seat:
    """The seat of one connection, until it is closed."""

    def __init__(self, seats: Seats, network: str) -> None:
        self._seats = seats
        self._network: str | None = network
        self._is_left = False

    def give_way(self, task: asyncio.Task[Any]) -> None:
        """Have this task cancelled when the seat is needed; it has to leave it then."""
        if not self._is_left:
            self._no_longer_busy()
            self._seats.to_spare(self, task)

    def leave(self) -> None:
        """Free the seat. A second time this does nothing."""
        if not self._is_left:
            self._is_left = True
            self._no_longer_busy()
            self._seats.freed(self)

    def _no_longer_busy(self) -> None:
        if self._network is not None:
            self._seats.no_longer_busy(self._network)
            self._network = None
