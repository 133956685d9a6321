"""rspamd with the project's plugin, set up as docs/rspamd.md says, and what is asked about it in tests."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.lab.rspamd import Rspamd

PLUGIN_FOLDER = Path(__file__).resolve().parents[2] / "rspamd"
PLUGIN = {"mxcheck.lua": PLUGIN_FOLDER / "mxcheck.lua"}
PLUGIN_SECTION = (PLUGIN_FOLDER / "rspamd.conf.local").read_text()

_WARNING = re.compile(r" mxcheck: not checked: (.*)$", re.MULTILINE)
_NORMAL_WORKER = "rspamd: normal process"


def rspamd_with_plugin(settings: Mapping[str, object], **more: Any) -> Rspamd:
    """An rspamd with the plugin; `settings` go to local.d/mxcheck.conf, `more` are further arguments of Rspamd."""
    # A JSON value is a value of rspamd's configuration language too.
    text = "".join(f"{name} = {json.dumps(value)};\n" for name, value in settings.items())
    local_d = {"mxcheck.conf": text} | more.pop("local_d", {})
    section = PLUGIN_SECTION + more.pop("rspamd_conf_local", "")
    return Rspamd(plugins=PLUGIN | more.pop("plugins", {}), rspamd_conf_local=section, local_d=local_d, **more)


def found(reply: Mapping[str, Any]) -> dict[str, float]:
    """The plugin's symbols in rspamd's reply, under their default names, each with its score."""
    symbols: Mapping[str, Any] = reply["symbols"]
    return {
        name: symbol["score"]
        for name, symbol in symbols.items()
        if re.match(r"(MIME_FROM_|REPLYTO_)?MX_|MXCHECK_", name)
    }


def warnings(rspamd: Rspamd) -> list[str]:
    """Why messages were not checked: what the plugin wrote to rspamd's log, a line each."""
    return _WARNING.findall(rspamd.log)


def worker_pid(rspamd: Rspamd) -> int:
    """The process that scans; it is another one after a crash."""
    children = psutil.Process(rspamd.pid).children()
    (worker,) = (child for child in children if child.cmdline()[0].startswith(_NORMAL_WORKER))
    return worker.pid
