"""The unix socket: who may write to the file gets in, nobody else; it comes, goes and is shared as it should."""

import asyncio
import os
import re
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from mxcheck_service import unix_socket
from tests.e2e.test_processes import until
from tests.hostile.test_access_addresses import said_nothing
from tests.lab.process import find_program, missing
from tests.lab.redis import RedisServer
from tests.lab.service import Service, mxcheck, write_config

NOBODY = 65534
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@pytest.fixture
def path() -> Iterator[Path]:
    """A path in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="mxcheck-unix-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "mxcheck.sock"


def only(path: Path, **server: Any) -> dict[str, Any]:
    """The settings of a service that listens at the path and nowhere else."""
    return {"server": {"port": None, "unix_socket": str(path), **server}}


def curl(path: Path) -> str:
    command = [find_program("curl"), "-sS", "--max-time", "10", "--unix-socket", str(path), "http://localhost/healthz"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_is_served_there_and_nowhere_else(path: Path) -> None:
    with Service(only(path)) as service:
        assert curl(path) == '{"status": "ok"}'
        assert f"listening on unix:{path}, cache memory://" in service.log
        assert service.log.count("listening on") == 1
        assert psutil.Process(service.pid).net_connections("tcp") == []
        assert "anybody who reaches" not in service.log
    assert not path.exists()


@pytest.mark.parametrize(("mode", "may"), [("0660", False), ("666", True)])
def test_the_mode_of_the_file_says_who_gets_in(path: Path, mode: str, may: bool) -> None:
    if os.geteuid():
        missing("root")
    with Service(only(path, unix_socket_mode=mode)):
        assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)
        # Debian's own Python: nobody may read the one that runs the tests.
        stranger = subprocess.run(
            ["/usr/bin/python3", "-c", CONNECT, path],
            user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (stranger.returncode == 0) is may, stranger.stderr
        assert ("PermissionError" in stranger.stderr) is not may
        assert curl(path)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_file_never_has_another_mode(path: Path, monkeypatch: pytest.MonkeyPatch, umask: int) -> None:
    seen = []

    class Watched(socket.socket):
        def bind(self, address: Any) -> None:
            super().bind(address)
            seen.append(stat.S_IMODE(path.stat().st_mode))

    monkeypatch.setattr("mxcheck_service.unix_socket.socket.socket", Watched)
    former = os.umask(umask)
    try:
        with unix_socket.bound(str(path), 0o640):
            seen.append(stat.S_IMODE(path.stat().st_mode))
            assert os.umask(umask) == umask
    finally:
        os.umask(former)
    assert seen == [0o640, 0o640]


async def test_what_a_killed_service_has_left_is_replaced_and_a_living_one_is_not(path: Path, tmp_path: Path) -> None:
    with Service(only(path)) as service:
        service.kill()
        assert stat.S_ISSOCK(os.lstat(path).st_mode)
        service.start()
        assert curl(path)
        config = write_config(tmp_path, only(path))
        finished = await mxcheck("serve", "--config", str(config))
        assert finished.code == 2
        told = f"mxcheck: server.unix_socket: {path}: another service listens there; end it, or name another path\n"
        assert finished.err == told
        assert curl(path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("file", "there is something else than a socket"),
        ("nowhere/s.sock", "No such file or directory"),
        ("x" * 200, "AF_UNIX path too long"),
    ],
    ids=["file", "nowhere", "long"],
)
def test_a_path_that_is_not_to_be_had(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "file").write_text("precious")
    with (
        pytest.raises(OSError, match=rf"^server\.unix_socket: {re.escape(str(tmp_path / name))}: {told}"),
        unix_socket.bound(str(tmp_path / name), 0o600),
    ):
        pass
    assert (tmp_path / "file").read_text() == "precious"


def test_a_file_that_another_has_put_there_is_not_removed(path: Path) -> None:
    with unix_socket.bound(str(path), 0o600):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


def test_a_service_whose_queue_is_full_lives(path: Path) -> None:
    with unix_socket.bound(str(path), 0o600) as taken:
        assert not unix_socket.is_served(str(path))
        taken.listen(0)
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(path))
            assert unix_socket.is_served(str(path))
            with pytest.raises(OSError, match="another service listens there"), unix_socket.bound(str(path), 0o600):
                pass


async def test_beside_tcp_it_is_free_of_what_tcp_asks_for(path: Path) -> None:
    with Service({"server": {"unix_socket": str(path), "allow": ["192.0.2.1"]}}) as service:
        await until(lambda: service.log.count("listening on") == 2, "both places are told")
        assert curl(path)
        with pytest.raises(ConnectionResetError):
            said_nothing(service, "127.0.0.1")


async def test_workers_share_it_and_one_that_dies_takes_nothing_along(path: Path, redis_server: RedisServer) -> None:
    settings = only(path, workers=2)
    settings["cache"] = {"url": redis_server.url}
    with Service(settings) as service:
        made = os.lstat(path).st_ino
        children = {child.pid for child in psutil.Process(service.pid).children()}
        assert len(children) == 2
        # Each of them accepts: the one that is left when the other is stopped.
        for stopped in children:
            os.kill(stopped, signal.SIGSTOP)
            try:
                assert await asyncio.to_thread(curl, path)
            finally:
                os.kill(stopped, signal.SIGCONT)
        os.kill(min(children), signal.SIGKILL)
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path), force_close=True)) as session:
            for _ in range(20):
                async with session.get("http://localhost/readyz", timeout=aiohttp.ClientTimeout(10)) as response:
                    assert response.status == 200
        await until(lambda: len(psutil.Process(service.pid).children()) == 2, "another is there")
        assert os.lstat(path).st_ino == made
        assert await service.stop() == 0
        assert path.name not in os.listdir(path.parent)
        assert "Traceback" not in service.log
