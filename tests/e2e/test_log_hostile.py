"""The log of a real service under hostile callers and peers: no forged line, no secret, nothing private."""

import asyncio
import json
import re
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.conftest import HOSTILE, LoggingService
from tests.lab.log_lines import FORMS, checks, lines, post, raw, returned
from tests.lab.redis import RedisServer


class TestRequestId:
    async def test_a_sane_one_is_taken_over_and_returned(self, logging_service: LoggingService) -> None:
        sane = [b"a", b"0af7651916cd43dd:8448eb211c80319c", b"x" * 128, b"A-z_0.9/+="]
        with logging_service() as service:
            replies = [await raw(service.url, post({}, b"X-Request-Id: " + one)) for one in sane]
            replies.append(await raw(service.url, post({"colour": "red"}, b"x-request-id: wrong")))
            written = [line["request_id"] for line in checks(service.log, "json")]
        assert written == [*(one.decode() for one in sane), "wrong"]
        assert [returned(reply) for reply in replies] == written

    async def test_none_is_made_up_for_the_log_alone(self, logging_service: LoggingService) -> None:
        with logging_service() as service:
            replies = [await raw(service.url, post({})) for _ in range(3)]
            written = {line["request_id"] for line in checks(service.log, "json")}
        assert [returned(reply) for reply in replies] == [None] * 3
        assert len(written) == 3
        assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", one) for one in written)

    @pytest.mark.parametrize("form", FORMS)
    async def test_a_hostile_one_is_replaced_in_log_and_reply(self, form: str, logging_service: LoggingService) -> None:
        hostile = [
            b"x" * 129,
            b"x" * 8000,
            "r\u00e9".encode(),
            b"\xff\xfe",
            b"two words",
            b'a"b',
            b"jo.private@good.test",
            b"a action=reject",
            b"a\r\n\tforged: yes",
        ]
        with logging_service(form) as service:
            replies = [await raw(service.url, post({}, b"X-Request-Id: " + one)) for one in (*hostile, hostile[0])]
            refused = await raw(service.url, post({}, b"X-Request-Id: " + b"x" * 10_000))
            assert b" 431 " in refused.partition(b"\r\n")[0]
            written = checks(service.log, form)
            for trace in ("xxx", "private", "forged", "two"):
                assert trace not in service.log
        digests = [line["request_id"] for line in written]
        answered = [reply for reply in replies if b" 200 " in reply.partition(b"\r\n")[0]]
        assert [returned(reply) for reply in answered] == digests
        assert all(re.fullmatch(r"[0-9a-f]{16}", digest) for digest in digests)
        # What aiohttp does not take for HTTP at all is the folded header; the last one is the first again.
        assert len(answered) >= len(replies) - 1
        assert digests[0] == digests[-1]
        assert len(set(digests)) == len(digests) - 1


@pytest.mark.parametrize("form", FORMS)
async def test_nothing_from_the_wire_forges_a_line(form: str, logging_service: LoggingService) -> None:
    bodies: list[dict[str, Any]] = [
        {"sender": f"a@{HOSTILE}"},
        {"sender": "", "helo": HOSTILE},
        {"sender": f"{HOSTILE}@good.test", "mime_from": [HOSTILE, f"{HOSTILE} <a@good.test>"], "reply_to": HOSTILE},
        {"sender": "a@hostile.test"},
        {"sender": "a@\udcff.test"},
        {HOSTILE: HOSTILE},
        {"client_ip": HOSTILE},
    ]
    with logging_service(form, server={"log_level": "debug"}) as service:
        for body in bodies:
            await raw(service.url, post(body))
        await raw(service.url, b"GET /v1/check?" + quote(HOSTILE).encode() + b"=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        await raw(service.url, b"GET /v1/check?sender=a%40" + quote(HOSTILE).encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        await raw(service.url, b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: a/\x85 action=reject\r\n\r\n")
        await raw(service.url, b"\x1b[31m /\x00 HTTP/1.1\r\nHost\r\n\r\n")
        assert await service.stop() == 0
        log = service.log
    written = lines(log, form)
    assert len([line for line in written if line["message"].startswith("check")]) == len(bodies) + 3
    assert not [line for line in written if line["message"].startswith("forged")]
    assert "forged" not in "".join(line for line in log.splitlines() if "check" in line)
    assert {line.get("action") for line in written} <= {None, "no action", "greylist"}


class TestSecrets:
    """Those of the settings, under failures whose messages quote them."""

    PASSWORD = "p@ss/w:rd %"

    @pytest.mark.parametrize(("at", "form"), [("userinfo", "json"), ("parameter", "text")])
    async def test_none_is_in_the_log_when_redis_quotes_the_password(
        self, at: str, form: str, logging_service: LoggingService
    ) -> None:
        async def quote_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """As Redis before version 6 does with HELLO, and one that AUTH was taken from."""
            with closing(writer):
                while data := await reader.read(4096):
                    quoted = b" ".join(b"'%s'" % word for word in data.split(b"\r\n")[2::2])
                    told = b"-ERR odd: %s\r\n" if at == "userinfo" else b"-ERR unknown command, %s%s\r\n"
                    told = told % ((quoted,) if at == "userinfo" else (b"with args beginning with: ", quoted))
                    writer.write(told * data.count(b"*"))

        async with await asyncio.start_server(quote_it, "127.0.0.1", 0) as redis:
            address = f"127.0.0.1:{redis.sockets[0].getsockname()[1]}"
            password = quote(self.PASSWORD, safe="")
            url = f"redis://:{password}@{address}/0" if at == "userinfo" else f"redis://{address}/0?password={password}"
            with ExitStack() as stack:
                # This loop has to answer while the service starts.
                service = await asyncio.to_thread(stack.enter_context, logging_service(form, cache={"url": url}))
                await service.check({"sender": "a@good.test"})
                ready = await service.get("/readyz")
                assert await service.stop() == 0
                log = service.log
        assert ready.body["components"]["cache"]["status"] == "down"
        if at == "parameter":
            assert self.PASSWORD not in json.dumps(ready.body)
        assert "Redis is lost" in log
        assert self.PASSWORD not in log
        assert password not in log
        assert "w:rd" not in log

    async def test_none_is_in_the_log_when_the_password_is_wrong(
        self, redis_with_password: RedisServer, logging_service: LoggingService
    ) -> None:
        url = f"redis://:another-{quote(self.PASSWORD, safe='')}@127.0.0.1:{redis_with_password.port}/0"
        with logging_service(cache={"url": url}) as service:
            await service.check({"sender": "a@good.test"})
            assert await service.stop() == 0
            assert "Redis is lost" in service.log
            assert "another" not in service.log
            assert "w:rd" not in service.log

    @pytest.mark.parametrize(("token", "form"), [("token/of {a} test", "json"), ("plain-token_of.test", "text")])
    async def test_the_token_is_not_in_the_log(self, token: str, form: str, logging_service: LoggingService) -> None:
        octets = token.encode()
        right = b"Authorization: Bearer " + octets
        with logging_service(form, server={"log_level": "debug", "auth_token": token}) as service:
            for request in (
                post({}, right, b"X-Request-Id: " + octets),
                post({"colour": token, token: 1}, right),
                post({}, right + b"!"),
                post({}, right + b"\x01"),
                post({}, right + b"x" * 9000),
                post({}, b"Authorization Bearer " + octets),
                post({}, b"From: <jo.private@good.test>\x01"),
                b"GET /v1/check?" + octets + b" HTTP/1.1\r\nHost: x\r\n" + right + b"\r\n\r\n",
            ):
                await raw(service.url, request)
            written = checks(service.log, form)
            assert "of.test" not in service.log
            assert "token/of" not in service.log
            assert "private" not in service.log
        assert [str(line.get("status", 200)) for line in written][:3] == ["200", "422", "401"]
