"""The log of a real service has a line for each check, which says what the reply said."""

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import LoggingService
from tests.lab.log_lines import FORMS, as_text, checks, domains, lines, post, raw
from tests.lab.process import Child
from tests.lab.redis import RedisServer
from tests.lab.service import COMMAND, Service, write_config
from tests.lab.sockets import accepts_connections, free_port


@pytest.mark.parametrize("form", FORMS)
async def test_each_check_has_one_line_that_says_what_the_reply_said(
    form: str, logging_service: LoggingService, late: asyncio.Event
) -> None:
    asked: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (
            {"sender": "jo.private@good.test", "mime_from": "Jo <x@null.test>", "client_ip": "198.51.100.7"},
            {"domains": domains("good.test from gd", "null.test mime_from null"), "action": "reject"},
        ),
        ({"sender": "jo.private@good.test"}, {"domains": domains("good.test from gd"), "action": "no action"}),
        ({"reply_to": "jo.private@gone.test"}, {"domains": domains("gone.test reply_to no"), "action": "greylist"}),
        ({"authenticated": True}, {"domains": [], "action": "no action", "skip_reason": "authenticated"}),
        ({"client_ip": "127.0.0.1"}, {"domains": [], "skip_reason": "local", "client_ip": "127.0.0.1"}),
        (
            {"sender": "jo.private@late.test", "deadline_ms": 50},
            {"domains": domains("late.test from inflight"), "partial": True},
        ),
        ({"helo": "[192.0.2.1]"}, {"domains": [], "action": "no action"}),
    ]
    with logging_service(form) as service:
        replies = [await service.check(body) for body, _ in asked]
        late.set()
        assert await service.stop() == 0
        written = checks(service.log, form)
        assert "private" not in service.log
    assert len(written) == len(asked)
    assert len({line["request_id"] for line in written}) == len(asked)
    for line, reply, (body, expected) in zip(written, replies, asked, strict=True):
        said = reply.body
        full = {
            "client_ip": body.get("client_ip"),
            "domains": [{name: each[name] for name in ("domain", "source", "verdict")} for each in said["domains"]],
            "seconds": said["time_real"],
            **{name: said[name] for name in ("action", "score", "skip_reason", "partial")},
        }
        assert full.items() >= expected.items()
        full |= {"message": "check", "level": "info", "time": line["time"], "request_id": line["request_id"]}
        assert line == (full | {"logger": "mxcheck_service.web.request_log"} if form == "json" else as_text(full))
    first = replies[0].body
    assert (first["action"], first["messages"]) == ("reject", {"smtp_message": "Domain published RFC 7505 Null MX"})


async def test_rspamds_protocol_has_the_same_line(logging_service: LoggingService) -> None:
    with logging_service() as service:
        message = b"From: Jo <jo.private@gone.test>\r\nSubject: private\r\n\r\nprivate"
        head = b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nFrom: <jo.private@good.test>\r\nIP: 198.51.100.7\r\n"
        more = b"X-Request-Id: r-1\r\nContent-Length: %d\r\n\r\n" % len(message)
        await raw(service.url, head + more + message)
        (line,) = checks(service.log, "json")
        assert "private" not in service.log
    assert line["domains"] == domains("good.test from gd", "gone.test mime_from no")
    assert (line["action"], line["client_ip"], line["request_id"]) == ("greylist", "198.51.100.7", "r-1")


@pytest.mark.parametrize("form", FORMS)
async def test_a_request_that_is_turned_away_has_a_line_without_what_it_held(
    form: str, logging_service: LoggingService
) -> None:
    wrong = {"sender": ["jo@private.test"], "client_ip": "jo@private.test", "jo@private.test": 1, "colour": "private"}
    other = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: text/private\r\nContent-Length: 0\r\n\r\n"
    with logging_service(form, server={"max_addresses": 1}) as service:
        for request in (
            post(wrong),
            post({"mime_from": "jo@private.test, mo@private.test"}),
            b"GET /v1/check?sender=jo%40private.test&prot=%0d%0aprivate HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\nFrom: a@private, b@private",
            other,
            post(wrong)[:-1] + b"!",
        ):
            assert b" 200 " not in (await raw(service.url, request)).partition(b"\r\n")[0]
        written = checks(service.log, form)
        assert "private.test" not in service.log
    problems = [
        "sender: Input should be a valid string",
        "client_ip: must be an IPv4 or IPv6 address, without port or zone id",
        "?: unknown field",
        "colour: unknown field",
    ]
    wrong_fields = "the request is not valid"
    expected: Sequence[tuple[Any, ...]] = [
        ("POST /v1/check", 422, wrong_fields, problems),
        ("POST /v1/check", 422, wrong_fields, ["mime_from: names more than 1 addresses"]),
        ("GET /v1/check", 422, wrong_fields, ["prot: unknown field"]),
        ("POST /checkv2", 422, "the header field mime_from names more than 1 addresses", []),
        ("POST /v1/check", 415, "the body must be application/json, not text/private", []),
        ("POST /v1/check", 400, "Invalid JSON: expected `,` or `}` at line 1 column 106", []),
    ]
    assert {line["level"] for line in written} == {"info"}
    names = ("endpoint", "status", "detail", "problems")
    for line, values in zip(written, expected, strict=True):
        shown = dict(zip(names, values, strict=True))
        shown = shown if form == "json" else as_text(shown)
        assert {name: line[name] for name in names if name in line} == shown


async def test_load_that_is_shed_has_one_line_for_all_and_a_missing_token_has_one_each(
    logging_service: LoggingService, late: asyncio.Event
) -> None:
    with logging_service(server={"max_concurrent_requests": 1}) as service:
        waiting = asyncio.create_task(service.check({"sender": "a@late.test"}))
        await lookups(service, 1)
        for number in range(3):
            assert (await service.check({"sender": f"a@other{number}.test"})).status == 503
        late.set()
        await waiting
        told = [line["message"] for line in lines(service.log, "json") if line["level"] == "warning"]
        assert not [line for line in checks(service.log, "json") if line["message"] == "check refused"]
    assert [line.partition(";")[0] for line in told] == ["overloaded: 1 checks refused with 503"]
    with logging_service(server={"auth_token": "the-token-of-this-test"}) as service:
        assert (await service.check({})).status == 401
        (line,) = checks(service.log, "json")
    assert (line["status"], line["detail"]) == (401, "a bearer token is needed")


@pytest.mark.parametrize(("level", "expected"), [("info", 2), ("warning", 0)])
async def test_the_lines_are_of_level_info(level: str, expected: int, logging_service: LoggingService) -> None:
    with logging_service(server={"log_level": level}) as service:
        assert (await service.check({})).status == 200
        assert (await service.check({"colour": "red"})).status == 422
        assert len(checks(service.log, "json")) == expected
        assert ("listening" in service.log) == bool(expected)


async def test_repeats_of_a_kind_are_held_back_and_checks_never(logging_service: LoggingService) -> None:
    with logging_service() as service:
        for number in range(20):
            await raw(service.url, b"GET / HTTP/1.1\r\nno header %d\r\n\r\n" % number)
            await service.check({})
        written = [line["message"] for line in lines(service.log, "json")]
    assert written.count("check") == 20
    assert len([message for message in written if message.startswith("a request of 127.0.0.1 is not HTTP")]) == 1


async def lookups(service: Service, count: int) -> None:
    """Wait until so many are under way."""
    while (await service.metrics()).value("mxcheck_background_tasks") < count:
        pass


class TestNoLineIsLost:
    async def test_at_sigterm(self, logging_service: LoggingService, late: asyncio.Event) -> None:
        with logging_service() as service:
            waiting = [asyncio.create_task(service.check({"sender": "a@late.test"})) for _ in range(20)]
            await lookups(service, 20)
            service.terminate()
            late.set()
            replies = await asyncio.gather(*waiting)
            assert await service.ended() == 0
            written = checks(service.log, "json")
        assert [reply.status for reply in replies] == [200] * 20
        assert len(written) == 20
        assert [line["domains"] for line in written] == [domains("late.test from gd")] * 20

    async def test_when_the_process_is_killed(self, logging_service: LoggingService) -> None:
        with logging_service() as service:
            await service.check({})
            service.kill()
            assert len(checks(service.log, "json")) == 1

    async def test_of_several_workers(self, logging_service: LoggingService, redis_server: RedisServer) -> None:
        sections: dict[str, Any] = {"cache": {"url": redis_server.url}, "server": {"workers": 2}}
        with logging_service(**sections) as service:
            replies = await asyncio.gather(*(service.check({"sender": "a@good.test"}) for _ in range(100)))
            assert await service.stop() == 0
            written = checks(service.log, "json")
        assert [reply.status for reply in replies] == [200] * 100
        assert len(written) == 100
        ids = {line["request_id"] for line in written}
        assert len(ids) == 100
        assert len({one.partition("-")[0] for one in ids}) <= 2


async def test_the_document_shows_the_lines_as_they_are(logging_service: LoggingService) -> None:
    """Times and ids may differ; the tables name every field and no other."""
    document = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()
    body = {"sender": "a@example.invalid", "client_ip": "198.51.100.7"}
    for form in FORMS:
        shown = [match[1] for match in re.finditer(rf"```{form}\n(.*)\n```", document)]
        with logging_service(form) as service:
            await service.check(body)
            await service.check({"client_ip": "mx"})
            written = [line for line in service.log.splitlines() if "request_id" in line]
        assert [_MADE.sub("-", line) for line in written] == [_MADE.sub("-", line) for line in shown]
        if form == "json":
            fields = {name for line in written for name in json.loads(line)}
    rows = [row.split(" | ")[0] for row in document.splitlines() if row.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == fields


_MADE = re.compile(r'\d{4}-\d\d-[\d:.T]+Z|[0-9a-f]{8}-[0-9a-f]+|(?<=seconds[":=])[":]*[\d.e-]+')


@pytest.mark.parametrize("stderr", [">/dev/full", "> >(true)"], ids=["full disk", "reader gone"])
def test_a_line_that_cannot_be_written_costs_nobody_an_answer(stderr: str, tmp_path: Path) -> None:
    port = free_port()
    config = write_config(tmp_path, {"server": {"port": port}})
    argv = ["bash", "-c", f'exec "$@" 2{stderr}', "bash", *COMMAND, "serve", "--config", str(config)]
    child = Child("mxcheck", argv, tmp_path / "log")
    child.start(lambda: accepts_connections("127.0.0.1", port))
    try:
        for body, status in (("{}", b" 200 "), ('{"colour": "red"}', b" 422 "), ("{}", b" 200 ")):
            reply = asyncio.run(raw(f"http://127.0.0.1:{port}", post(json.loads(body))))
            assert status in reply.partition(b"\r\n")[0]
    finally:
        child.terminate()
        # 120 is Python's word for a standard error that could not be flushed at the end.
        assert child.wait() in (0, 120)
