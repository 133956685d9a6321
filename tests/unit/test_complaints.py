"""What greetings of 4xx and 5xx have against us: texts as they are seen in the wild."""

import pytest

from mxcheck_service.core.complaints import Complaint, complaint

LISTED, REPUTATION, REVERSE_DNS, POLICY = Complaint

TEXTS: list[tuple[bytes, Complaint | None]] = [
    (b"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://...", LISTED),
    (b"521 5.7.1 Service unavailable; client [192.0.2.1] blocked using b.barracudacentral.org", LISTED),
    (b"554 barra1.example ESMTP; your IP 192.0.2.1 is on Barracuda's list", LISTED),
    (b"550 Your IP is listed in our DNSBL", LISTED),
    (b"550-192.0.2.1 is on an RBL\n550 see https://example.com", LISTED),
    (b"550-mx.example\n550 5.7.1 Blacklisted", LISTED),
    (b"421 4.7.0 your address is on our block list", LISTED),
    (b"554 your address is on our deny-list", LISTED),
    (b"550 5.7.606 Access denied, banned sending IP [192.0.2.1]", POLICY),
    (b"554 5.7.1 You are not allowed to connect.", POLICY),
    (b"421 4.7.0 Try again later, closing connection.", POLICY),
    (b"521 5.3.2 Service currently unavailable", POLICY),
    (b"554-mx.example ESMTP not accepting connections\n554 poor reputation of 192.0.2.1", REPUTATION),
    (b"554 Your access to this mail system has been rejected due to the sending MTA's poor reputation.", REPUTATION),
    (b"554 see senderbase.org", REPUTATION),
    (b"550 no PTR record for 192.0.2.1", REVERSE_DNS),
    (b"421 4.7.1 reverse DNS lookup failed", REVERSE_DNS),
    (b"554 5.7.1 rDNS missing", REVERSE_DNS),
    (b"554 fix your reverse hostname", REVERSE_DNS),
    (b"421 4.3.2 Service currently unavailable", None),
    (b"421 too many connections", None),
    (b"554 No SMTP service here", None),
    (b"521 mx.example does not accept mail", None),
    (b"554 unlisted-host.example", None),
    (b"450 greylisted", None),
    (b"554 ptrace.example", None),
    (b"", None),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_what_a_greeting_complains_about(text: bytes, expected: Complaint | None) -> None:
    assert complaint(text) is expected
    assert complaint(text.upper()) is expected
