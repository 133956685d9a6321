"""The service as its operator runs it: `mxcheck serve` as a child process, and single commands.

    with Service({"dns": {"nameservers": [dns.nameserver]}, "mx_check": {"test_mode": True}}) as service:
        reply = await service.check({"sender": "user@example.test"})
        assert reply.body["action"] == "no action"

The environment is inherited, so that coverage is measured in the children too; they end with SIGTERM, which lets it
write its data.
"""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
import yaml

from tests.lab.exposition import Exposition
from tests.lab.process import Child
from tests.lab.sockets import free_port

_HOST = "127.0.0.1"
_LONGEST_REPLY = aiohttp.ClientTimeout(total=30)
_LISTENING = "listening on "
UNLIMITED = {"probes_per_address": 0, "probes_per_network": 0, "probes_per_suffix": 0, "probes_globally": 0}
"""The section `improvements` of a service that probes one network, 127.0.0.0/24, more than a stranger's may be."""
COMMAND = (sys.executable, "-m", "mxcheck_service")
"""How the command `mxcheck` is started, whether or not the package is installed."""


class Reply(NamedTuple):
    """An HTTP reply; its body is decoded JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Service:
    """`mxcheck serve` as a context manager, ready on entry, ended with SIGTERM on exit.

    `settings` is what the configuration file says; host and port are added unless they are there. `under`: a command
    that runs the one given to it. What is asked is asked over TCP and without TLS.
    """

    def __init__(self, settings: Mapping[str, Any], *, name: str = "mxcheck", under: Sequence[str] = ()) -> None:
        server: dict[str, Any] = {"host": _HOST, "port": free_port()} | dict(settings.get("server", {}))
        self._settings = dict(settings) | {"server": server}
        self._name = name
        self._command = (*under, *COMMAND)
        host = f"[{server['host']}]" if ":" in server["host"] else server["host"]
        self.url = f"{'https' if 'tls_cert' in server else 'http'}://{host}:{server['port']}"
        self._is_open = self.url.startswith("http://") and server["port"] is not None and not server.get("allow")

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-service-")
        folder = Path(self._folder.name)
        try:
            config = write_config(folder, self._settings)
            self._child = Child(self._name, [*self._command, "serve", "--config", str(config)], folder / "service.log")
            self.start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it (again) and wait until it is ready; raises ComponentFailed with its log."""
        self._told = self._child.log.count(_LISTENING)
        self._child.start(self._is_ready if self._is_open else lambda: self._child.log.count(_LISTENING) > self._told)

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except (URLError, OSError):
            return False

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._child.running

    @property
    def pid(self) -> int:
        """The process that was started; with several workers the parent of them. Raises ComponentFailed."""
        return self._child.pid

    @property
    def log(self) -> str:
        """What it wrote to stdout and stderr."""
        return self._child.log

    async def check(self, body: Mapping[str, Any]) -> Reply:
        """`POST /v1/check` over a connection of its own; raises aiohttp.ClientError when there is none."""
        return await self._request("POST", "/v1/check", json=body)

    async def get(self, path: str) -> Reply:
        """`GET path`; raises aiohttp.ClientError when there is no connection."""
        return await self._request("GET", path)

    async def reload(self) -> Reply:
        """`POST /-/reload`; raises aiohttp.ClientError when there is no connection."""
        return await self._request("POST", "/-/reload")

    async def metrics(self) -> Exposition:
        """`GET /metrics`, by whichever worker answers."""
        async with (
            aiohttp.ClientSession(timeout=_LONGEST_REPLY, raise_for_status=True) as session,
            session.get(f"{self.url}/metrics") as response,
        ):
            return Exposition(await response.text())

    async def _request(self, method: str, path: str, **options: Any) -> Reply:
        async with (
            aiohttp.ClientSession(timeout=_LONGEST_REPLY) as session,
            session.request(method, self.url + path, **options) as response,
        ):
            return Reply(response.status, response.headers.copy(), await response.json(content_type=None))

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        self._child.terminate()

    async def ended(self, within: float = 10.0) -> int:
        """Return the exit code once it has ended by itself; raises StillWaiting. The event loop goes on meanwhile."""
        return await asyncio.to_thread(self._child.wait, within)

    async def stop(self, within: float = 10.0) -> int:
        """Send SIGTERM and return the exit code."""
        self.terminate()
        return await self.ended(within)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._child.kill()


class Finished(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


async def mxcheck(*words: str, within: float = 60.0) -> Finished:
    """Run a command such as `mxcheck("symbols")` to its end, its output going to pipes."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), within)
    except BaseException:
        process.send_signal(signal.SIGKILL)
        await process.wait()
        raise
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


def write_config(folder: Path, settings: Mapping[str, Any] | Sequence[str]) -> Path:
    """Write a configuration file, from a settings tree or its very lines, and return its path."""
    path = folder / "config.yaml"
    if isinstance(settings, Mapping):
        path.write_text(yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))
    else:
        path.write_text("\n".join(settings) + "\n")
    return path
