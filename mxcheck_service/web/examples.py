"""The examples of the OpenAPI document. A test makes each request and compares the reply, times aside."""

from typing import Final

from mxcheck_service.core.model import Action, Source
from mxcheck_service.web.schema import (
    CacheEntry,
    CheckReply,
    Health,
    Problem,
    Readiness,
    Reloaded,
    RspamdReply,
    SymbolReply,
)

DOMAIN: Final = "example.invalid"
"""A name that exists nowhere (RFC 6761), so that the examples are true everywhere."""
HOST: Final = "mail.example.invalid"
IP: Final = "203.0.113.9"
SENDER: Final = f"someone@{DOMAIN}"

REQUEST: Final = {"sender": SENDER, "client_ip": IP, "deadline_ms": 4500}

_SYMBOL: Final[SymbolReply] = {
    "name": "MX_NONE",
    "metric_score": 4.0,
    "weight": 1.0,
    "score": 4.0,
    "options": [DOMAIN],
    "description": "Domain has neither MX nor A/AAAA records, or does not exist",
}
REPLY: Final[CheckReply] = {
    "is_skipped": False,
    "skip_reason": None,
    "action": Action.GREYLIST,
    "messages": {},
    "score": 4.0,
    "symbols": {"MX_NONE": _SYMBOL},
    "domains": [
        {"domain": DOMAIN, "source": Source.FROM, "verdict": "no", "host": DOMAIN, "cached": False, "time_ms": 1.936}
    ],
    "partial": False,
    "time_real": 0.002133,
}
MESSAGE: Final = f"From: Someone <{SENDER}>\r\nSubject: Hello\r\n\r\nHow are you?\r\n"
RSPAMD_REPLY: Final[RspamdReply] = {**REPLY, "required_score": 15.0}

CACHE_ENTRY: Final[CacheEntry] = {
    "layer": "d",
    "key": f"rmx:d:{DOMAIN}",
    "value": "no",
    "meaning": "no MX, A or AAAA record, or no such domain",
    "age_s": 12.5,
    "left_s": 1787.5,
    "near": True,
}
PROBLEM: Final[Problem] = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "the request is not valid",
    "errors": [{"field": "sendr", "message": "unknown field"}],
}
RELOADED: Final[Reloaded] = {
    "problems": [],
    "warnings": [],
    "settings": {"changed": [], "restart_needed": []},
    "maps": {},
}
HEALTH: Final[Health] = {"status": "ok"}
READINESS: Final[Readiness] = {
    "status": "ready",
    "components": {"cache": {"status": "ok"}, "resolver": {"status": "ok"}, "egress": {"status": "ok"}},
}
METRICS: Final = '# TYPE mxcheck_build_info gauge\nmxcheck_build_info{version="0.1.0"} 1.0\n'
