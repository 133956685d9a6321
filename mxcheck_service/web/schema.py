"""JSON <-> models: the request as it may be written, the reply as it is written, problem documents (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, NotRequired, TypedDict

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mxcheck_service.checker import Message, Report
from mxcheck_service.core.candidates import Envelope
from mxcheck_service.core.networks import parse_ip


def _an_ip(text: str) -> str:
    if parse_ip(text) is None:
        raise ValueError("must be an IPv4 or IPv6 address, without port or zone id")
    return text


class CheckRequest(BaseModel):
    """What `POST /v1/check` takes. Every field is optional; unknown ones are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    sender: str | None = None
    """Envelope MAIL FROM; null, "" or "<>" is the null sender, for which HELO stands in."""
    mime_from: str | list[str] | None = None
    """Header From: raw header value(s) or bare addresses."""
    reply_to: str | list[str] | None = None
    """Header Reply-To, in the same forms. Of several header values the first one counts."""
    helo: str | None = None
    """The name the client gave in HELO or EHLO."""
    client_ip: Annotated[str, AfterValidator(_an_ip)] | None = None
    """The client's address."""
    authenticated: bool = False
    """The SMTP session was authenticated."""
    deadline_ms: Annotated[int, Field(gt=0, le=3_600_000)] | None = None
    """Answer within this many milliseconds, with whatever is known by then."""

    def message(self, *, explain: bool = False) -> Message:
        mime_from, reply_to = self.mime_from, self.reply_to
        envelope = Envelope(
            self.sender,
            (mime_from,) if isinstance(mime_from, str) else mime_from or (),
            (reply_to,) if isinstance(reply_to, str) else reply_to or (),
            self.helo,
        )
        deadline = None if self.deadline_ms is None else self.deadline_ms / 1000
        return Message(envelope, self.client_ip, self.authenticated, deadline, explain)


class SymbolReply(TypedDict):
    name: str
    metric_score: float
    weight: float
    score: float
    options: list[str]
    description: str


class DomainReply(TypedDict):
    domain: str
    source: str
    verdict: str
    host: str
    cached: bool
    time_ms: float
    trace: NotRequired[list[dict[str, Any]]]


class CheckReply(TypedDict):
    is_skipped: bool
    skip_reason: str | None
    action: str
    messages: dict[str, str]
    score: float
    symbols: dict[str, SymbolReply]
    domains: list[DomainReply]
    partial: bool
    time_real: float


class FieldProblem(TypedDict):
    field: str
    message: str


class Problem(TypedDict):
    type: str
    title: str
    status: int
    detail: str
    errors: NotRequired[list[FieldProblem]]


def reply(report: Report) -> CheckReply:
    """Return the reply document of a report."""
    symbols: dict[str, SymbolReply] = {}
    total = 0.0
    for name, hit in report.symbols.items():
        score = hit.score
        total += score
        symbols[name] = {
            "name": name,
            "metric_score": hit.metric_score,
            "weight": hit.weight,
            "score": round(score, 6),
            "options": list(hit.options),
            "description": hit.description,
        }
    domains: list[DomainReply] = []
    for domain in report.domains:
        candidate, lookup, _ = domain.result
        outcome = lookup.outcome
        document: DomainReply = {
            "domain": candidate.domain,
            "source": candidate.source,
            "verdict": outcome.verdict if outcome.smtp_code is None else str(outcome),
            "host": lookup.host,
            "cached": lookup.cached,
            "time_ms": round(domain.seconds * 1000, 3),
        }
        if domain.steps:
            document["trace"] = [
                {"at_ms": round(step.at * 1000, 3), "step": step.name, **step.facts} for step in domain.steps
            ]
        domains.append(document)
    return {
        "is_skipped": report.skip_reason is not None,
        "skip_reason": report.skip_reason,
        "action": report.action,
        "messages": {} if report.smtp_message is None else {"smtp_message": report.smtp_message},
        "score": round(total, 6),
        "symbols": symbols,
        "domains": domains,
        "partial": report.partial,
        "time_real": round(report.seconds, 6),
    }


def problem(status: int, detail: str, errors: Sequence[FieldProblem] = ()) -> Problem:
    """Return a problem document; `errors` names each wrong field of the request."""
    document: Problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        document["errors"] = list(errors)
    return document
