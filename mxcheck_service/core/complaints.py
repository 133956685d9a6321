"""Greetings of 4xx and 5xx that are about us: what they say of the address that connected.

Such a greeting tells nothing about the sender's domain, but much about the address that the service connects from.
"""

import re
from enum import StrEnum
from typing import Final


class Complaint(StrEnum):
    """What a peer has against our address: a list has it (LISTED), it is known for bad mail (REPUTATION), its name and
    address do not fit together (REVERSE_DNS), or it is kept out by a rule of the peer's own (POLICY)."""

    LISTED = "listed"
    REPUTATION = "reputation"
    REVERSE_DNS = "reverse_dns"
    POLICY = "policy"


_SIGNS: Final = tuple(
    (complaint, re.compile(pattern, re.IGNORECASE | re.MULTILINE))
    for complaint, pattern in (
        (
            Complaint.LISTED,
            rb"spamhaus|barracuda|spamcop|sorbs|uceprotect|abusix|abuseat|mailspike|blocked using|\blisted\b"
            rb"|\b(black|block|deny)[ -]?list|\b(dns|r|dr)bls?\b",
        ),
        (Complaint.REVERSE_DNS, rb"\bPTR\b|\bf?c?rdns\b|\breverse[ -](dns|lookup|host ?name|name|resol|map|record)"),
        (Complaint.REPUTATION, rb"reputation|senderbase|sender ?score"),
        # X.7.X is about security or policy (RFC 3463 section 3.8). The rest is what postscreen(8) tells a client that
        # its own denylist has, though its code is 521.
        (Complaint.POLICY, rb"\b[45]\.7\.[0-9]|^521[ -]5\.3\.2 service currently unavailable|access denied|\bbanned\b"),
    )
)


def complaint(greeting: bytes) -> Complaint | None:
    """Return what a 4xx or 5xx greeting, of one line or more, has against us; None: nothing that it says."""
    return next((complaint for complaint, pattern in _SIGNS if pattern.search(greeting)), None)
