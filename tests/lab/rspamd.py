"""A real rspamd, with its normal worker and its controller, and its client rspamc.

    with Rspamd(plugins={"probe.lua": path}, rspamd_conf_local="probe { }", redis_url=redis.url) as rspamd:
        reply = await rspamd.scan(message, sender="user@example.test", ip="198.51.100.7")
        assert "PROBE" in reply["symbols"]

It reads Debian's own rspamd.conf, but keeps to folders of its own and to loopback: the plugins that ask services
in the net are not there to be loaded, no map has a URL, and the only nameserver is the one given.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import aiohttp
import psutil

from tests.lab.process import Child, ComponentFailed, find_program, missing
from tests.lab.sockets import free_port
from tests.lab.waiting import StillWaiting

_HOST = "127.0.0.1"
_USER = "_rspamd"
_CONFIG = Path("/etc/rspamd/rspamd.conf")
_STOCK_PLUGINS = Path("/usr/share/rspamd/plugins")
_LONGEST_REPLY = aiohttp.ClientTimeout(total=30)

LOADED_STOCK_PLUGINS = ("external_services", "force_actions", "greylist", "settings")
"""The plugins of rspamd's own that are loaded unless others are named; none of them asks anybody but Redis."""

# The names below which rspamd finds URLs and registered domains; compiling Debian's list of 9,000 takes 8 seconds.
_SUFFIXES = ("com", "org", "net", "co.uk", "test", "example", "invalid")

# Seconds in which rspamd ends when nothing is in the way; it needs a quarter of one.
_SOON = 0.75

# rspamd itself goes on without a plugin that fails, and `rspamadm configtest` finds nothing wrong either. (Nor does
# the lab use rspamadm, which connects to the machine's own nameserver whatever it is asked to do.)
_BROKEN_PLUGIN = re.compile(r"rspamd_init_lua_filters: ((?:load|init) of .* failed: .*)")

# Without a nameserver, a lookup goes to a closed port, and rspamd waits all the same: then not for long.
_NO_DNS = "timeout = 0.1s; retransmits = 1;"
# A question is asked once, however busy the machine is.
_PATIENT = "timeout = 10s; retransmits = 1;"


class Rspamd:
    """rspamd as a context manager; ports and folders stay over a restart, and so does what it stored there.

    `plugins` maps file names in the local plugins.d to the files that are copied there; rspamd loads a plugin only
    if the configuration has a section of its name. `local_d` and `override_d` map file names to their text, and
    `rspamd_conf_local` is the text of rspamd.conf.local, where a section of its own or `lua = "…"` goes.
    `stock_plugins` names those of rspamd's own that are there. Of two plugins with one name rspamd loads the stock
    one; any other than these can be replaced.
    """

    def __init__(
        self,
        *,
        plugins: Mapping[str, Path] | None = None,
        local_d: Mapping[str, str] | None = None,
        override_d: Mapping[str, str] | None = None,
        rspamd_conf_local: str = "",
        redis_url: str | None = None,
        nameserver: str | None = None,
        stock_plugins: Sequence[str] = LOADED_STOCK_PLUGINS,
        workers: int = 1,
    ) -> None:
        self.port = free_port()
        self.controller_port = free_port()
        self._plugins = dict(plugins or {})
        self._local_d = _redis_section(redis_url) | dict(local_d or {})
        self._override_d = dict(override_d or {})
        self._rspamd_conf_local = rspamd_conf_local
        self._nameserver = nameserver
        self._stock_plugins = tuple(stock_plugins)
        self._workers = workers

    @property
    def address(self) -> str:
        """`host:port` of the normal worker, which scans."""
        return f"{_HOST}:{self.port}"

    @property
    def controller_address(self) -> str:
        """`host:port` of the controller; loopback needs no password there."""
        return f"{_HOST}:{self.controller_port}"

    @property
    def url(self) -> str:
        """Where the normal worker is: `POST /checkv2`, `GET /ping`."""
        return f"http://{self.address}"

    @property
    def controller_url(self) -> str:
        """Where the controller is: `GET /stat`, `/history`, `/symbols` and so on."""
        return f"http://{self.controller_address}"

    def __enter__(self) -> Self:
        program = find_program("rspamd")
        if not _CONFIG.exists():
            missing(str(_CONFIG))
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-rspamd-")
        self.folder = Path(self._folder.name)
        try:
            self._write()
            argv = [program, "--no-fork", "--config", str(_CONFIG), *self._variables()]
            if os.geteuid() == 0:  # it refuses to let its workers be root
                argv += ["--user", _USER, "--group", _USER]
                _give_away(self.folder)
            self._child = Child("rspamd", argv, self.folder / "rspamd.log")
            self.start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def _variables(self) -> list[str]:
        """The places that rspamd.conf leaves open."""
        folders = {
            "LOCAL_CONFDIR": "etc",
            "PLUGINSDIR": "stock-plugins",
            "DBDIR": "db",
            "RUNDIR": "run",
            "LOGDIR": "log",
        }
        return [f"--var={name}={self.folder / folder}" for name, folder in folders.items()]

    def _write(self) -> None:
        for folder in ("etc/local.d", "etc/override.d", "etc/plugins.d", "stock-plugins", "db", "run", "log", "tmp"):
            self.folder.joinpath(folder).mkdir(parents=True)
        etc = self.folder / "etc"
        for name in self._stock_plugins:
            stock = _STOCK_PLUGINS / f"{name}.lua"
            if not stock.exists():
                missing(str(stock))
            self.folder.joinpath("stock-plugins", stock.name).symlink_to(stock)
        for name, source in self._plugins.items():
            shutil.copyfile(source, etc / "plugins.d" / name)
        own = self._own_override_d()
        if taken := own.keys() & self._override_d.keys():
            raise ValueError(f"override.d files that the lab writes itself: {', '.join(sorted(taken))}; use local.d")
        for name, text in (own | self._override_d).items():
            etc.joinpath("override.d", name).write_text(text)
        # Not in override.d, which would replace the whole of the section, timeouts included.
        options = f"{self._dns_section()}\n{self._local_d.get('options.inc', '')}\n"
        for name, text in (self._local_d | {"options.inc": options}).items():
            etc.joinpath("local.d", name).write_text(text)
        etc.joinpath("rspamd.conf.local").write_text(self._rspamd_conf_local)
        self.folder.joinpath("suffixes.dat").write_text("\n".join(_SUFFIXES) + "\n")

    def _own_override_d(self) -> dict[str, str]:
        """What keeps rspamd in its folders and on loopback, and makes it start in about a second."""
        return {
            "options.inc": "\n".join(
                [
                    # Neither fuzzy_check and dkim, which ask others, nor regexp, whose rules take seconds to compile.
                    'filters = "";',
                    f'tempdir = "{self.folder}/tmp";',
                    f'url_tld = "{self.folder}/suffixes.dat";',
                ]
            ),
            "logging.inc": 'type = "console";',
            "worker-normal.inc": f'bind_socket = "{self.address}"; count = {self._workers};',
            "worker-controller.inc": f'bind_socket = "{self.controller_address}";',
            "worker-proxy.inc": "enabled = false;",
        }

    def _dns_section(self) -> str:
        if self._nameserver is None:
            return f'dns {{ nameserver = "{_HOST}:{free_port()}"; {_NO_DNS} }}'
        return f'dns {{ nameserver = "{self._nameserver}"; {_PATIENT} }}'

    @property
    def log(self) -> str:
        """What all of its processes wrote to their log."""
        return self._child.log

    @property
    def pid(self) -> int:
        """The main process, whose children the workers are."""
        return self._child.pid

    def start(self) -> None:
        """Start it (again) and wait until both workers answer.

        Raises ComponentFailed with its log, which names the error in the configuration; also when a plugin has one.
        """
        self._child.start(lambda: _answers(self.url) and _answers(self.controller_url))
        if broken := _BROKEN_PLUGIN.search(self.log):
            self._child.kill()
            raise ComponentFailed(f"rspamd: {broken[1]}")

    def stop(self) -> None:
        """End it, all of its workers included: with SIGTERM, or SIGKILL for a worker that takes no notice.

        rspamd 3.4 would wait 16 seconds for a worker that lost the signal while it was only starting, and for one
        that waits for an answer from the main process, as after its first scan, which main no longer gives.
        """
        if self._child.running:
            main = psutil.Process(self._child.pid)
            self._child.terminate()
            for once_more in (psutil.Process.terminate, psutil.Process.kill):
                with suppress(StillWaiting):
                    self._child.wait(within=_SOON)
                    break
                with suppress(psutil.NoSuchProcess):
                    for worker in main.children():
                        once_more(worker)
        self._child.stop()

    def restart(self) -> None:
        """Stop and start it on the same ports; what Redis holds stays."""
        self.stop()
        self.start()

    async def scan(
        self,
        message: bytes,
        *,
        sender: str | None = None,
        helo: str | None = None,
        ip: str | None = None,
        user: str | None = None,
        rcpt: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """rspamd's reply to `POST /checkv2`; raises ComponentFailed with the text of any other status than 200.

        `headers` are further headers of the request, such as Hostname, Queue-Id or Settings.
        """
        envelope = {"From": sender, "Helo": helo, "IP": ip, "User": user} | dict(headers or {})
        sent = [(name, value) for name, value in envelope.items() if value is not None]
        sent += [("Rcpt", recipient) for recipient in rcpt]
        async with (
            aiohttp.ClientSession(timeout=_LONGEST_REPLY) as session,
            session.post(f"{self.url}/checkv2", data=message, headers=sent) as response,
        ):
            if response.status != 200:
                raise ComponentFailed(f"rspamd: status {response.status}\n{await response.text()}")
            reply: dict[str, Any] = await response.json(content_type=None)
            return reply

    async def ask_controller(self, path: str) -> Any:
        """The decoded reply of the controller to `GET path`, such as `/history` or `/stat`."""
        async with (
            aiohttp.ClientSession(timeout=_LONGEST_REPLY, raise_for_status=True) as session,
            session.get(self.controller_url + path) as response,
        ):
            return await response.json(content_type=None)

    async def rspamc(self, message: bytes, *options: str) -> str:
        """What rspamc prints for a message that this rspamd scans."""
        return await rspamc(self.address, message, *options)


async def rspamc(address: str, message: bytes, *options: str, within: float = 20.0) -> str:
    """What `rspamc -h host:port OPTIONS` prints with the message on its standard input.

    It can ask whatever speaks rspamd's protocol. Raises ComponentFailed with the output when it fails.
    """
    argv = [find_program("rspamc"), "--connect", address, *options]
    try:
        done = await asyncio.to_thread(
            subprocess.run, argv, input=message, capture_output=True, timeout=within, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ComponentFailed(f"rspamc: no end after {error.timeout:g} s") from None
    out = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise ComponentFailed(f"rspamc: exit {done.returncode}\n{out}{done.stderr.decode(errors='replace')}")
    return out


def _redis_section(url: str | None) -> dict[str, str]:
    """The file of local.d that gives every module this Redis."""
    if url is None:
        return {}
    parts = urlsplit(url)
    settings = {"servers": f"{parts.hostname}:{parts.port}", "db": parts.path.strip("/") or "0"}
    if parts.password:
        settings["password"] = unquote(parts.password)
    # A JSON string is a string of rspamd's configuration language too.
    return {"redis.conf": "".join(f"{key} = {json.dumps(value)};\n" for key, value in settings.items())}


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/ping", timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def _give_away(folder: Path) -> None:
    """Make the folder and all in it the workers' own."""
    shutil.chown(folder, _USER, _USER)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            shutil.chown(path, _USER, _USER)
