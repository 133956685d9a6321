"""`mxcheck bulk` stopped, killed and resumed; and on a terminal."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pexpect
import pytest
import pytest_asyncio

from tests.lab import smtp_scripts as scripts
from tests.lab.bulk import BulkLab, verdicts
from tests.lab.dnsd import DnsServer
from tests.lab.service import COMMAND
from tests.lab.smtp import SmtpPeers
from tests.lab.waiting import poll_until

GOOD, FAILED, INTERRUPTED, TERMINATED = 0, 2, 130, 143
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest_asyncio.fixture
async def lab(dns_server: DnsServer, smtp_peers: SmtpPeers, tmp_path: Path) -> BulkLab:
    return BulkLab(dns_server, smtp_peers, tmp_path)


class TestResume:
    @pytest.mark.parametrize(
        ("form", "end", "code"),
        [
            ("csv", signal.SIGINT, INTERRUPTED),
            ("jsonl", signal.SIGTERM, TERMINATED),
            ("csv", signal.SIGKILL, -signal.SIGKILL),
            ("jsonl", signal.SIGKILL, -signal.SIGKILL),
        ],
    )
    async def test_a_stopped_run_goes_on_as_if_it_had_not_been(
        self, lab: BulkLab, form: str, end: signal.Signals, code: int
    ) -> None:
        release = asyncio.Event()
        (peer,) = lab.held(1, release)
        lines = ["good.test", "no domain", "# nothing", "dead.test", "d0.test", *["null.test", "nowhere.test"] * 3]
        words = (lab.write(*lines), "--output", lab.output, "--format", form)
        child = lab.start(*words)
        try:
            await peer.wait_connected()
            before = 3 + (form == "csv")
            await asyncio.to_thread(poll_until, lambda: self.rows(lab) == before, 30, "the rows before d0.test")
            os.kill(child.pid, end)
            assert await asyncio.to_thread(child.wait) == code
        finally:
            child.kill()
        assert self.rows(lab) == before
        if end is signal.SIGKILL:
            with lab.output.open("ab") as file:
                file.write(b'{"line":5,"inp' if form == "jsonl" else b"5,d0.test,d0.te")
        else:
            assert "mxcheck: stopped after 3 rows; the same command with --resume goes on from there" in child.log
        release.set()
        result = await lab.run(*words, "--resume")
        assert (result.code, result.out) == (FAILED, "")
        assert "10 lines, 3 of them before" in result.err
        resumed = lab.output.read_bytes()
        lab.output.unlink()
        await lab.run(*words)
        assert resumed == lab.output.read_bytes()
        assert resumed.count(b"\n") == 10 + (form == "csv")

    @staticmethod
    def rows(lab: BulkLab) -> int:
        return lab.output.read_bytes().count(b"\n") if lab.output.exists() else 0

    async def test_what_is_under_way_is_finished_when_stopped(self, lab: BulkLab) -> None:
        release = asyncio.Event()
        peers = lab.held(4, release)
        for peer in peers[2:]:
            peer.play(scripts.silent())
        child = lab.start(lab.write(*(f"d{n}.test" for n in range(4))), "--output", lab.output, "--concurrency", 2)
        try:
            await lab.smtp.wait_connections(2, peers)
            os.kill(child.pid, signal.SIGINT)
            release.set()
            assert await asyncio.to_thread(child.wait) == INTERRUPTED
        finally:
            child.kill()
        assert verdicts(lab.output.read_text()) == [("d0.test", "gd"), ("d1.test", "gd")]

    async def test_two_runs_do_not_write_to_one_file(self, lab: BulkLab) -> None:
        release = asyncio.Event()
        (peer,) = lab.held(1, release)
        words = (lab.write("d0.test"), "--output", lab.output)
        child = lab.start(*words)
        try:
            await peer.wait_connected()
            result = await lab.run(*words, "--resume")
            assert (result.code, result.err) == (FAILED, f"mxcheck: {lab.output} is being written by another run\n")
            release.set()
            assert await asyncio.to_thread(child.wait) == GOOD
        finally:
            child.kill()
        assert verdicts(lab.output.read_text()) == [("d0.test", "gd")]


class TestTerminal:
    async def test_a_live_bar_with_rate_eta_and_counts(self, lab: BulkLab) -> None:
        release = asyncio.Event()
        (peer,) = lab.held(1, release)
        path = lab.write(*["good.test"] * 30, "dead.test", "no domain", "d0.test", *["null.test"] * 31)
        terminal = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *lab.words(path, "--output", lab.output)],
            env={name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
            | {"TERM": "xterm-256color"},
            dimensions=(24, 120),
            encoding="utf-8",
            timeout=20,
        )
        try:
            await peer.wait_connected()
            await terminal.expect(r"32 lines", async_=True)
            await terminal.expect(r"gd 30\b.*rf 1\b.*error 1\b", async_=True)
            release.set()
            await terminal.expect("100%", async_=True)
            await terminal.expect(pexpect.EOF, async_=True)
            rest = terminal.before
        finally:
            terminal.close()
        assert isinstance(rest, str)
        said = _ESCAPES.sub("", rest)
        assert re.search(r"64 lines .* lines/s +\d:\d\d:\d\d +ETA +\d:\d\d:\d\d", said), said
        assert re.search(r"31 +48\.4% +null +receives no mail", said), said
        assert terminal.exitstatus == FAILED

    async def test_rows_on_the_terminal_have_it_for_themselves(self, lab: BulkLab) -> None:
        terminal = pexpect.spawn(
            COMMAND[0], [*COMMAND[1:], *lab.words(lab.write("good.test", "a\x1b[31mb"))],
            env=os.environ | {"TERM": "xterm-256color"}, dimensions=(24, 120), encoding="utf-8", timeout=20,
        )  # fmt: skip
        try:
            await terminal.expect(pexpect.EOF, async_=True)
            text = terminal.before
        finally:
            terminal.close()
        assert isinstance(text, str)
        assert "1,good.test,good.test,gd," in text
        assert "ETA" not in text
        assert "\x1b[31mb" not in text

    async def test_ctrl_c_while_the_bar_is_shown(self, lab: BulkLab) -> None:
        (peer,) = lab.held(1, asyncio.Event())
        terminal = pexpect.spawn(
            COMMAND[0], [*COMMAND[1:], *lab.words(lab.write("good.test", "d0.test"), "--output", lab.output)],
            env=os.environ | {"TERM": "xterm-256color"}, dimensions=(24, 120), encoding="utf-8", timeout=20,
        )  # fmt: skip
        try:
            await peer.wait_connected()
            terminal.sendintr()
            await terminal.expect("--resume goes on from there", async_=True)
            await terminal.expect(pexpect.EOF, async_=True)
        finally:
            terminal.close()
        assert terminal.exitstatus == INTERRUPTED
        assert verdicts(lab.output.read_text()) == [("good.test", "gd")]
