"""The lab's rspamd is a real one that stays at home: what the tests of the plugin prove rests on it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.lab.dns_behaviours import a
from tests.lab.dnsd import DnsServer
from tests.lab.knot import KnotServer
from tests.lab.process import ComponentFailed
from tests.lab.redis import RedisServer
from tests.lab.rspamd import LOADED_STOCK_PLUGINS, Rspamd, rspamc
from tests.lab.sockets import accepts_connections, free_port
from tests.parity.lua_rspamd import reference_path

MESSAGE = b"""\
From: Jo <jo@sender.test>
To: kim@rcpt.test
Subject: hello
Message-ID: <1@sender.test>
Date: Mon, 04 Mar 2024 10:00:00 +0000

See http://www.example.com/ or write to info@example.org.
"""
ENVELOPE: dict[str, Any] = {
    "sender": "jo@sender.test",
    "helo": "mail.sender.test",
    "ip": "198.51.100.7",
    "rcpt": ["kim@rcpt.test", "lee@rcpt.test"],
}

# Shows what rspamd knows of the envelope, and does what the header X-Wish asks for.
PROBE = """
if confighelp then return end

local settings = rspamd_config:get_all_opt('lab_probe')
if not settings then return end

local function check(task)
  local sender = task:get_from('smtp')
  local ip = task:get_ip()
  local recipients = {}
  for _, recipient in ipairs(task:get_recipients('smtp') or {}) do
    table.insert(recipients, recipient.addr)
  end
  task:insert_result('LAB_PROBE', 2.0, {
    'from=' .. (sender and sender[1] and sender[1].addr or 'none'),
    'helo=' .. (task:get_helo() or 'none'),
    'ip=' .. (ip and ip:is_valid() and ip:to_string() or 'none'),
    'user=' .. (task:get_user() or 'none'),
    'rcpt=' .. table.concat(recipients, '+'),
  })
  local wish = task:get_header('X-Wish')
  if wish == 'greylist' then
    task:get_mempool():set_variable('grey_greylisted_required', '1')
  elseif wish == 'reject' then
    task:set_pre_result('reject', 'No mail for this domain', 'lab_probe')
  elseif wish == 'resolve' then
    task:get_resolver():resolve_a({ task = task, name = 'asked.test', callback = function() end })
  end
end

rspamd_config:register_symbol({
  name = 'LAB_PROBE', type = 'normal', callback = check,
  score = 0.5, group = 'lab', description = 'The lab was here',
})
"""

# A scanner for external_services, as a file that the configuration loads with `lua = "…"`.
SCANNER = """
require('lua_scanners').add_scanner('lab_scanner', 'scanner', function(options)
  return { name = 'lab_scanner', symbol = 'LAB_SCANNER', prefix = 'lab', servers = options.servers, log_clean = true }
end, function(task, content, digest, rule)
  task:insert_result(rule.symbol, 1.0, rule.servers)
end)
"""


def seen_by_probe(reply: dict[str, Any]) -> dict[str, str]:
    """What rspamd knew of the envelope."""
    return dict(option.split("=", 1) for option in reply["symbols"]["LAB_PROBE"]["options"])


def wishing(wish: str) -> bytes:
    """The message with a header that the probe obeys."""
    return f"X-Wish: {wish}\n".encode() + MESSAGE


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The probe as a plugin of rspamd."""
    path = tmp_path_factory.mktemp("plugins") / "lab_probe.lua"
    path.write_text(PROBE)
    return {"lab_probe.lua": path}


@pytest.fixture(scope="module")
def rspamd(probe: dict[str, Path], redis_with_password: RedisServer) -> Iterator[Rspamd]:
    """An rspamd with the probe, and with a greylist module that looks at no score."""
    with Rspamd(
        plugins=probe,
        rspamd_conf_local="lab_probe { }",
        local_d={"greylist.conf": "greylist_min_score = -1000;"},
        redis_url=redis_with_password.url,
    ) as server:
        yield server


class TestScan:
    async def test_reply_has_action_score_and_symbols(self, rspamd: Rspamd) -> None:
        """A symbol has no `weight` in the reply: what the plugin multiplied with shows in its score only."""
        reply = await rspamd.scan(MESSAGE, **ENVELOPE)
        probe = reply["symbols"]["LAB_PROBE"]
        assert reply["action"] == "no action"
        assert reply["score"] == sum(symbol["score"] for symbol in reply["symbols"].values())
        assert reply["messages"] == {}
        assert probe.keys() == {"name", "score", "metric_score", "description", "options"}
        assert (probe["metric_score"], probe["score"]) == (0.5, 1.0)
        assert probe["description"] == "The lab was here"

    async def test_envelope_arrives(self, rspamd: Rspamd) -> None:
        reply = await rspamd.scan(MESSAGE, user="jo", **ENVELOPE)
        assert seen_by_probe(reply) == {
            "from": "jo@sender.test",
            "helo": "mail.sender.test",
            "ip": "198.51.100.7",
            "user": "jo",
            "rcpt": "kim@rcpt.test+lee@rcpt.test",
        }

    async def test_without_envelope_nothing_is_made_up(self, rspamd: Rspamd) -> None:
        reply = await rspamd.scan(MESSAGE)
        assert seen_by_probe(reply) == {"from": "none", "helo": "none", "ip": "none", "user": "none", "rcpt": ""}

    @pytest.mark.parametrize("null_sender", ["<>", ""])
    async def test_null_sender_is_an_empty_address(self, rspamd: Rspamd, null_sender: str) -> None:
        reply = await rspamd.scan(MESSAGE, sender=null_sender)
        assert seen_by_probe(reply)["from"] == ""

    async def test_reject_carries_its_message(self, rspamd: Rspamd) -> None:
        reply = await rspamd.scan(wishing("reject"), **ENVELOPE)
        assert reply["action"] == "reject"
        assert reply["messages"] == {"smtp_message": "No mail for this domain"}
        assert "LAB_PROBE" in reply["symbols"]

    async def test_further_headers_reach_the_request(self, rspamd: Rspamd) -> None:
        reply = await rspamd.scan(MESSAGE, headers={"Settings": '{"symbols_enabled": ["LAB_PROBE"]}'})
        assert reply["symbols"].keys() == {"LAB_PROBE"}

    async def test_bad_request_is_an_error(self, rspamd: Rspamd) -> None:
        with pytest.raises(ComponentFailed, match=r"status 503.*\n.*Decompression error"):
            await rspamd.scan(MESSAGE, headers={"Compression": "zstd"})

    async def test_controller_and_log_remember_the_scan(self, rspamd: Rspamd) -> None:
        await rspamd.scan(MESSAGE.replace(b"<1@", b"<remembered@"), **ENVELOPE)
        history = await rspamd.ask_controller("/history")
        assert "remembered@sender.test" in [row["id"] for row in history]
        assert "id: <remembered@sender.test>" in rspamd.log


class TestGreylist:
    async def test_first_sight_and_early_retry_are_soft_rejects(
        self, rspamd: Rspamd, redis_with_password: RedisServer
    ) -> None:
        """The retry is stopped before any other plugin sees it."""
        redis_with_password.flush()
        first = await rspamd.scan(wishing("greylist"), **ENVELOPE)
        retry = await rspamd.scan(wishing("greylist"), **ENVELOPE)
        for reply, why in ((first, "new record"), (retry, "too early")):
            assert reply["action"] == "soft reject"
            assert reply["messages"] == {"smtp_message": "Try again later"}
            assert reply["symbols"]["GREYLIST"]["options"][0::2] == ["greylisted", why]
        assert "LAB_PROBE" in first["symbols"]
        assert retry["symbols"].keys() == {"GREYLIST"}

    async def test_rspamc_is_never_greylisted(self, rspamd: Rspamd, redis_with_password: RedisServer) -> None:
        """rspamd knows rspamc by its User-Agent."""
        redis_with_password.flush()
        text = await rspamd.rspamc(wishing("greylist"), "--ip", "198.51.100.7")
        assert "Action: no action" in text

    async def test_as_delivered_a_low_score_is_never_greylisted(
        self, probe: dict[str, Path], redis_server: RedisServer
    ) -> None:
        """Without greylist_min_score the module takes the action's threshold, whatever a plugin asks for."""
        with Rspamd(plugins=probe, rspamd_conf_local="lab_probe { }", redis_url=redis_server.url) as rspamd:
            reply = await rspamd.scan(wishing("greylist"), **ENVELOPE)
            assert reply["action"] == "no action"
            assert "Score too low - skip greylisting" in rspamd.log


class TestRspamc:
    async def test_prints_what_rspamd_replies(self, rspamd: Rspamd) -> None:
        text = await rspamd.rspamc(wishing("reject"), "--from", "jo@sender.test", "--ip", "198.51.100.7")
        assert "Action: reject" in text
        assert "Message - smtp_message: No mail for this domain" in text
        assert "Symbol: LAB_PROBE (1.00)[from=jo@sender.test" in text

    async def test_asks_the_controller_too(self, rspamd: Rspamd) -> None:
        assert "Messages scanned" in await rspamc(rspamd.controller_address, b"", "stat")

    async def test_nobody_there_is_an_error(self, rspamd: Rspamd) -> None:
        with pytest.raises(ComponentFailed, match="rspamc: exit 1"):
            await rspamc(f"127.0.0.1:{free_port()}", MESSAGE)


class TestPlugins:
    async def test_without_its_section_a_plugin_is_not_loaded(self, probe: dict[str, Path]) -> None:
        with Rspamd(plugins=probe) as rspamd:
            reply = await rspamd.scan(MESSAGE, **ENVELOPE)
            assert "LAB_PROBE" not in reply["symbols"]
            assert "lab_probe disabling unconfigured lua module" in rspamd.log

    def test_a_plugin_with_an_error_fails_the_start(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken.lua"
        broken.write_text("error('what went wrong')")
        with (
            pytest.raises(ComponentFailed, match=r"init of \S+/broken.lua failed: .*what went wrong"),
            Rspamd(plugins={broken.name: broken}, rspamd_conf_local="broken { }"),
        ):
            pass

    async def test_lua_of_the_configuration_runs_before_external_services(self, tmp_path: Path) -> None:
        """So it can add a type of scanner that external_services.conf uses."""
        scanner = tmp_path / "scanner.lua"
        scanner.write_text(SCANNER)
        with Rspamd(
            rspamd_conf_local=f'lua = "{scanner}";',
            local_d={"external_services.conf": 'lab_scanner { servers = "127.0.0.1:1"; }'},
        ) as rspamd:
            reply = await rspamd.scan(MESSAGE, **ENVELOPE)
        assert reply["symbols"]["LAB_SCANNER"]["options"] == ["127.0.0.1:1"]


class TestProcess:
    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("unclosed {", "rspamd.conf.local:1 unmatched open brace"),
            ('lua = "/such.lua";', "cannot load lua file /such.lua"),
        ],
    )
    def test_a_bad_configuration_fails_the_start_with_its_error(self, text: str, error: str) -> None:
        with pytest.raises(ComponentFailed, match=error):
            Rspamd(rspamd_conf_local=text).__enter__()

    def test_files_that_keep_it_at_home_cannot_be_replaced(self) -> None:
        with pytest.raises(ValueError, match=r"options\.inc"):
            Rspamd(override_d={"options.inc": ""}).__enter__()

    async def test_restart_keeps_the_ports_and_stop_ends_every_worker(self) -> None:
        with Rspamd(workers=2) as rspamd:
            url = rspamd.url
            rspamd.restart()
            assert rspamd.url == url
            await rspamd.scan(MESSAGE)
            processes = [psutil.Process(rspamd.pid), *psutil.Process(rspamd.pid).children(recursive=True)]
            assert len(processes) >= 4  # main, controller, 2 normal workers and maybe a helper
            rspamd.stop()
            assert not any(process.is_running() for process in processes)
            assert not accepts_connections("127.0.0.1", rspamd.port)

    async def test_asks_nobody_but_for_a_plugin(self, probe: dict[str, Path]) -> None:
        """Neither at its start nor for the links and addresses of a message it has a DNS question of its own."""
        async with DnsServer() as dns:
            dns.set("asked.test", "A", a("127.0.0.5"))  # rspamd 3.4 asks again after an empty reply without SOA or OPT
            with Rspamd(plugins=probe, rspamd_conf_local="lab_probe { }", nameserver=dns.nameserver) as rspamd:
                await rspamd.scan(wishing("resolve"), **ENVELOPE)
            assert dns.counts() == {("asked.test", "A"): 1}


@pytest.mark.skipif(
    not reference_path().exists(),
    reason="the reference is not there: set MXCHECK_REFERENCE to the path of mx_check.lua",
)
class TestReference:
    async def test_asks_dns_and_stores_what_it_learnt(self, redis_server: RedisServer, knot: KnotServer) -> None:
        knot.set_zone("sender.test", "@ MX 10 mx\nmx A 127.0.0.9\n")
        before = knot.queries("sender.test")["MX"]
        with Rspamd(
            plugins={"mx_check.lua": reference_path()},
            local_d={"mx_check.conf": "enabled = true;"},
            redis_url=redis_server.url,
            nameserver=knot.nameserver,
        ) as rspamd:
            reply = await rspamd.scan(MESSAGE, **ENVELOPE)
        assert reply["symbols"]["MX_BOGON_ONLY"]["options"] == ["127.0.0.9"]
        assert knot.queries("sender.test")["MX"] == before + 1
        with redis_server.client() as client:
            assert client.get("rmx:d:sender.test") == "mx:mx.sender.test:10"
            assert client.get("rmx:m:mx.sender.test") == "v4:127.0.0.9"

    def test_the_stock_plugin_would_be_loaded_in_its_place(self, redis_server: RedisServer) -> None:
        """That is why the lab leaves rspamd's own mx_check out."""
        with Rspamd(
            plugins={"mx_check.lua": reference_path()},
            local_d={"mx_check.conf": "enabled = true;"},
            redis_url=redis_server.url,
            stock_plugins=[*LOADED_STOCK_PLUGINS, "mx_check"],
        ) as rspamd:
            assert re.search(r"already seen module mx_check at \S+, skip \S+/plugins\.d/+mx_check\.lua", rspamd.log)
