"""What a person asks about, an address or a domain, and what the answer is as an exit code."""

from typing import Final

from mxcheck_service.checker import Message, Report
from mxcheck_service.core.candidates import Envelope, normalize
from mxcheck_service.core.settings import Improvements
from mxcheck_service.core.words import WORDS, Kind

OK, AGAINST, FAILED = 0, 1, 2
"""Exit codes: nothing against the sender; a symbol with a positive score; could not be checked."""

UNKNOWN: Final = frozenset(verdict for verdict, words in WORDS.items() if words.kind is Kind.UNKNOWN)
"""Verdicts that leave open whether the domain receives mail."""


class NoTarget(ValueError):
    """The text is neither an address nor a domain name."""

    def __init__(self) -> None:
        super().__init__("is neither an address nor a domain name")


def message(target: str, improvements: Improvements, *, explain: bool = False) -> Message:
    """Return the question about an address or a domain, asked as about an envelope sender; raises NoTarget."""
    domain = target.rpartition("@")[2]
    if not normalize(domain, improvements.skip_address_literals):
        raise NoTarget
    return Message(Envelope(sender=f"postmaster@{domain}"), explain=explain)


def exit_code(report: Report) -> int:
    if any(hit.score > 0 for hit in report.symbols.values()):
        return AGAINST
    return FAILED if any(domain.result.lookup.outcome.verdict in UNKNOWN for domain in report.domains) else OK
