"""When nobody answers, is it them or is it us? A circuit breaker over the connections of one address family.

A verdict "does not answer" lives for hours, so one that our own network brought about is dear: good senders are
punished until it expires. Withholding a true one costs nearly nothing: the sender gets 0.0 this time, nothing is
cached, and the next trial tells. So the breaker is quick to doubt, and asks about what it doubts before it opens:

- Silence is believed without more ado when anybody answered since the attempt began (give or take `SLACK`): the way out
  was open. On a busy service that settles nearly every one.
- When the last `DOUBT` networks were all silent, witnesses are asked: hosts that accepted a connection within a day, or
  those that the operator names (these at any silence, not only the third). If 4 of 10 networks that are tried are dead,
  as in traffic that is mostly spam, one run of three in 16 is all silent (0.4 ** 3); asking costs a few connections,
  and is not done again within `ASK_FIRST` seconds. A burst of dead domains therefore cannot switch probing off once any
  host has accepted a connection and still does.
- Only when there is nobody to ask, as after a start, statistics decide: at least `ENOUGH` networks, and `SHARE` of the
  latest `RECENT` of them without an answer. With 4 dead in 10 the first five are so by chance in 1 start of 100
  (0.4 ** 5), with 2 in 10 in 1 of 3000. The first trial, a second later, ends it unless it is of a dead host, too.
- Refusals are answers, and parked domains refuse in flocks. A firewall that rejects everything looks the same, but for
  the witnesses, which it refuses, too. So refusals alone never open the breaker: `RECENT` networks have to be tried,
  `SHARE` of them to refuse and none to accept, and then the witnesses have to be refused or silent.

Networks are counted (/24, /64), not hosts: a dead provider has many of these. Times are seconds of any clock.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from math import inf
from typing import Final

WINDOW: Final = 600.0
"""What was seen longer ago no longer counts; failures since then are taken back when the breaker opens."""
RECENT: Final = 20
"""Networks that count, the latest tried: a busy service need not wait until the window has only failures."""
ENOUGH: Final = 5
SHARE: Final = 0.9
DOUBT: Final = 3
SLACK: Final = 1.0
"""Seconds before an attempt in which an answer still tells that the way out was open then."""
ASK_FIRST: Final = 5.0
ASK_LAST: Final = 30.0
"""Seconds between two questions to witnesses, doubled while nobody else answers. So long a good word holds."""
TRIAL_FIRST: Final = 1.0
TRIAL_LAST: Final = 30.0
"""Seconds between two trials of an open breaker; doubled after each that failed."""
WITNESSES: Final = 8
WITNESS_AGE: Final = 86400.0
"""How many hosts are kept that could be asked, and how long after they were last connected to."""
ASKED: Final = 3
"""Witnesses asked at a time."""
MOST_FAILURES: Final = 1000
"""Addresses that are remembered for being taken back."""


class Evidence(StrEnum):
    """How an attempt to connect ended. FAULT: this host could not even try."""

    CONNECTED = "connected"
    REFUSED = "refused"
    SILENT = "silent"
    FAULT = "fault"


_NOTHING: Final = frozenset({Evidence.SILENT, Evidence.FAULT})


class Admission(Enum):
    """Whether a connection may be tried. TRIAL: as the only one, and it has to be told how it ended."""

    FREE = "free"
    TRIAL = "trial"
    WITHHELD = "withheld"


class Belief(Enum):
    """Whether an outcome is the target's. ASK: witnesses know; tell the breaker what they say (`heard`)."""

    TRUE = "true"
    ASK = "ask"
    FALSE = "false"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A connection attempt that has ended, `began` seconds on the clock."""

    ip: str
    network: str
    began: float
    evidence: Evidence
    trial: bool = False


class Breaker:
    """Follows the attempts of one address family. Opened, it withholds them all but one trial now and then.

    `cause` is SILENT or REFUSED while open, `since` when that began; `tried` is how many networks that rests on.
    """

    def __init__(self) -> None:
        self.cause: Evidence | None = None
        self.since = 0.0
        self.tried = 0
        self._seen: dict[str, tuple[float, Evidence]] = {}
        self._failures: dict[str, tuple[float, Evidence]] = {}
        self._witnesses: dict[str, tuple[float, str]] = {}
        self._connected = self._answered = -inf
        self._vouched = self._ask_at = -inf
        self._ask_gap = ASK_FIRST
        self._trial_at = -inf
        self._trial_gap = TRIAL_FIRST
        self._on_trial = False

    def admit(self, now: float) -> Admission:
        """Tell whether a connection may be tried now."""
        if self.cause is None:
            return Admission.FREE
        if self._on_trial or now < self._trial_at:
            return Admission.WITHHELD
        self._on_trial = True
        return Admission.TRIAL

    def abandoned(self, now: float) -> None:
        """A trial was given up before its end."""
        self._on_trial = False
        self._trial_at = now + self._trial_gap

    def ended(self, attempt: Attempt, now: float, *, strict: bool = False) -> Belief:
        """Take in how an attempt ended. `strict`: ask about every silence, not only after several."""
        if attempt.trial:
            self._trial_gap = min(2 * self._trial_gap, TRIAL_LAST)
            self.abandoned(now)
        self._note(attempt, now)
        match attempt.evidence:
            case Evidence.CONNECTED:
                self._connected = self._answered = now
                self._witnesses.pop(attempt.network, None)
                self._witnesses[attempt.network] = (now, attempt.ip)
                if len(self._witnesses) > WITNESSES:
                    del self._witnesses[next(iter(self._witnesses))]
                self._ask_gap = ASK_FIRST
                self._close(now)
                return Belief.TRUE
            case Evidence.REFUSED if self.cause is not Evidence.REFUSED:
                self._answered = now
                self._close(now)
        if self.cause is not None:
            return Belief.ASK if attempt.trial else Belief.FALSE
        return self._judged(attempt, now, strict=strict)

    def asks(self, now: float) -> bool:
        """Tell whether witnesses may be asked now; if so, they are not to be asked again for a while."""
        if now < self._ask_at:
            return False
        self._ask_at = now + self._ask_gap
        self._ask_gap = min(2 * self._ask_gap, ASK_LAST)
        return True

    def witnesses(self, now: float) -> list[str]:
        """Return the addresses of hosts that have accepted connections, the latest first."""
        fresh = [ip for at, ip in self._witnesses.values() if now - at <= WITNESS_AGE]
        return fresh[: -ASKED - 1 : -1]

    def heard(self, word: Evidence | None, asked: float, now: float, doubted: Evidence) -> Belief:
        """Take in what witnesses say who were asked at `asked` about an outcome: the best that came of any of them.

        None: there are none, or it is too soon to ask them again.
        """
        doubted = self.cause or (Evidence.SILENT if doubted in _NOTHING else doubted)
        answered = self._connected if doubted is Evidence.REFUSED else self._answered
        if word is Evidence.CONNECTED or (word is Evidence.REFUSED and doubted is Evidence.SILENT):
            self._close(now)
            self._vouched = self._ask_at
        elif word is not None:
            if answered < asked:
                self._open(doubted, now)
        elif doubted is Evidence.SILENT and self._statistics():
            self._open(doubted, now)
        return Belief.TRUE if self.cause is None else Belief.FALSE

    def taken_back(self, now: float) -> list[str]:
        """Return the addresses whose failures are not believed any more, each once."""
        alike = _NOTHING if self.cause is Evidence.SILENT else {self.cause}
        found = [ip for ip, (at, evidence) in self._failures.items() if evidence in alike and now - at <= WINDOW]
        self._failures.clear()
        return found

    def _judged(self, attempt: Attempt, now: float, *, strict: bool) -> Belief:
        if attempt.evidence is Evidence.REFUSED:
            open_way = max(self._connected, self._vouched) >= attempt.began - SLACK
            return Belief.TRUE if open_way or not self._all_refuse() else Belief.ASK
        if max(self._answered, self._vouched) >= attempt.began - SLACK:
            return Belief.TRUE
        if attempt.evidence is Evidence.FAULT:
            # The system has said what is wrong, and no verdict hangs on it: nobody needs to be asked.
            if self._statistics():
                self._open(Evidence.SILENT, now)
            return Belief.TRUE if self.cause is None else Belief.FALSE
        latest = [evidence for _, evidence in self._seen.values()][-DOUBT:]
        run = len(latest) == DOUBT and _NOTHING.issuperset(latest)
        return Belief.ASK if strict or run else Belief.TRUE

    def _statistics(self) -> bool:
        silent = sum(evidence in _NOTHING for _, evidence in self._seen.values())
        return len(self._seen) >= ENOUGH and silent >= SHARE * len(self._seen)

    def _all_refuse(self) -> bool:
        kinds = [evidence for _, evidence in self._seen.values()]
        refusals = kinds.count(Evidence.REFUSED)
        return len(kinds) == RECENT and refusals >= SHARE * RECENT and Evidence.CONNECTED not in kinds

    def _note(self, attempt: Attempt, now: float) -> None:
        self._seen.pop(attempt.network, None)
        self._seen[attempt.network] = (now, attempt.evidence)
        while len(self._seen) > RECENT or now - next(iter(self._seen.values()))[0] > WINDOW:
            del self._seen[next(iter(self._seen))]
        if attempt.evidence is not Evidence.CONNECTED:
            self._failures.pop(attempt.ip, None)
            self._failures[attempt.ip] = (now, attempt.evidence)
            if len(self._failures) > MOST_FAILURES:
                del self._failures[next(iter(self._failures))]

    def _open(self, cause: Evidence, now: float) -> None:
        if self.cause is None:
            self.cause, self.since, self.tried = cause, now, len(self._seen)
            self._trial_gap = TRIAL_FIRST
            self._trial_at = now + TRIAL_FIRST

    def _close(self, now: float) -> None:
        if self.cause is not None:
            self.cause = None
            self._seen.clear()
            self._on_trial = False
            self._ask_gap = ASK_FIRST
            self._ask_at = now + ASK_FIRST
