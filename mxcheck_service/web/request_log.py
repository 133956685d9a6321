"""One line for each request that asks for a check, at level info.

It tells which domains were checked and what came of it, never what the message said and never who at a domain wrote it:
no local part of an address, no header, no body.
"""

import itertools
import logging
import re
import secrets
from hashlib import blake2b
from typing import Any, Final

import orjson
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mxcheck_service.checker import Report
from mxcheck_service.web.schema import Problem

REQUEST_ID: Final = "X-Request-Id"
"""The header that names a request; a reply has it when the request had."""

_log = logging.getLogger(__name__)
"""Its level alone: that of the process, whenever it changes."""

_SANE = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}", re.ASCII)
_FIELD = re.compile(r"[A-Za-z0-9._\[\]-]{1,64}", re.ASCII)
# With these a line has less than 4096 octets, which a pipe takes as a whole from whichever worker.
_MOST_DOMAINS: Final = 10
_LONGEST_DETAIL: Final = 200
_MOST_PROBLEMS: Final = 10


def taken_over(given: str) -> str:
    """Return the id that a caller has given, or a digest in place of one that is long or has odd characters."""
    if _SANE.fullmatch(given):
        return given
    return blake2b(given.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


class RequestLog:
    """Writes the lines where a log was configured before it was made, while the level lets them through."""

    def __init__(self) -> None:
        self._write = structlog.get_logger().bind(logger=__name__).info if structlog.is_configured() else None
        # An id needs no secret, only to be another one than those of all other processes.
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def checked(self, request: web.Request, client_ip: str | None, report: Report, seconds: float) -> None:
        """Write the line of a request that was answered with this report."""
        if self._write is None or not _log.isEnabledFor(logging.INFO):
            return
        self._write(
            "check",
            request_id=self._id(request),
            client_ip=client_ip,
            **_facts(report),
            seconds=round(seconds, 6),
        )

    def refused(self, request: web.Request, endpoint: str, response: web.Response, seconds: float) -> None:
        """Write the line of a request that was answered with this problem document."""
        if self._write is None or not _log.isEnabledFor(logging.INFO):
            return
        assert isinstance(response.body, bytes)
        problem: Problem = orjson.loads(response.body)
        # The caller chooses the names of unknown fields; one that is no name may be anything, an address for one.
        problems = [
            f"{each['field'] if _FIELD.fullmatch(each['field']) else '?'}: {each['message']}"
            for each in problem.get("errors", [])[:_MOST_PROBLEMS]
        ]
        self._write(
            "check refused",
            request_id=self._id(request),
            endpoint=f"{request.method} {endpoint}",
            status=response.status,
            detail=problem["detail"][:_LONGEST_DETAIL],
            problems=problems,
            seconds=round(seconds, 6),
        )

    def _id(self, request: web.Request) -> str:
        given = request.headers.get(REQUEST_ID)
        return f"{self._prefix}-{next(self._numbers):x}" if given is None else taken_over(given)


def _facts(report: Report) -> dict[str, Any]:
    facts: dict[str, Any] | None = report.memo.get("log")
    if facts is None:
        candidates = [(domain.result.candidate, domain.result.lookup) for domain in report.domains[:_MOST_DOMAINS]]
        facts = report.memo["log"] = {
            "domains": [
                {"domain": candidate.domain, "source": candidate.source, "verdict": str(lookup.outcome)}
                for candidate, lookup in candidates
            ],
            "action": report.action,
            "score": round(report.score, 6),
            "skip_reason": report.skip_reason,
            "partial": report.partial,
        }
    return facts


def without_wire_text(record: logging.LogRecord) -> bool:
    """Let a record of aiohttp's pass, without what its parser says of a request that is not HTTP.

    That quotes the request: a header with a token, or one with a whole address.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = f"{record.msg}: %s", (*(record.args or ()), type(error).__name__)
        record.exc_info = None
    return True
