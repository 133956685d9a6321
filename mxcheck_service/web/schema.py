"""JSON <-> models: the request as it may be written, the reply as it is written, problem documents (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, NotRequired, cast

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from mxcheck_service.cache.layers import Layer
from mxcheck_service.checker import Message, Report
from mxcheck_service.core.candidates import Envelope
from mxcheck_service.core.model import Action, Source, Verdict
from mxcheck_service.core.networks import parse_ip
from mxcheck_service.core.policy import SkipReason
from mxcheck_service.trace import StepName

_VERDICT: Final = rf"^({'|'.join(v for v in Verdict if v is not Verdict.ERROR)}|{Verdict.ERROR.value}:[0-9]{{3}})$"
IP_SCHEMA: Final = {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


def _an_ip(text: str) -> str:
    if parse_ip(text) is None:
        raise ValueError("must be an IPv4 or IPv6 address, without port or zone id")
    return text


# Nearly always it is one string. Of a hundred thousand faults in a list one is enough.
HeaderValues = Annotated[str | Annotated[list[str], Field(fail_fast=True)] | None, Field(union_mode="left_to_right")]


class CheckRequest(BaseModel):
    """What `POST /v1/check` takes. Every field is optional; unknown ones are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    sender: str | None = None
    """Envelope MAIL FROM; null, "" or "<>" is the null sender, for which HELO stands in."""
    mime_from: HeaderValues = None
    """Header From: raw header value(s) or bare addresses."""
    reply_to: HeaderValues = None
    """Header Reply-To, in the same forms. Of several header values the first one counts."""
    helo: str | None = None
    """The name the client gave in HELO or EHLO."""
    client_ip: Annotated[str, AfterValidator(_an_ip), WithJsonSchema(IP_SCHEMA)] | None = None
    """The client's address."""
    authenticated: bool = False
    """The SMTP session was authenticated."""
    deadline_ms: Annotated[float, Field(gt=0, le=3_600_000)] | None = None
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


# What replies look like. The attribute docstrings become the descriptions of the OpenAPI document.
DOCUMENTED: Final = ConfigDict(use_attribute_docstrings=True)


@with_config(DOCUMENTED)
class SymbolReply(TypedDict):
    """A symbol, as rspamd's /checkv2 tells it."""

    name: str
    metric_score: float
    """The symbol's configured weight."""
    weight: float
    """The dynamic multiplier, which an entry of a map may set."""
    score: float
    """metric_score times weight."""
    options: list[str]
    description: str


@with_config(DOCUMENTED | ConfigDict(extra="allow"))
class TraceStep(TypedDict):
    """A step of a lookup. What it tells besides depends on `step`:

    cache: layer, key, value (null is a miss), age_s, left_s; dns: type, question, answer; ip_class: public, local,
    bogon; map: setting, key, value, entry (file and line); lock: ip, claim, waited; shared: key; probe: ip, connect_ms,
    verdict, greeting, local_fault, provisional; deadline: seconds; verdict: verdict, host, cached.
    """

    at_ms: float
    """Milliseconds since the lookup began."""
    step: StepName


@with_config(DOCUMENTED)
class DomainReply(TypedDict):
    """What became of a domain."""

    domain: str
    source: Source
    """Where the domain was found, the best place if in several."""
    verdict: Annotated[str, Field(pattern=_VERDICT)]
    """The reference's outcome code."""
    host: str
    """The MX host the verdict is about, or the domain itself."""
    cached: bool
    """The verdict came out of the cache."""
    time_ms: float
    trace: NotRequired[list[TraceStep]]
    """With `explain`: the steps in order."""


@with_config(DOCUMENTED)
class Messages(TypedDict):
    """Texts for the SMTP session."""

    smtp_message: NotRequired[str]
    """With the action `reject`: the text of the rejection."""


@with_config(DOCUMENTED)
class CheckReply(TypedDict):
    """The answer, in the form of rspamd's own /checkv2 reply."""

    is_skipped: bool
    """The sender is authenticated or the client local, and such mail is not checked."""
    skip_reason: SkipReason | None
    action: Action
    """One for the whole message."""
    messages: Messages
    score: float
    """The sum of the symbols' scores."""
    symbols: dict[str, SymbolReply]
    """By name."""
    domains: list[DomainReply]
    partial: bool
    """The deadline came first for some domain; its lookup goes on, and its verdict lands in the cache."""
    time_real: float
    """Seconds."""


@with_config(DOCUMENTED)
class RspamdReply(CheckReply):
    """The answer to an rspamd client."""

    required_score: float
    """What clients show beside the score."""


@with_config(DOCUMENTED)
class CacheEntry(TypedDict):
    """An entry of the cache."""

    layer: Layer
    """d: domain to MX hosts or addresses; m: host to addresses; i: address to the verdict of its probe."""
    key: str
    """The whole key, as in Redis."""
    value: str
    """The value as it is stored, octets as U+0000 to U+00FF."""
    meaning: str
    """The value in words."""
    age_s: float | None
    """Seconds since it was written, as far as the settings tell how long such an entry lives; null when they do not."""
    left_s: float | None
    """Seconds until its end; null: it has none."""
    near: bool
    """The process that answered holds it in its own memory, and asks nobody for it."""


@with_config(DOCUMENTED)
class Health(TypedDict):
    """The process is alive."""

    status: Literal["ok"]


@with_config(DOCUMENTED)
class Component(TypedDict):
    """The state of what the service uses."""

    status: Literal["ok", "down"]
    detail: NotRequired[str]


@with_config(DOCUMENTED)
class Components(TypedDict):
    """What the service uses."""

    cache: Component
    resolver: Component
    """`down`: the latest DNS questions were not answered."""
    egress: NotRequired[Component]
    """The way out to mail hosts, as far as it is watched; `down`: DNS-only mode."""


@with_config(DOCUMENTED)
class Readiness(TypedDict):
    """Whether requests are served."""

    status: Literal["starting", "ready", "draining"]
    components: Components


@with_config(DOCUMENTED)
class FieldProblem(TypedDict):
    """What is wrong with a field of the request."""

    field: str
    message: str


@with_config(DOCUMENTED)
class Problem(TypedDict):
    """A problem document (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    errors: NotRequired[list[FieldProblem]]
    """With 422: each wrong field."""


@with_config(DOCUMENTED)
class ReloadedSettings(TypedDict):
    """Names of settings."""

    changed: Sequence[str]
    """In use now."""
    restart_needed: Sequence[str]
    """Changed, but taken at a restart only."""


@with_config(DOCUMENTED)
class MapSource(TypedDict):
    """One place of a map."""

    source: str
    """The file, the URL, or the setting for entries in line."""
    entries: int
    sha256: str | None
    """Of the text in use, decompressed; null for entries in line, and for what was never read."""
    age: float | None
    """Seconds since it was last found good; null: never."""
    changed: bool
    error: str | None


@with_config(DOCUMENTED)
class ReloadedMap(TypedDict):
    """A map, place by place."""

    entries: int
    sources: list[MapSource]


@with_config(DOCUMENTED)
class Reloaded(TypedDict):
    """What came of a reload."""

    problems: Sequence[str]
    """What is broken, a line each; it was not taken."""
    warnings: Sequence[str]
    settings: ReloadedSettings
    maps: dict[str, ReloadedMap]
    """By setting."""


@with_config(DOCUMENTED)
class ReloadProblem(Problem, Reloaded):
    """What came of a reload that met something broken: a problem document with the same fields."""


def encoded(report: Report, seconds: float) -> bytes:
    """Return the reply document of a report as it is sent; `seconds`: how long the check took."""
    # All but the time is the same each time a report is given.
    head = report.memo.get("reply")
    if head is None:
        document: dict[str, Any] = {**reply(report, seconds)}
        del document["time_real"]
        head = report.memo["reply"] = orjson.dumps(document).removesuffix(b"}")
    return b'%b,"time_real":%r}' % (head, _time_real(seconds))


def reply(report: Report, seconds: float) -> CheckReply:
    """Return the reply document of a report; `seconds`: how long the check took."""
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
                cast(TraceStep, {"at_ms": round(step.at * 1000, 3), "step": step.name, **step.facts})
                for step in domain.steps
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
        "time_real": _time_real(seconds),
    }


def _time_real(seconds: float) -> float:
    return round(seconds, 6)


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
