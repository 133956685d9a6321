"""The commands, with their output and exit codes (CONTRACT: Commands). Adapters are fakes; nothing is asked outside."""

import asyncio
import json
import re
import runpy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from mxcheck_service import __version__, cli, config
from mxcheck_service.background import Background
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.checker import Adapters
from mxcheck_service.core.model import MxHost
from mxcheck_service.ports import CacheBackend, ConnectProblem, DnsFailure, Found
from mxcheck_service.settings import Settings
from tests.unit.fakes import FailingCache, FakeClock, FakeDialer, FakeResolver, a, mx

OK, AGAINST, FAILED = 0, 1, 2
GOOD_IP, REFUSING_IP, FAULTY_IP, BOGON_IP = "11.0.0.1", "11.0.0.2", "11.0.0.3", "192.0.2.1"
SECRET = "hunter2"


class World:
    """What the command finds outside."""

    def __init__(self) -> None:
        self.resolver = FakeResolver(
            {
                "good.example": mx("mx.good.example"),
                "refusing.example": mx("mx.refusing.example"),
                "faulty.example": mx("mx.faulty.example"),
                "null.example": Found((MxHost(0, ""),)),
                "broken-dns.example": DnsFailure("SERVFAIL"),
            },
            {
                "mx.good.example": a(GOOD_IP),
                "mx.refusing.example": a(REFUSING_IP),
                "mx.faulty.example": a(FAULTY_IP),
            },
        )
        self.dialer = FakeDialer({REFUSING_IP: ConnectProblem.REFUSED, FAULTY_IP: ConnectProblem.LOCAL})
        self.cache_fails = False

    @asynccontextmanager
    async def adapters(self, settings: Settings, **_: object) -> AsyncIterator[Adapters]:
        clock, background = FakeClock(), Background()
        memory = MemoryCache(100, clock)
        cache: CacheBackend = FailingCache(memory) if self.cache_fails else memory
        yield Adapters(cache, self.resolver, self.dialer, clock, background)
        await background.drain(0)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, root_logger: object) -> World:
    """Replace what does I/O; the environment is empty, and so is the terminal's width."""
    made = World()
    monkeypatch.setattr(cli, "adapters", made.adapters)
    monkeypatch.delenv("COLUMNS", raising=False)
    return made


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        pytest.param(["jo@good.example"], OK, id="address"),
        pytest.param(["good.example"], OK, id="domain"),
        pytest.param(["GOOD.Example."], OK, id="upper-case-and-dot"),
        pytest.param(["jo@refusing.example"], AGAINST, id="refused"),
        pytest.param(["null.example"], AGAINST, id="null-mx"),
        pytest.param(["nowhere.example"], AGAINST, id="no-such-domain"),
        pytest.param(["good.example", "refusing.example"], AGAINST, id="worst-of-two"),
        pytest.param(["refusing.example", "good.example"], AGAINST, id="worst-of-two-first"),
        pytest.param(["not a domain"], FAILED, id="no-domain"),
        pytest.param(["jo@"], FAILED, id="address-without-domain"),
        pytest.param([""], FAILED, id="empty"),
        pytest.param(["192.0.2.1"], FAILED, id="address-literal"),
        pytest.param(["not a domain", "good.example", "refusing.example"], FAILED, id="worst-of-three"),
    ],
)
def test_exit_code_of_check(world: World, targets: list[str], code: int) -> None:
    assert cli.main(["check", *targets]) == code


@pytest.mark.parametrize("domain", ["faulty.example", "broken-dns.example"])
def test_exit_code_tells_when_neither_good_nor_bad_was_found_out(world: World, domain: str) -> None:
    """2: could not be checked. Our own network or DNS failed, which says nothing about the sender."""
    assert cli.main(["check", domain]) == FAILED


def test_something_against_the_sender_outweighs_what_was_not_found_out(world: World, config_file: Path) -> None:
    """A bogon beside an address that could not be probed is a symbol with a positive score, for those who want it."""
    config_file.write_text("improvements:\n  blame_mixed_classes: true\n")
    world.resolver = FakeResolver({"mixed.example": mx("mx.example")}, {"mx.example": a(BOGON_IP, FAULTY_IP)})
    assert cli.main(["check", "mixed.example", "--config", str(config_file)]) == AGAINST
    assert cli.main(["check", "mixed.example"]) == FAILED


def test_exit_code_tells_when_the_cache_kept_the_probe_from_being_made(world: World) -> None:
    world.cache_fails = True
    assert cli.main(["check", "good.example"]) == FAILED


def test_check_that_does_not_end_in_time_could_not_be_done(world: World, config_file: Path) -> None:
    world.dialer.hold = asyncio.Event()
    config_file.write_text("server: {deadline: 0.01}")
    assert cli.main(["check", "--config", str(config_file), "good.example"]) == FAILED


def test_check_prints_each_target_and_complains_on_standard_error(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["check", "good.example", "no domain\x1b", "refusing.example"])
    captured = capsys.readouterr()
    assert [line for line in captured.out.splitlines() if not line.startswith(" ")] == [
        "good.example  receives mail: mx.good.example answers",
        "refusing.example  mx.refusing.example refuses connections",
    ]
    assert captured.err == "mxcheck: 'no domain\\x1b' is neither an address nor a domain name\n"
    assert "MX_GOOD" in captured.out
    assert "MX_REFUSED" in captured.out
    assert "\x1b" not in captured.out


def test_json_is_the_apis_reply_on_a_line_for_each_target(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--json", "jo@good.example", "null.example"]) == AGAINST
    good, null = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (good["action"], list(good["symbols"]), good["score"], good["partial"]) == (
        "no action",
        ["MX_GOOD"],
        -0.1,
        False,
    )
    assert (null["action"], list(null["symbols"]), null["score"]) == ("greylist", ["MX_NULL"], 6.0)
    assert [domain["verdict"] for domain in good["domains"] + null["domains"]] == ["gd", "null"]
    assert "trace" not in good["domains"][0]


def test_explain_shows_the_steps(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["check", "--explain", "good.example"])
    text = capsys.readouterr().out
    assert all(step in text for step in ("cache", "dns", "lock", "probe", "verdict"))
    cli.main(["check", "--explain", "--json", "good.example"])
    trace = json.loads(capsys.readouterr().out)["domains"][0]["trace"]
    assert [step["step"] for step in trace if step["step"] == "dns"] == ["dns", "dns"]


def test_settings_and_maps_of_the_file_count(
    world: World, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config_file.write_text("mx_check: {exclude_domains: ['*.example'], symbol_white_mx: TRUSTED}")
    assert cli.main(["check", "--json", "--config", str(config_file), "refusing.example"]) == OK
    assert list(json.loads(capsys.readouterr().out)["symbols"]) == ["TRUSTED"]
    assert world.resolver.asked == []


@pytest.mark.parametrize(
    "arguments", [["check", "good.example"], ["config", "check"], ["config", "show"], ["symbols"], ["serve"]]
)
def test_every_command_fails_alike_on_faulty_settings(
    world: World, config_file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    config_file.write_text("server: {prot: 1}\nmx_check: {expire: 0}\n")
    assert cli.main([*arguments, "--config", str(config_file)]) == FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"{config_file}:1: server.prot: unknown setting; did you mean port?",
        f"{config_file}:2: mx_check.expire: input should be greater than 0, not 0",
    ]


def test_missing_settings_file(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "check", "--config", str(config_file)]) == FAILED
    assert f"{config_file}: cannot be read: No such file" in capsys.readouterr().err


def test_config_check(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file.write_text("mx_check: {timeout: 3, bad_ips: [mail.example.com]}")
    assert cli.main(["config", "check", "--config", str(config_file)]) == OK
    captured = capsys.readouterr()
    assert captured.out == f"{config_file}: no problems found\n"
    assert [line.split(":")[0] for line in captured.err.splitlines()] == ["warning"] * 2
    assert "mx_check.timeout is deprecated" in captured.err
    assert "'mail.example.com' is not an IP address or network" in captured.err


def test_config_check_reads_the_maps_too(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file.write_text("mx_check: {bad_ips: /nonexistent/map}")
    assert cli.main(["config", "check", "--config", str(config_file)]) == FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("mxcheck: mx_check.bad_ips: cannot read /nonexistent/map")


def test_config_check_of_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "check"]) == OK
    assert capsys.readouterr().out == "the built-in settings: no problems found\n"


def test_config_show_prints_the_effective_settings_with_secrets_masked(
    config_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MXCHECK_SERVER__AUTH_TOKEN", SECRET)
    config_file.write_text(f"preset: reference\ncache: {{url: 'redis://:{SECRET}@h/0'}}\n")
    assert cli.main(["config", "show", "--config", str(config_file)]) == OK
    text = capsys.readouterr().out
    assert SECRET not in text
    tree = yaml.safe_load(text)
    assert (tree["preset"], tree["improvements"]["probe_attempts"], tree["server"]["deadline"]) == ("reference", 1, 10)
    assert tree["mx_check"]["expire"] == 86400


def test_symbols_as_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert cli.main(["symbols"]) == OK
    first_words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert {"MX_GOOD", "REPLYTO_MX_A_TIMEOUT_CONNECT", "MIME_FROM_MX_PROBE_UNAVAILABLE"} <= set(first_words)


def test_symbols_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["symbols", "--format", "json"]) == OK
    document = json.loads(capsys.readouterr().out)
    assert {"name": "MX_NULL", "weight": 6.0}.items() <= next(
        entry for entry in document if entry["name"] == "MX_NULL"
    ).items()
    assert len(document) == 84


def test_symbols_as_a_group_file_have_the_names_of_the_settings(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config_file.write_text("mx_check: {symbol_good_mx: FINE}")
    assert cli.main(["symbols", "--format", "rspamd", "--config", str(config_file)]) == OK
    text = capsys.readouterr().out
    assert len(re.findall(r"^  \"\w+\" \{$", text, re.MULTILINE)) == 84
    assert '"FINE" {' in text
    assert '"MX_GOOD" {' not in text


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, root_logger: object) -> list[Settings]:
    """Record what would be served."""
    seen: list[Settings] = []

    async def serve(settings: Settings, *_: object, **__: object) -> None:
        seen.append(settings)

    monkeypatch.setattr(cli, "serve", serve)
    return seen


def test_serve_takes_address_and_port_from_the_command_line(served: list[Settings], config_file: Path) -> None:
    config_file.write_text(f"server: {{host: 127.0.0.2, port: 1, auth_token: {SECRET}}}")
    assert cli.main(["serve", "--config", str(config_file)]) == OK
    assert cli.main(["serve", "--config", str(config_file), "--host", "127.0.0.3", "--port", "0"]) == OK
    assert [(settings.server.host, settings.server.port) for settings in served] == [("127.0.0.2", 1), ("127.0.0.3", 0)]
    token = served[1].server.auth_token
    assert token is not None
    assert token.get_secret_value() == SECRET


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_serve_on_an_impossible_port_is_a_plain_error(
    served: list[Settings], capsys: pytest.CaptureFixture[str], port: str
) -> None:
    assert cli.main(["serve", "--port", port]) == FAILED
    assert served == []
    assert capsys.readouterr().err.startswith("--port: server.port: ")


def test_error_of_the_operating_system_is_a_plain_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root_logger: object
) -> None:
    async def serve(*_: object, **__: object) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(cli, "serve", serve)
    assert cli.main(["serve"]) == FAILED
    captured = capsys.readouterr()
    assert captured.err.startswith("mxcheck: ")
    assert "Address already in use" in captured.err


def test_interrupt_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def load(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(config, "load", load)
    assert cli.main(["symbols"]) == FAILED
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["check"], ["config"], ["symbols", "--format", "xml"], ["serve", "--port", "x"]]
)
def test_wrong_command_line_is_told_with_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == FAILED
    assert "usage: mxcheck" in capsys.readouterr().err


def test_module_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["mxcheck", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("mxcheck_service", run_name="__main__")
    assert caught.value.code == OK
    assert capsys.readouterr().out == f"mxcheck {__version__}\n"
