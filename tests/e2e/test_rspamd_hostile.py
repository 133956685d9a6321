"""Whatever a hostile service replies: only the plugin's own symbols are inserted, and the worker of rspamd lives on."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.lab.fake_service import FakeService, chunked_reply, http_reply, verdict
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import found, rspamd_with_plugin, warnings, worker_pid
from tests.lab.sockets import free_port

MESSAGE = b"From: Jo <jo@sender.test>\nTo: kim@rcpt.test\nSubject: hello\nMessage-ID: <1@sender.test>\n\nhi\n"
ENVELOPE: dict[str, Any] = {"sender": "jo@sender.test", "helo": "mail.sender.test", "ip": "198.51.100.7"}
GOOD = {"MX_GOOD": {"weight": 1.0, "options": ["mx.sender.test"]}}
FAILED = {"MXCHECK_FAIL": 0.0}
MAX_OPTIONS = 100
MAX_OPTION = 256
SAFE_LINE = re.compile(r"[\x20-\x7e\x80-\U0010ffff]*")


@pytest.fixture(scope="module")
def port() -> int:
    """Where the hostile service is."""
    return free_port()


@pytest.fixture(scope="module")
def rspamd(port: int) -> Iterator[Rspamd]:
    """An rspamd that asks the hostile service."""
    with rspamd_with_plugin({"url": f"http://127.0.0.1:{port}", "timeout": 3.0}) as server:
        yield server


@pytest_asyncio.fixture
async def hostile(rspamd: Rspamd, port: int) -> AsyncIterator[FakeService]:
    """The hostile service. After the test the same worker still scans, its next good reply counts, its log is clean."""
    pid = worker_pid(rspamd)
    start = len(rspamd.log)
    async with FakeService(port) as service:
        yield service
        service.reply = http_reply(verdict(GOOD))
        service.hang_up = False
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_GOOD": -0.1}
    assert worker_pid(rspamd) == pid
    for line in rspamd.log[start:].split("\n"):
        assert SAFE_LINE.fullmatch(line), repr(line)


@pytest.fixture(scope="module")
def secret(rspamd: Rspamd) -> Path:
    """A file that rspamd can read and that nobody asked it to."""
    path = rspamd.folder / "secret.conf"
    path.write_text('symbols { "MX_NULL" { weight = 1.0; options = ["from the file"]; } }\n')
    return path


async def symbols_of(rspamd: Rspamd) -> dict[str, Any]:
    """All symbols of rspamd for a message."""
    reply = await rspamd.scan(MESSAGE, **ENVELOPE)
    assert reply["action"] == "no action"
    symbols: dict[str, Any] = reply["symbols"]
    return symbols


async def options_of(rspamd: Rspamd, hostile: FakeService, options: object) -> list[str]:
    """The options that MX_GOOD ends up with."""
    hostile.reply = http_reply(verdict({"MX_GOOD": {"weight": 1.0, "options": options}}))
    kept: list[str] = (await symbols_of(rspamd))["MX_GOOD"].get("options", [])
    return kept


async def score_of(rspamd: Rspamd, hostile: FakeService, weight: str) -> float:
    """The score of MX_REFUSED (3.0) with a weight that is put into the JSON as it is."""
    hostile.reply = http_reply(f'{{"action": "no action", "symbols": {{"MX_REFUSED": {{"weight": {weight}}}}}}}')
    reply = await rspamd.scan(MESSAGE, **ENVELOPE)
    score: float = reply["symbols"]["MX_REFUSED"]["score"]
    return score


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "UNHEARD_OF",
            "GTUBE",
            "R_DKIM_ALLOW",
            "MXCHECK_CHECK",
            "MXCHECK_FAIL",
            "REPLYTO_MX_NO_SUCH",
            "mx_good",
            "MX_GOOD\n",
            "MX_GOOD\0",
            "\r\n\x1b[31mMX_GOOD",
            "__index",
            "x" * 100_000,
        ],
        ids=lambda name: repr(name[:20]),
    )
    async def test_what_is_not_its_own_is_left_out(self, rspamd: Rspamd, hostile: FakeService, name: str) -> None:
        hostile.reply = http_reply(verdict())
        without = (await symbols_of(rspamd)).keys()
        hostile.reply = http_reply(verdict(GOOD | {name: {"weight": 5.0, "options": ["x"]}}))
        assert (await symbols_of(rspamd)).keys() == without | {"MX_GOOD"}

    async def test_thousands_of_names(self, rspamd: Rspamd, hostile: FakeService) -> None:
        hostile.reply = http_reply(verdict({f"X_{number}": {"weight": 5.0} for number in range(5000)} | GOOD))
        symbols = await symbols_of(rspamd)
        assert "MX_GOOD" in symbols
        assert not any(name.startswith("X_") for name in symbols)

    @pytest.mark.parametrize("symbols", [["MX_GOOD"], [{"name": "MX_GOOD"}], {"1": "MX_GOOD"}, {"MX_GOOD": "yes"}])
    async def test_symbols_of_another_form_are_left_out(
        self, rspamd: Rspamd, hostile: FakeService, symbols: object
    ) -> None:
        hostile.reply = http_reply(verdict(symbols))
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {}


class TestOptions:
    async def test_there_are_bounds_on_their_number(self, rspamd: Rspamd, hostile: FakeService) -> None:
        kept = await options_of(rspamd, hostile, [f"mx{number}.sender.test" for number in range(10_000)])
        assert 0 < len(kept) <= MAX_OPTIONS
        assert kept[0] == "mx0.sender.test"

    async def test_there_are_bounds_on_their_length(self, rspamd: Rspamd, hostile: FakeService) -> None:
        kept = await options_of(rspamd, hostile, ["x" * 900_000, "é" * 1000])
        assert [len(option.encode()) <= MAX_OPTION for option in kept] == [True] * len(kept)
        assert kept[0] == "x" * MAX_OPTION

    async def test_only_text_is_kept(self, rspamd: Rspamd, hostile: FakeService) -> None:
        mixed: list[object] = [1, 2.5, True, None, ["a"], {"b": 1}, "mx.sender.test", [[[[]]]]]
        assert await options_of(rspamd, hostile, mixed) == ["mx.sender.test"]

    @pytest.mark.parametrize("options", [5, "text", {"a": "b"}, None, True])
    async def test_no_list_is_no_options(self, rspamd: Rspamd, hostile: FakeService, options: object) -> None:
        assert await options_of(rspamd, hostile, options) == []

    async def test_control_characters_reach_neither_reply_nor_log(self, rspamd: Rspamd, hostile: FakeService) -> None:
        """That the log has none the fixture shows."""
        sent = ["a\r\nb", "c\0d", "\x1b[31m", "e\tf\x7f", "\r\n2026-01-01 #1(main) forged line"]
        kept = await options_of(rspamd, hostile, sent)
        assert len(kept) == len(sent)
        assert not any(character < " " or character == "\x7f" for option in kept for character in option)


class TestWeights:
    @pytest.mark.parametrize(
        "weight",
        ['"5"', '"1e308"', "1e9", "-1e9", "1e308", "-1e308", "NaN", "nan", "inf", "null", "[5]", "{}", "true"],
    )
    async def test_useless_ones_count_as_one(self, rspamd: Rspamd, hostile: FakeService, weight: str) -> None:
        assert await score_of(rspamd, hostile, weight) == 3.0

    async def test_a_number_that_is_none_makes_no_reply(self, rspamd: Rspamd, hostile: FakeService) -> None:
        hostile.reply = http_reply('{"action": "no action", "symbols": {"MX_REFUSED": {"weight": 1e999}}}')
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == FAILED

    @pytest.mark.parametrize(("weight", "score"), [("0", 0.0), ("0.5", 1.5), ("-1", -3.0), ("100", 300.0)])
    async def test_a_multiplier_is_taken(self, rspamd: Rspamd, hostile: FakeService, weight: str, score: float) -> None:
        """It may be what a map of bad MX hosts says."""
        assert await score_of(rspamd, hostile, weight) == score


class TestAction:
    @pytest.mark.parametrize(
        "action", ["soft reject", "add header", "rewrite subject", "discard", "quarantine", "REJECT", "reject\n", ""]
    )
    async def test_an_unknown_one_does_nothing(self, rspamd: Rspamd, hostile: FakeService, action: str) -> None:
        hostile.reply = http_reply(verdict(GOOD, action=action, messages={"smtp_message": "no"}))
        assert "MX_GOOD" in await symbols_of(rspamd)

    @pytest.mark.parametrize(
        "messages", [5, "text", [], ["text"], None, {"smtp_message": 5}, {"smtp_message": ["no"]}, {"other": "no"}]
    )
    async def test_a_message_of_another_type_is_not_used(
        self, rspamd: Rspamd, hostile: FakeService, messages: object
    ) -> None:
        hostile.reply = http_reply(verdict(action="reject", messages=messages))
        reply = await rspamd.scan(MESSAGE, **ENVELOPE)
        assert (reply["action"], reply["messages"]) == ("reject", {"smtp_message": "Rejected"})

    async def test_a_message_stays_one_short_line(self, rspamd: Rspamd, hostile: FakeService) -> None:
        """It goes to the SMTP client, whose next lines it must not write."""
        text = "No\r\n250 2.0.0 Ok\0\x1b\x7f" + "x" * 5000
        hostile.reply = http_reply(verdict(action="reject", messages={"smtp_message": text}))
        reply = await rspamd.scan(MESSAGE, **ENVELOPE)
        said = reply["messages"]["smtp_message"]
        assert said.startswith("No")
        assert len(said) <= MAX_OPTION
        assert said.isprintable()

    async def test_a_cut_through_a_character_leaves_valid_text(self, rspamd: Rspamd, hostile: FakeService) -> None:
        """rspamd's reply is decoded strictly as UTF-8 here."""
        hostile.reply = http_reply(verdict(action="reject", messages={"smtp_message": "x" + "é" * 500}))
        reply = await rspamd.scan(MESSAGE, **ENVELOPE)
        assert reply["messages"]["smtp_message"].startswith("xé")


class TestForm:
    async def test_a_huge_reply_is_no_reply(self, rspamd: Rspamd, hostile: FakeService) -> None:
        hostile.reply = http_reply(verdict(GOOD, more="x" * 10_000_000))
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == FAILED

    @pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
    @pytest.mark.parametrize("prefix", ["", '{"action": "no action", "symbols": '])
    async def test_deep_nesting_is_no_reply(
        self, rspamd: Rspamd, hostile: FakeService, prefix: str, opening: str
    ) -> None:
        hostile.reply = http_reply(prefix + opening * 100_000)
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == FAILED

    @pytest.mark.parametrize("depth", [50, 5000, 100_000])
    async def test_deep_nesting_that_ends(self, rspamd: Rspamd, hostile: FakeService, depth: int) -> None:
        """It is read, or is no reply, but does no harm."""
        nested = "[" * depth + "]" * depth
        good = json.dumps(GOOD)
        hostile.reply = http_reply(f'{{"action": "no action", "symbols": {good}, "more": {nested}}}')
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) in ({"MX_GOOD": -0.1}, FAILED)

    @pytest.mark.parametrize(
        "macro",
        [
            '.include "{path}"',
            '.include(try=true) "{path}"',
            '.includes "{path}"',
            '.try_include "{path}"',
            '.load(key="symbols") "{path}"',
            '.include(glob=true) "{path}*"',
            '.inherit "symbols"',
        ],
    )
    async def test_macros_of_the_configuration_language_are_not_obeyed(
        self, rspamd: Rspamd, hostile: FakeService, secret: Path, macro: str
    ) -> None:
        lines = ['action = "no action";', macro.format(path=secret), "symbols { MX_GOOD { weight = 1.0; } }"]
        hostile.reply = http_reply("\n".join(lines))
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) in ({"MX_GOOD": -0.1}, FAILED)

    async def test_variables_of_the_configuration_are_not_filled_in(self, rspamd: Rspamd, hostile: FakeService) -> None:
        sent = ["${CONFDIR}", "$CONFDIR", "${LOCAL_CONFDIR}", "${HOSTNAME}", "${CURDIR}", "${ENV_PATH}", "$PATH"]
        assert await options_of(rspamd, hostile, sent) == sent

    async def test_duplicate_keys(self, rspamd: Rspamd, hostile: FakeService) -> None:
        hostile.reply = http_reply(
            '{"action": "reject", "action": "no action", "symbols": {"MX_GOOD": {"weight": 1}, "MX_GOOD": "x"},'
            ' "symbols": {"MX_NULL": {}, "MX_NULL": {}, "GTUBE": {}}}'
        )
        reply = await rspamd.scan(MESSAGE, **ENVELOPE)
        assert found(reply).keys() <= {"MX_GOOD", "MX_NULL", "MXCHECK_FAIL"}
        assert "GTUBE" not in reply["symbols"]

    @pytest.mark.parametrize("content_type", ["text/html", "application/msgpack", "multipart/mixed", "", "\x01"])
    async def test_the_content_type_does_not_matter(
        self, rspamd: Rspamd, hostile: FakeService, content_type: str
    ) -> None:
        hostile.reply = http_reply(verdict(GOOD), content_type=content_type)
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_GOOD": -0.1}


class TestTransport:
    async def test_chunks_are_put_together(self, rspamd: Rspamd, hostile: FakeService) -> None:
        whole = json.dumps(verdict(GOOD)).encode()
        hostile.reply = chunked_reply(*(whole[start : start + 1] for start in range(len(whole))))
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_GOOD": -0.1}

    @pytest.mark.parametrize(
        "reply",
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 1_000_000 + b"\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 99999 \x1b[31mred\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/9.9 200 OK\r\n\r\n",
        ],
        ids=["long chunk", "negative chunk", "negative", "20 digits", "2 GB", "long header", "status", "version"],
    )
    async def test_broken_http_is_no_reply(self, rspamd: Rspamd, hostile: FakeService, reply: bytes) -> None:
        hostile.reply = reply
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == FAILED

    async def test_promised_to_stay_and_hung_up(self, rspamd: Rspamd, hostile: FakeService) -> None:
        """The next message does not fail for it."""
        hostile.reply = http_reply(verdict(GOOD), keep_alive=True)
        hostile.hang_up = True
        before = len(warnings(rspamd))
        for _ in range(20):
            assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_GOOD": -0.1}
        assert len(warnings(rspamd)) == before

    async def test_more_than_one_reply_to_a_request(self) -> None:
        """The second one is no answer to the next question.

        Without keepalive only: on a connection that it keeps, rspamd 3.4 itself crashes from the surplus.
        """
        async with FakeService() as service:
            planted = http_reply(verdict(action="reject"), keep_alive=True)
            service.reply = http_reply(verdict(GOOD), keep_alive=True) + planted
            with rspamd_with_plugin({"url": service.url, "keepalive": False}) as rspamd:
                pid = worker_pid(rspamd)
                replies = [await rspamd.scan(MESSAGE, **ENVELOPE) for _ in range(10)]
                assert worker_pid(rspamd) == pid
        assert [reply["action"] for reply in replies] == ["no action"] * 10


async def test_reject_is_not_applied_when_switched_off() -> None:
    async with FakeService() as service:
        service.reply = http_reply(verdict(GOOD, action="reject", messages={"smtp_message": "no"}))
        with rspamd_with_plugin({"url": service.url, "apply_reject": False}) as rspamd:
            reply = await rspamd.scan(MESSAGE, **ENVELOPE)
    assert (reply["action"], reply["messages"]) == ("no action", {})
    assert found(reply) == {"MX_GOOD": -0.1}
