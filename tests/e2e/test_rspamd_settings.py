"""The plugin's settings, as an operator meets them: names, weights, warnings, mistakes, and the files as shipped."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.fake_service import FakeService, http_reply, verdict
from tests.lab.knot import KnotServer
from tests.lab.process import find_program
from tests.lab.rspamd import LOADED_STOCK_PLUGINS, Rspamd
from tests.lab.rspamd_plugin import PLUGIN, PLUGIN_FOLDER, found, rspamd_with_plugin
from tests.lab.service import Service
from tests.lab.smtp import SmtpPeers
from tests.lab.smtp_scripts import good

MESSAGE = b"From: Jo <jo@author.test>\nTo: kim@rcpt.test\nSubject: hello\nMessage-ID: <1@sender.test>\n\nhi\n"
ENVELOPE: dict[str, Any] = {"sender": "jo@sender.test", "helo": "mail.sender.test", "ip": "198.51.100.7"}
SHIPPED = {name: (PLUGIN_FOLDER / name).read_text() for name in ("mxcheck.conf", "mx_group.conf")}


@pytest.fixture(scope="module")
def as_shipped() -> Iterator[Rspamd]:
    """An rspamd with all of the shipped files."""
    with rspamd_with_plugin({}, local_d=SHIPPED) as server:
        yield server


def lines_about_it(rspamd: Rspamd) -> list[str]:
    """What the plugin wrote to the log while rspamd started, each line once (rspamd repeats some in its workers)."""
    return list(
        dict.fromkeys(line.partition(": mxcheck: ")[2] for line in rspamd.log.splitlines() if "mxcheck: " in line)
    )


class TestNames:
    RENAMED = {  # noqa: RUF012
        "symbol_good_mx": "SENDER_OK",
        "symbol_mx_none": "SENDER_NONE",
        "symbol_prefix_mime_from": "AUTHOR_",
        "symbol_prefix_from": "ENV_",
    }

    async def test_renamed_on_both_sides(self, knot: KnotServer, smtp_peers: SmtpPeers) -> None:
        knot.set_zone("sender.test", "@ MX 10 mx\nmx A 127.0.0.9\n")
        knot.set_zone("author.test", "x A 127.0.0.1\n")
        smtp_peers.add(good(), address="127.0.0.9")
        mx_check = {"test_mode": True, "port": smtp_peers.port} | self.RENAMED
        with (
            Service({"dns": {"nameservers": [knot.nameserver]}, "mx_check": mx_check}) as service,
            rspamd_with_plugin({"url": service.url} | self.RENAMED) as rspamd,
        ):
            symbols = (await rspamd.scan(MESSAGE, **ENVELOPE))["symbols"]
        assert symbols["ENV_SENDER_OK"]["options"] == ["mx.sender.test"]
        assert symbols["ENV_SENDER_OK"]["score"] == -0.1
        assert symbols["AUTHOR_SENDER_NONE"]["score"] == 4.0
        assert not any(name.endswith(("MX_GOOD", "MX_NONE")) for name in symbols)

    async def test_what_only_one_side_calls_so_is_left_out(self) -> None:
        async with FakeService() as fake:
            fake.reply = http_reply(verdict({"MX_GOOD": {"weight": 1.0}, "SENDER_OK": {"weight": 1.0}}))
            with rspamd_with_plugin({"url": fake.url, "symbol_good_mx": "SENDER_OK"}) as rspamd:
                symbols = (await rspamd.scan(MESSAGE, **ENVELOPE))["symbols"]
        assert "SENDER_OK" in symbols
        assert "MX_GOOD" not in symbols


class TestWeights:
    async def test_those_of_the_group_file_win(self) -> None:
        """Only rspamd's weights count, not what the service says."""
        async with FakeService() as fake:
            fake.reply = http_reply(verdict({"MX_REFUSED": {"weight": 2.0, "metric_score": 99.0, "score": 99.0}}))
            group = 'symbols = { "MX_REFUSED" { weight = 1.25; } }'
            with rspamd_with_plugin({"url": fake.url}, local_d={"mx_group.conf": group}) as rspamd:
                assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_REFUSED": 2.5}

    async def test_all_zero_to_begin_with(self) -> None:
        """As docs/rspamd.md says."""
        lines = SHIPPED["mx_group.conf"].splitlines()
        zero = "\n".join("weight = 0.0;" if "weight =" in line else line for line in lines)
        async with FakeService() as fake:
            fake.reply = http_reply(verdict({"MX_REFUSED": {"weight": 1.0}, "MX_GOOD": {"weight": 1.0}}))
            with rspamd_with_plugin({"url": fake.url}, local_d={"mx_group.conf": zero}) as rspamd:
                assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_REFUSED": 0.0, "MX_GOOD": 0.0}


class TestWarnings:
    @pytest.mark.parametrize(("enabled", "warned"), [("true", True), ("false", False)])
    def test_the_built_in_module_beside_it(self, enabled: str, warned: bool) -> None:
        with rspamd_with_plugin(
            {},
            local_d={"mx_check.conf": f"enabled = {enabled};", "redis.conf": 'servers = "127.0.0.1:1";'},
            stock_plugins=[*LOADED_STOCK_PLUGINS, "mx_check"],
        ) as rspamd:
            lines = lines_about_it(rspamd)
        assert len(lines) == warned
        assert all("built-in module mx_check is configured too" in line for line in lines)

    def test_a_timeout_that_rspamd_will_not_wait_for(self) -> None:
        with rspamd_with_plugin({"timeout": 9}) as rspamd:
            (line,) = lines_about_it(rspamd)
        assert line.startswith("timeout 9 is not below rspamd's default task timeout of 8 s")


class TestMistakes:
    @pytest.mark.parametrize(
        ("settings", "line"),
        [
            ({"url": "nonsense"}, "url nonsense is not http://host:port"),
            ({"url": ["http://127.0.0.1:1", "unix:///run/x"]}, "url unix:///run/x is not http://host:port"),
            ({"timeout": -1}, "timeout must be a positive number of seconds"),
            ({"token": 12345}, "token must be text, in quotes"),
            ({"symbol_prefix_from": ["A_"]}, "symbol_prefix_from must be text, in quotes"),
        ],
        ids=str,
    )
    async def test_disable_the_module_with_one_line(self, settings: dict[str, object], line: str) -> None:
        with rspamd_with_plugin(settings) as rspamd:
            assert lines_about_it(rspamd) == [f"{line}; the module is disabled"]
            assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {}

    async def test_without_its_section_it_is_not_loaded(self) -> None:
        with Rspamd(plugins=PLUGIN) as rspamd:
            assert "mxcheck disabling unconfigured lua module" in rspamd.log
            assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {}

    async def test_switched_off(self) -> None:
        with rspamd_with_plugin({"enabled": False}) as rspamd:
            assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {}


class TestAsShipped:
    async def test_rspamd_knows_its_symbols(self, as_shipped: Rspamd) -> None:
        assert lines_about_it(as_shipped) == []
        groups = await as_shipped.ask_controller("/symbols")
        (rules,) = [group["rules"] for group in groups if group["group"] == "mx"]
        weights = {rule["symbol"]: rule["weight"] for rule in rules}
        assert weights["MX_NULL"] == weights["REPLYTO_MX_NULL"] == 6.0
        assert len([name for name in weights if name.startswith("MX_")]) == 28

    def test_configtest_finds_nothing(self, as_shipped: Rspamd) -> None:
        folders = {"LOCAL_CONFDIR": "etc", "PLUGINSDIR": "stock-plugins", "DBDIR": "db", "RUNDIR": "run"}
        variables = [f"--var={name}={as_shipped.folder / folder}" for name, folder in folders.items()]
        argv = [find_program("rspamadm"), *variables, "configtest", "-c", "/etc/rspamd/rspamd.conf"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        assert (done.returncode, done.stdout) == (0, "syntax OK\n"), done.stderr
        assert "mxcheck" not in done.stderr
