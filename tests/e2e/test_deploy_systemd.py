"""deploy/systemd/mxcheck.service: what systemd says of it, and the service under what it forbids."""

import ctypes
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from mxcheck_service.app import LAST_WORDS
from mxcheck_service.settings import Settings
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.manifests import DEPLOY
from tests.lab.process import find_program, missing, run
from tests.lab.redis import RedisServer
from tests.lab.sandbox import allowed_calls, service_settings
from tests.lab.service import COMMAND, Service
from tests.lab.smtp import SmtpPeers

UNIT: Final = DEPLOY / "systemd" / "mxcheck.service"
SETTINGS: Final = dict(service_settings(UNIT))
MOST_EXPOSED: Final = 1.5
"""Of 10. What is left is what the service is for: the network."""


Under = Callable[[Path], list[str]]


@pytest.fixture
def analyze() -> str:
    return find_program("systemd-analyze")


@pytest.fixture
def under(analyze: str) -> Under:
    """The command that runs another one under what a unit forbids."""
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        missing("libseccomp")
    return lambda unit: [COMMAND[0], "-m", "tests.lab.sandbox", str(unit)]


def is_filtered(pid: int) -> bool:
    """Whether a process has a filter of system calls."""
    return re.search(r"^Seccomp:\s+2$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE) is not None


def test_systemd_finds_nothing_wrong(analyze: str, tmp_path: Path) -> None:
    """The program is put where the unit looks for it: below another root."""
    program = tmp_path / SETTINGS["ExecStart"].split()[0].lstrip("/")
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("ExecStart=/", f"ExecStart={tmp_path}/"))
    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    copy.write_text(copy.read_text().replace("NoNewPrivileges", "NoNewPrivilege"))
    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=30, check=False)
    assert "NoNewPrivilege" in done.stderr, "a typing error would not be found"


def test_little_is_exposed(analyze: str) -> None:
    told = run([analyze, "security", "--offline=true", "--no-pager", str(UNIT)], "systemd-analyze")
    level = re.search(r"Overall exposure level for mxcheck.service: ([\d.]+)", told)
    assert level
    assert float(level[1]) <= MOST_EXPOSED


def test_it_has_the_time_to_drain() -> None:
    assert float(SETTINGS["TimeoutStopSec"]) > Settings().server.drain_seconds + LAST_WORDS


def test_secrets_are_named_as_the_settings_are() -> None:
    """In lines that an operator uncomments."""
    offered = re.findall(r"^#Environment=MXCHECK_(\w+)__(\w+)_FILE=%d/([\w-]+)$", UNIT.read_text(), re.MULTILINE)
    credentials = re.findall(r"^#LoadCredential=([\w-]+):", UNIT.read_text(), re.MULTILINE)
    assert [name for _, _, name in offered] == credentials == ["redis-url", "admin-token"]
    for section, key, _ in offered:
        assert key.lower() in type(getattr(Settings(), section.lower())).model_fields


async def test_the_service_lives_under_what_the_unit_forbids(
    under: Under, dns_server: DnsServer, smtp_peers: SmtpPeers, redis_server: RedisServer, tmp_path: Path
) -> None:
    """It starts, takes a map, asks DNS, connects to a mail host, stores, reloads and drains."""
    dns_server.set("good.test", "MX", dns.mx((10, "mx.good.test")))
    dns_server.set("mx.good.test", "A", dns.a(smtp_peers.add(scripts.good()).address))
    partners = tmp_path / "partners.map"
    partners.write_text("partner.test\n")
    sections = {
        "dns": {"nameservers": [dns_server.nameserver]},
        "cache": {"url": redis_server.url},
        "mx_check": {
            "test_mode": True,
            "port": smtp_peers.port,
            "verify_greeting": True,
            "exclude_domains": str(partners),
        },
    }
    with Service(sections, under=under(UNIT)) as service:
        assert is_filtered(service.pid)
        assert set((await service.check({"sender": "x@good.test"})).body["symbols"]) == {"MX_GOOD"}
        assert set((await service.check({"sender": "x@partner.test"})).body["symbols"]) == {"MX_WHITE"}
        assert redis_server.ask("EXISTS", "rmx:d:good.test") == 1
        partners.write_text("partner.test\nother.test\n")
        reloaded = await service.reload()
        assert reloaded.status == 200
        assert set((await service.check({"sender": "x@other.test"})).body["symbols"]) == {"MX_WHITE"}
        assert await service.stop() == 0
        assert not re.search("error|warning", service.log)


async def test_maps_are_compiled_where_priorities_may_not_be_changed(under: Under, tmp_path: Path) -> None:
    unit = tmp_path / "stricter.service"
    unit.write_text(UNIT.read_text().replace("SystemCallFilter=setpriority\n", ""))
    lines = [value for key, value in service_settings(unit) if key == "SystemCallFilter"]
    assert "setpriority" not in allowed_calls(lines)
    partners = tmp_path / "partners.map"
    partners.write_text("partner.test\n")
    with Service({"mx_check": {"exclude_domains": str(partners)}}, under=under(unit)) as service:
        assert set((await service.check({"sender": "x@partner.test"})).body["symbols"]) == {"MX_WHITE"}
        assert "error" not in service.log


def test_the_sandbox_forbids(under: Under) -> None:
    """Or the tests above would show nothing."""
    tries = (
        "os.sched_setaffinity(0, {0})",
        "os.chown('/nowhere', 0, 0)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    )
    program = "import mmap, os, socket, sys\ntry:\n    {}\nexcept OSError as error:\n    print(error.strerror)"
    found = [run([*under(UNIT), COMMAND[0], "-c", program.format(one)], one).strip() for one in tries]
    assert found == [
        "Operation not permitted",
        "Operation not permitted",
        "Address family not supported by protocol",
        "Operation not permitted",
    ]
