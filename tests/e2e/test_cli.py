"""The command line as its user meets it: a real child process, a pipe or a terminal, real DNS and peers."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pexpect
import pytest
import pytest_asyncio
import yaml

from mxcheck_service import __version__
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.redis import RedisServer
from tests.lab.service import COMMAND, Finished, Service, mxcheck, write_config
from tests.lab.smtp import SmtpPeers

GOOD, AGAINST, FAILED = 0, 1, 2
_ESCAPE = "\x1b["
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STEP = re.compile(r"^\s+(\d+\.\d) ms\s+(\w+)(?:\s|$)")

WriteConfig = Callable[..., Path]


@pytest_asyncio.fixture
async def configure(dns_server: DnsServer, smtp_peers: SmtpPeers, tmp_path: Path) -> WriteConfig:
    """Write settings for a lab where good.test greets, dead.test refuses and silent.test says nothing."""
    hosts = {
        "good.test": smtp_peers.add(scripts.good()).address,
        "dead.test": smtp_peers.add_refused(),
        "silent.test": smtp_peers.add(scripts.silent()).address,
    }
    for domain, address in hosts.items():
        dns_server.set(domain, "MX", dns.mx((10, f"mx.{domain}")))
        dns_server.set(f"mx.{domain}", "A", dns.a(address))
    dns_server.set("null.test", "MX", dns.mx((0, ".")))

    def configure(**sections: Mapping[str, Any]) -> Path:
        lab: dict[str, Mapping[str, Any]] = {
            "dns": {"nameservers": [dns_server.nameserver]},
            "mx_check": {"test_mode": True, "port": smtp_peers.port, "verify_greeting": True},
        }
        tree = {name: {**lab.get(name, {}), **sections.get(name, {})} for name in lab | sections}
        return write_config(tmp_path, tree)

    return configure


async def check(config: Path, *words: str) -> Finished:
    return await mxcheck("check", *words, "--config", str(config))


class TestCheck:
    @pytest.mark.parametrize(
        ("targets", "code"),
        [
            (["good.test"], GOOD),
            (["user@good.test"], GOOD),
            (["User@GOOD.Test"], GOOD),
            (["dead.test"], AGAINST),
            (["nowhere.test"], AGAINST),
            (["null.test"], AGAINST),
            (["not a domain"], FAILED),
            (["user@"], FAILED),
            (["192.0.2.1"], FAILED),
            (["good.test", "dead.test"], AGAINST),
            (["dead.test", "good.test"], AGAINST),
            (["good.test", "not a domain", "dead.test"], FAILED),
        ],
    )
    async def test_exit_code(self, configure: WriteConfig, targets: list[str], code: int) -> None:
        result = await check(configure(), *targets)
        assert result.code == code, result

    async def test_the_deadline_came_first(self, configure: WriteConfig) -> None:
        result = await check(configure(server={"deadline": 0.2}), "silent.test", "--json")
        assert result.code == FAILED
        assert json.loads(result.out)["partial"]

    async def test_dns_that_fails_leaves_it_open(self, configure: WriteConfig, dns_server: DnsServer) -> None:
        dns_server.set("broken.test", "MX", dns.SERVFAIL)
        result = await check(configure(), "broken.test")
        assert result.code == FAILED
        assert "MX_DNS_FAIL" in result.out

    async def test_into_a_pipe_it_writes_plain_text(self, configure: WriteConfig) -> None:
        result = await check(configure(), "user@good.test", "dead.test")
        assert result.err == ""
        assert _ESCAPE not in result.out
        said = " ".join(result.out.split())
        assert "user@good.test receives mail: mx.good.test answers" in said
        assert "MX_GOOD -0.1 mx.good.test" in said
        assert "dead.test mx.dead.test refuses connections" in said
        assert "MX_REFUSED +3.0 mx.dead.test" in said
        assert "score +3.0, greylist" in said

    async def test_what_is_no_domain_is_told_and_the_others_are_checked(self, configure: WriteConfig) -> None:
        result = await check(configure(), "no domain", "good.test")
        assert result.err == "mxcheck: 'no domain' is neither an address nor a domain name\n"
        assert "MX_GOOD" in result.out

    async def test_on_a_terminal_it_is_coloured(self, configure: WriteConfig) -> None:
        code, text = await in_terminal("check", "good.test", "dead.test", "--config", str(configure()))
        assert code == AGAINST
        assert "\x1b[32mMX_GOOD" in text, "green"
        assert "\x1b[31mMX_REFUSED" in text, "red"
        assert "mx.dead.test refuses connections" in _COLOUR.sub("", text)

    async def test_no_color_is_honoured(self, configure: WriteConfig) -> None:
        words = ("check", "good.test", "--config", str(configure()))
        _, text = await in_terminal(*words, environment={"NO_COLOR": "1"})
        assert "MX_GOOD" in text
        assert "\x1b[32m" not in text

    async def test_hostile_text_reaches_no_terminal(self, configure: WriteConfig) -> None:
        code, text = await in_terminal("check", "a\x1b[31mb.test", "--config", str(configure()))
        assert code == FAILED
        assert "\x1b[31mb" not in text

    async def test_json_is_what_the_api_replies(self, configure: WriteConfig) -> None:
        config = configure(server={})
        result = await check(config, "good.test", "dead.test", "nowhere.test", "--json", "--explain")
        assert result.code == AGAINST
        printed = [json.loads(line) for line in result.out.splitlines()]
        with Service(yaml.safe_load(config.read_text())) as service:
            for document in printed:
                domain = document["domains"][0]["domain"]
                reply = await service.get(f"/v1/check?explain=1&sender=postmaster@{domain}")
                assert without_times(document) == without_times(reply.body)
        assert [document["domains"][0]["verdict"] for document in printed] == ["gd", "rf", "no"]

    async def test_without_explain_json_has_no_steps(self, configure: WriteConfig) -> None:
        result = await check(configure(), "good.test", "--json")
        assert "trace" not in json.loads(result.out)["domains"][0]

    async def test_explain_shows_each_step_with_its_time(self, configure: WriteConfig) -> None:
        result = await check(configure(), "good.test", "--explain")
        steps = [match for line in result.out.splitlines() if (match := _STEP.match(line))]
        assert [step[2] for step in steps] == [
            *("cache", "dns", "cache", "dns", "ip_class", "cache", "lock", "probe", "verdict"),
        ], result.out
        times = [float(step[1]) for step in steps]
        assert times == sorted(times)
        for fact in ("type=MX", "answer=10 mx.good.test.", "type=A", "220 mx.lab.test ESMTP", "claim=won"):
            assert fact in result.out

    async def test_it_shares_the_redis_of_the_settings(self, configure: WriteConfig, redis_server: RedisServer) -> None:
        config = configure(cache={"url": redis_server.url})
        first = await check(config, "good.test")
        second = await check(config, "good.test")
        assert ["(cached)" in result.out for result in (first, second)] == [False, True]
        with redis_server.client() as client:
            assert client.get("rmx:d:good.test") == "mx:mx.good.test:10"

    async def test_a_lost_redis_is_told(self, configure: WriteConfig, redis_server: RedisServer) -> None:
        redis_server.stop()
        result = await check(configure(cache={"url": redis_server.url}), "good.test")
        assert result.code == FAILED
        assert "MX_REDIS_ERROR" in result.out
        assert "was not probed, the cache failed" in " ".join(result.out.split())

    async def test_without_targets_it_tells_how_it_is_used(self) -> None:
        result = await mxcheck("check")
        assert result.code == 2
        assert "TARGET" in result.err


class TestConfig:
    async def test_check_of_good_settings(self, configure: WriteConfig) -> None:
        config = configure()
        assert await mxcheck("config", "check", "--config", str(config)) == (0, f"{config}: no problems found\n", "")

    async def test_check_names_every_problem(self, tmp_path: Path) -> None:
        config = write_config(tmp_path, ["mx_check:", "  port: 0", "  read_timeout: soon", "servr: {}"])
        code, out, err = await mxcheck("config", "check", "--config", str(config))
        assert (code, out) == (2, "")
        lines = sorted(err.splitlines())
        assert len(lines) == 3, err
        assert lines[0].startswith(f"{config}:2: mx_check.port: ")
        assert lines[1].startswith(f"{config}:3: mx_check.read_timeout: ")
        assert lines[2].startswith(f"{config}:4: servr: ")
        assert "did you mean server?" in lines[2]

    async def test_check_warns_of_deprecated_names_and_odd_map_entries(self, tmp_path: Path) -> None:
        config = write_config(tmp_path, ["mx_check:", "  timeout: 3", "  bad_ips: [192.0.2.0/24, nonsense]"])
        code, out, err = await mxcheck("config", "check", "--config", str(config))
        assert code == 0
        assert "no problems found" in out
        assert "warning: mx_check.timeout is deprecated" in err
        assert "nonsense" in err

    async def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        code, out, err = await mxcheck("config", "check", "--config", str(tmp_path / "none.yaml"))
        assert (code, out) == (2, "")
        assert err == f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory\n"

    async def test_show_prints_every_setting_and_no_secret(self, configure: WriteConfig) -> None:
        config = configure(
            server={"auth_token": "s3cret-token"},
            cache={"url": "redis://user:s3cret-word@127.0.0.1:6379/0"},
            improvements={"probe_attempts": 7},
        )
        code, out, err = await mxcheck("config", "show", "--config", str(config))
        assert (code, err) == (0, "")
        assert "s3cret" not in out
        shown = yaml.safe_load(out)
        assert shown["improvements"]["probe_attempts"] == 7
        assert shown["improvements"]["wait_for_inflight"] is True
        assert shown["mx_check"]["test_mode"] is True
        assert shown["server"]["deadline"] == 5.0

    async def test_what_show_prints_are_settings(self, configure: WriteConfig, tmp_path: Path) -> None:
        first = await mxcheck("config", "show", "--config", str(configure()))
        again = tmp_path / "again.yaml"
        again.write_text(first.out)
        assert await mxcheck("config", "show", "--config", str(again)) == first


class TestSymbols:
    async def test_json_names_every_symbol_with_weight_and_meaning(self) -> None:
        code, out, err = await mxcheck("symbols", "--format", "json")
        assert (code, err) == (0, "")
        by_name = {symbol["name"]: symbol for symbol in json.loads(out)}
        assert len(by_name) == len(json.loads(out)) == 28 * 3
        assert by_name["MX_GOOD"]["weight"] == -0.1
        assert by_name["REPLYTO_MX_NULL"]["weight"] == 6.0
        assert by_name["MIME_FROM_MX_A_REFUSED"]["weight"] == 3.0
        assert all(symbol["description"] for symbol in by_name.values())

    async def test_rspamd_group_has_them_all(self) -> None:
        code, out, err = await mxcheck("symbols", "--format", "rspamd")
        assert (code, err) == (0, "")
        weights = dict(re.findall(r'"(\w+)" \{\s+weight = (-?[0-9.]+);', out))
        wanted = json.loads((await mxcheck("symbols", "--format", "json")).out)
        assert {name: float(weight) for name, weight in weights.items()} == {
            symbol["name"]: symbol["weight"] for symbol in wanted
        }
        assert out.count("one_shot = true;") == len(wanted)
        assert out.count("{") == out.count("}")

    async def test_table_is_the_default(self) -> None:
        code, out, err = await mxcheck("symbols")
        assert (code, err) == (0, "")
        assert _ESCAPE not in out
        assert re.search(r"^MX_BOGON_ONLY +8\.0 ", out, re.MULTILINE)
        assert out == (await mxcheck("symbols", "--format", "table")).out

    async def test_names_of_the_settings_are_used(self, tmp_path: Path) -> None:
        config = write_config(tmp_path, {"mx_check": {"symbol_good_mx": "FINE", "symbol_prefix_reply_to": "RT_"}})
        _, out, _ = await mxcheck("symbols", "--format", "json", "--config", str(config))
        names = {symbol["name"] for symbol in json.loads(out)}
        assert {"FINE", "RT_FINE", "MIME_FROM_FINE"} <= names
        assert "MX_GOOD" not in names


class TestOther:
    async def test_version(self) -> None:
        assert await mxcheck("--version") == (0, f"mxcheck {__version__}\n", "")

    async def test_no_command_and_unknown_ones(self) -> None:
        for words in ((), ("chekc",), ("config",), ("symbols", "--format", "xml")):
            code, out, err = await mxcheck(*words)
            assert (code, out) == (2, ""), words
            assert "usage: mxcheck" in err

    async def test_the_environment_sets_too(
        self, configure: WriteConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        token = tmp_path / "token"
        token.write_text("s3cret\n")
        monkeypatch.setenv("MXCHECK_MX_CHECK__PORT", "0")
        monkeypatch.setenv("MXCHECK_SERVER__AUTH_TOKEN_FILE", str(token))
        code, _, err = await mxcheck("config", "check", "--config", str(configure()))
        assert code == 2
        assert err.startswith("MXCHECK_MX_CHECK__PORT: mx_check.port: ")
        assert "s3cret" not in err


async def in_terminal(*words: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command on a terminal of 200 columns; return its exit code and everything it wrote there."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    }
    terminal = pexpect.spawn(
        COMMAND[0],
        [*COMMAND[1:], *words],
        env=inherited | {"TERM": "xterm-256color"} | dict(environment or {}),
        dimensions=(50, 200),
        encoding="utf-8",
        timeout=20,
    )
    try:
        await terminal.expect(pexpect.EOF, async_=True)
        text = terminal.before
    finally:
        terminal.close()
    assert isinstance(text, str)
    assert isinstance(terminal.exitstatus, int), terminal
    return terminal.exitstatus, text


def without_times(reply: dict[str, Any]) -> dict[str, Any]:
    """A reply less the times in it, which are there."""
    assert reply.pop("time_real") >= 0
    for domain in reply["domains"]:
        assert domain.pop("time_ms") >= 0
        for step in domain["trace"]:
            assert step.pop("at_ms") >= 0
            step.pop("connect_ms", None)
            assert (step.pop("took_ms", None) is None) is (step["step"] in ("ip_class", "verdict"))
    return reply


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    """`mxcheck symbols | head` ends quietly."""
    pipe = f"set -o pipefail; {shlex.join(COMMAND)} symbols --format json | true"
    run = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, timeout=60, check=False)
    assert run.stderr == ""
