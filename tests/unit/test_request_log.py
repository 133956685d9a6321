"""The line of a check: bounded, silent where nothing was configured, and without what aiohttp's parser quotes."""

import json
import logging
import sys

import pytest
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.test_utils import make_mocked_request

from mxcheck_service.checker import DomainReport, Report
from mxcheck_service.core.model import Action, Candidate, DomainResult, Lookup, Outcome, Source, SymbolHit, Verdict
from mxcheck_service.log import LogFormat, configure
from mxcheck_service.web.gate import problem
from mxcheck_service.web.request_log import RequestLog, without_wire_text

PIPE_BUF = 4096
"""Octets that a pipe takes as a whole on Linux."""


def answer(domain: str, count: int) -> Report:
    lookup = Lookup(Outcome(Verdict.IP_CLASS_SKIPPED), "")
    found = DomainReport(DomainResult(Candidate(domain, Source.REPLY_TO), lookup), Action.NO_ACTION, ())
    symbols = {"X": SymbolHit("X", -123.456789, (), "")}
    return Report(None, Action.NO_ACTION, None, symbols, [found] * count, partial=True)


@pytest.mark.parametrize("kind", ["json", "text"])
def test_the_longest_line_goes_through_a_pipe_as_a_whole(
    kind: LogFormat, root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", kind)
    log = RequestLog()
    request = make_mocked_request("POST", "/v1/check", headers={"X-Request-Id": "x" * 128})
    log.checked(request, "2001:0db8:1111:2222:3333:4444:5555:6666", answer("d" * 254, 300), 3600.123456)
    wrong = problem(422, "\x9b" * 5000, [{"field": "f" * 64, "message": "m" * 60}] * 300)
    log.refused(request, "/v1/check", wrong, 1.0)
    checked, refused = capsys.readouterr().err.splitlines()
    assert len(checked) < PIPE_BUF
    assert len(refused) < PIPE_BUF
    assert checked.count("d" * 254) == 10
    assert refused.count("m" * 60) == 10


@pytest.mark.parametrize("configured", [False, True])
def test_nothing_is_written_unless_it_is_asked_for(
    configured: bool, root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    if configured:
        configure("warning", "json")
    log = RequestLog()
    request = make_mocked_request("POST", "/v1/check")
    log.checked(request, None, answer("good.test", 1), 1.0)
    log.refused(request, "/v1/check", problem(503, "busy"), 1.0)
    assert capsys.readouterr() == ("", "")


def test_the_level_may_change_at_any_time(root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "json")
    log = RequestLog()
    request = make_mocked_request("POST", "/v1/check")
    for level in ("INFO", "WARNING", "DEBUG"):
        root_logger.setLevel(level)
        log.checked(request, None, answer(f"{level}.test", 1), 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["domains"][0]["domain"] for line in lines] == ["INFO.test", "DEBUG.test"]


def test_ids_of_two_processes_differ(root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    request = make_mocked_request("POST", "/v1/check")
    for log in (RequestLog(), RequestLog()):
        log.checked(request, None, answer("good.test", 1), 1.0)
    assert len({json.loads(line)["request_id"] for line in capsys.readouterr().err.splitlines()}) == 2


def failed(error: Exception) -> logging.LogRecord:
    try:
        raise error
    except type(error):
        told = sys.exc_info()
    return logging.LogRecord("aiohttp.server", logging.ERROR, "", 1, "Error from %s", ("127.0.0.1",), told)


def test_what_the_parser_quotes_is_left_out_and_a_defect_is_not() -> None:
    record = failed(BadHttpMessage("Authorization: Bearer secret"))
    assert without_wire_text(record)
    assert (record.getMessage(), record.exc_info) == ("Error from 127.0.0.1: BadHttpMessage", None)
    record = failed(ValueError("a defect"))
    assert without_wire_text(record)
    assert record.getMessage() == "Error from 127.0.0.1"
    assert record.exc_info
