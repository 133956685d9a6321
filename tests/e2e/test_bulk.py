"""`mxcheck bulk` as its user meets it: a child process, real DNS and peers, pipes."""

import asyncio
import json
import re
import subprocess
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from tests.lab import smtp_scripts as scripts
from tests.lab.bulk import BulkLab, verdicts
from tests.lab.dnsd import DnsServer
from tests.lab.service import COMMAND, mxcheck, write_config
from tests.lab.smtp import End, SmtpPeers

GOOD, AGAINST, FAILED = 0, 1, 2
HEADER = "line,input,domain,verdict,host,score,action,symbols,error\n"


@pytest_asyncio.fixture
async def lab(dns_server: DnsServer, smtp_peers: SmtpPeers, tmp_path: Path) -> BulkLab:
    return BulkLab(dns_server, smtp_peers, tmp_path)


class TestRows:
    LINES = ("jo@good.test", "# a comment", "", "dead.test", "null.test", "nowhere.test", "broken.test", "no domain")

    async def test_each_line_gets_its_verdict_in_order(self, lab: BulkLab) -> None:
        result = await lab.run(lab.write(*self.LINES))
        assert result.code == FAILED
        assert result.out == HEADER + (
            "1,jo@good.test,good.test,gd,mx.good.test,-0.1,no action,MX_GOOD,\n"
            "4,dead.test,dead.test,rf,mx.dead.test,3.0,greylist,MX_REFUSED,\n"
            "5,null.test,null.test,null,null.test,6.0,greylist,MX_NULL,\n"
            "6,nowhere.test,nowhere.test,no,nowhere.test,4.0,greylist,MX_NONE,\n"
            "7,broken.test,broken.test,df,broken.test,0.0,no action,MX_DNS_FAIL,\n"
            "8,no domain,,,,,,,is neither an address nor a domain name\n"
        )

    async def test_json_lines(self, lab: BulkLab) -> None:
        result = await lab.run(lab.write(*self.LINES), "--format", "jsonl", "--concurrency", 1)
        rows = [json.loads(line) for line in result.out.splitlines()]
        assert [row["verdict"] for row in rows] == ["gd", "rf", "null", "no", "df", None]
        assert rows[1] == {
            "line": 4, "input": "dead.test", "domain": "dead.test", "verdict": "rf", "host": "mx.dead.test",
            "score": 3.0, "action": "greylist", "symbols": ["MX_REFUSED"], "error": None,
        }  # fmt: skip

    async def test_a_summary_ends_it(self, lab: BulkLab) -> None:
        result = await lab.run(lab.write("good.test", "dead.test", "good.test", "no domain"))
        assert re.search(r"2 +50\.0% +gd +receives mail", result.err)
        assert re.search(r"1 +25\.0% +rf +connection refused", result.err)
        assert re.search(r"1 +25\.0% +- +not checked", result.err)
        assert re.search(r"4 lines; \d+\.\d s, [\d,]+ lines/s", result.err)
        assert "\x1b" not in result.err, "no terminal, no bar"
        assert (await lab.run(lab.write("good.test"), "--quiet")).err == ""

    async def test_a_csv_column_by_name_and_by_number(self, lab: BulkLab) -> None:
        path = lab.folder / "list.csv"
        path.write_text('id;mail;note\n7;jo@good.test;"two\nlines"\n8;dead.test;\n9;;\n')
        rows = verdicts((await lab.run(path, "--column", "mail", "--delimiter", ";")).out)
        assert rows == [("jo@good.test", "gd"), ("dead.test", "rf"), ("", "the column is empty")]
        path.write_text("7\tgood.test\n")
        assert verdicts((await lab.run(path, "--column", 2, "--delimiter", "tab")).out) == [("good.test", "gd")]

    async def test_a_domain_is_looked_up_and_probed_once(self, lab: BulkLab) -> None:
        peer = lab.smtp.add(scripts.good())
        lab.domain("many.test", peer.address)
        result = await lab.run(lab.write(*(f"user{number}@many.test" for number in range(500))))
        assert verdicts(result.out) == [(f"user{number}@many.test", "gd") for number in range(500)]
        assert peer.connections == lab.dns.count("many.test", "MX") == 1

    async def test_the_reference_waits_for_a_probe_under_way_too(self, lab: BulkLab) -> None:
        lab.configure(preset="reference", improvements={"loopback_class": "local"})
        result = await lab.run(lab.write(*["good.test"] * 20))
        assert {verdict for _, verdict in verdicts(result.out)} == {"gd"}

    async def test_the_deadline_of_a_line(self, lab: BulkLab) -> None:
        lab.held(1, asyncio.Event())
        result = await lab.run(lab.write("d0.test", "good.test"), "--deadline", "0.3")
        assert verdicts(result.out) == [("d0.test", "inflight"), ("good.test", "gd")]
        assert result.code == FAILED


class TestStreams:
    async def test_a_pipe_is_read_and_answered_line_by_line(self, lab: BulkLab) -> None:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *lab.words("-"),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == HEADER.encode()
            for domain, verdict in (("good.test", b",gd,"), ("dead.test", b",rf,")):
                process.stdin.write(domain.encode() + b"\n")
                assert verdict in await process.stdout.readline(), "the pipe is still open"
            process.stdin.write(b"null.test")
            process.stdin.close()
            assert b",null," in await process.stdout.readline()
            assert await process.wait() == AGAINST

    async def test_standard_input_may_be_a_file_or_nothing(self, lab: BulkLab) -> None:
        words = [*COMMAND, *lab.words("-", "--quiet")]
        with lab.write("good.test").open() as file:
            run = await asyncio.to_thread(subprocess.run, words, stdin=file, capture_output=True, check=False)
        assert verdicts(run.stdout.decode()) == [("good.test", "gd")]
        assert await mxcheck(*lab.words("-", "--quiet")) == (GOOD, HEADER, "")

    async def test_a_reader_that_has_had_enough_ends_it_quietly(self, lab: BulkLab) -> None:
        lab.configure(mx_check={"exclude_domains": ["*"]})
        path = lab.write(*(f"d{number}.test" for number in range(50_000)))
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *lab.words(path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1000
        )
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(20):
            await process.stdout.readline()
            process.stdout._transport.close()  # type: ignore[attr-defined]
            assert await process.stderr.read() == b""
            assert await process.wait() == FAILED

    async def test_an_output_that_stands_still_holds_up_no_probe(self, lab: BulkLab) -> None:
        """A loop that waits for its reader would take a greeting that has arrived for a timeout."""
        lab.configure(mx_check={"exclude_domains": ["*.long.test"]})
        (peer,) = lab.held(1, asyncio.Event())
        peer.play(scripts.good())
        long = ".".join(["x" * 60] * 3) + ".long.test"
        path = lab.write(*(f"{number}.{long}" for number in range(800)), "d0.test")
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *lab.words(path), stdout=asyncio.subprocess.PIPE, limit=1000, stderr=asyncio.subprocess.DEVNULL
        )
        assert process.stdout is not None
        async with asyncio.timeout(60):
            # Some 500 KB of rows come before the one of d0.test, and nobody has read any of them.
            await peer.wait_ended()
            rows = verdicts((await process.stdout.read()).decode())
            assert await process.wait() == GOOD
        assert len(rows) == 801
        assert rows[-1] == ("d0.test", "gd")


class TestPoliteness:
    @pytest.mark.parametrize("limit", [1, 3])
    async def test_so_many_connections_at_once_to_one_network(self, lab: BulkLab, limit: int) -> None:
        """They are let go one by one, and each makes room for just one more."""
        events = [asyncio.Event() for _ in range(8)]
        peers = [
            lab.smtp.add((scripts.Wait(event), *scripts.good()), address=f"127.2.0.{number}")
            for number, event in enumerate(events, start=1)
        ]
        for number, peer in enumerate(peers):
            lab.domain(f"p{number}.test", peer.address)
        lines = [f"p{number}.test" for number in range(len(peers))]
        task = asyncio.create_task(lab.run(lab.write(*lines), "--per-mx", limit))
        # All of them have come as far as their addresses.
        for line in lines:
            await lab.dns.wait_asked(f"mx.{line}", "A")
        for done in range(len(peers)):
            assert await lab.smtp.wait_connections(min(done + limit, len(peers)), peers) <= done + limit
            (event, peer) = next(
                (event, peer)
                for event, peer in zip(events, peers, strict=True)
                if peer.connections and not event.is_set()
            )
            event.set()
            await peer.wait_ended()
        assert verdicts((await task).out) == [(line, "gd") for line in lines]

    async def test_a_long_goodbye_counts(self, lab: BulkLab) -> None:
        lab.configure(mx_check={"send_quit": True})
        bye = asyncio.Event()
        first = lab.smtp.add(scripts.good(hold_bye=bye), address="127.2.1.1")
        second = lab.smtp.add(scripts.good(), address="127.2.1.2")
        lab.domain("first.test", first.address)
        lab.domain("second.test", second.address)
        other = lab.smtp.add(scripts.good())
        lab.domain("other.test", other.address)
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *lab.words("-", "--per-mx", 1, "--quiet"),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(b"first.test\n")
        await first.wait_received(b"QUIT\r\n")
        process.stdin.write(b"second.test\n")
        await lab.dns.wait_asked("mx.second.test", "A")
        # A whole check of another domain later, it still waits.
        process.stdin.write(b"other.test\n")
        await other.wait_ended()
        assert second.connections == 0
        bye.set()
        process.stdin.close()
        out, _ = await process.communicate()
        assert verdicts(out.decode()) == [("first.test", "gd"), ("second.test", "gd"), ("other.test", "gd")]
        assert first.sessions[0].ended is End.CLIENT_CLOSED

    async def test_what_waits_for_its_turn_is_no_timeout(self, lab: BulkLab) -> None:
        """The last one waits longer than a probe may take, than its lock lives, and than a check may take."""
        lab.configure(mx_check={"read_timeout": 0.5, "connect_timeout": 0.5}, server={"deadline": 0.8})
        lines = [f"q{number}.test" for number in range(1, 10)]
        for number, line in enumerate(lines, start=1):
            lab.domain(line, lab.smtp.add(scripts.silent(), address=f"127.3.0.{number}").address)
        lab.domain("last.test", lab.smtp.add(scripts.good(), address="127.3.0.99").address)
        rows = verdicts((await lab.run(lab.write(*lines, "last.test"), "--per-mx", 1)).out)
        assert rows == [*((line, "tr") for line in lines), ("last.test", "gd")]

    async def test_so_many_lines_at_once(self, lab: BulkLab) -> None:
        release = asyncio.Event()
        peers = lab.held(8, release)
        task = asyncio.create_task(lab.run(lab.write(*(f"d{n}.test" for n in range(8))), "--concurrency", 3))
        assert await lab.smtp.wait_connections(3, peers) == 3
        assert not any(lab.dns.count(f"d{number}.test", "MX") for number in range(3, 8))
        release.set()
        assert {verdict for _, verdict in verdicts((await task).out)} == {"gd"}
        assert [peer.connections for peer in peers] == [1] * 8


@pytest.mark.timeout(300)
async def test_memory_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    """Every domain is another one, the caches of bounded size are full after 18,000: nothing else may grow."""
    config = write_config(tmp_path, {"cache": {"max_entries": 1000}, "mx_check": {"exclude_domains": ["*"]}})
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "bulk", "-", "--config", str(config), "--quiet",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    sizes = []
    async with asyncio.timeout(280):
        assert await process.stdout.readline() == HEADER.encode()
        for first, last in ((1, 18_000), (18_001, 42_000)):
            numbers = range(first, last + 1)
            process.stdin.write(b"".join(b"jo@a-domain-of-many-%d.test\n" % number for number in numbers))
            for number in numbers:
                assert (await process.stdout.readline()).startswith(b"%d," % number)
            sizes.append(psutil.Process(process.pid).memory_info().rss)
        process.stdin.close()
        assert await process.wait() == GOOD
    assert sizes[1] < sizes[0] + 4 * 2**20, sizes
