"""`mxcheck config import` with what a real rspamadm prints, and `config check` with what comes out of it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from mxcheck_service import config
from mxcheck_service.config import Loaded
from tests.lab.process import find_program
from tests.lab.service import COMMAND

DUMPS = Path(__file__).parent / "configdump"


def run(*words: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *words], input=given, capture_output=True, timeout=30, check=False)


def imported(given: bytes, folder: Path) -> tuple[Loaded, str]:
    """Import from a pipe; return the settings that came out, which `config check` must accept, and their text."""
    result = run("config", "import", "-", given=given)
    assert result.returncode == 0, result.stderr
    file = folder / "imported.yaml"
    file.write_bytes(result.stdout)
    check = run("config", "check", "--config", str(file))
    assert check.returncode == 0, check.stderr.decode() + result.stdout.decode()
    assert check.stderr == b""
    return config.load(file, {}), result.stdout.decode()


def test_rspamd_3(tmp_path: Path) -> None:
    loaded, text = imported((DUMPS / "rspamd3.txt").read_bytes(), tmp_path)
    settings = loaded.settings
    assert settings.preset == "reference"
    assert settings.cache.url == "redis://127.0.0.1:6380/2"
    assert settings.cache.timeout == 0.5
    mx_check = settings.mx_check
    assert (mx_check.connect_timeout, mx_check.verify_greeting) == (3.0, True), "the old names"
    assert (mx_check.expire, mx_check.expire_novalid, mx_check.max_mx_a_records) == (172_800, 7200, 5)
    assert (mx_check.check_from, mx_check.check_mime_from, mx_check.check_reply_to) == (True, False, False)
    assert (mx_check.greylist_refused, mx_check.greylist_timeout_connect, mx_check.greylist_none) == (False,) * 3
    assert mx_check.exclude_domains == ("trusted.example", "*.trusted.example")
    assert settings.improvements.probe_attempts == 5
    assert "# symbol_no_mx: " in text
    assert "timeout" not in yaml.safe_load(text)["mx_check"], "the deprecated name"


@pytest.fixture
def map_url(tmp_path: Path) -> Iterator[str]:
    """The URL of a map that can be fetched."""
    (tmp_path / "more.inc").write_text("more.example\n")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/more.inc"
        server.shutdown()


def test_rspamd_4(tmp_path: Path, map_url: str) -> None:
    """The maps of the dump are put somewhere else, since nothing is at their places here."""
    trusted, bad = tmp_path / "trusted.inc", tmp_path / "bad.inc"
    trusted.write_text("trusted.example\n")
    bad.write_text("*.parked.example 0.5\n")
    given = (DUMPS / "rspamd4.txt").read_text()
    given = given.replace("/etc/rspamd/local.d/maps.d/trusted.inc", str(trusted))
    given = given.replace("/etc/rspamd/local.d/maps.d/bad_mxs.inc", str(bad))
    given = given.replace("https://maps.example.com/trusted.inc", map_url)
    loaded, text = imported(given.encode(), tmp_path)
    settings = loaded.settings
    assert settings.cache.url == "redis://:p%40ss%2Fw%3Ard%20%25@redis.example.com:6390/3"
    assert settings.cache.timeout == 0.5, "of the section redis"
    tree = yaml.safe_load(text)
    assert tree["mx_check"] == {
        "connect_timeout": 3.0,
        "verify_greeting": True,
        "send_quit": True,
        "expire": 172_800,
        "expire_timeout": 5400,
        "reject_null_mx": True,
        "greylist_refused": False,
        "check_reply_to": False,
        "max_mx_a_records": 5,
        "exclude_domains": [str(trusted), map_url],
        "exclude_ips": ["192.0.2.0/24", "2001:db8::/32"],
        "bad_mxs": str(bad),
        "bad_ips": ["198.51.100.7 2", "203.0.113.0/24"],
    }
    assert "improvements" not in tree
    for remark in (
        "rspamd took 'no' for true",
        "also used backup.example.com:6390",
    ):
        assert remark in " ".join(text.replace("#", "").split())


@pytest.mark.parametrize("version", ["rspamd3", "rspamd4"])
def test_the_dumps_are_what_rspamadm_prints(version: str) -> None:
    """Without a network, since rspamadm connects to the machine's nameserver whatever it is asked to do."""
    rspamadm = find_program("rspamadm")
    if version == "rspamd3" and not Path("/etc/rspamd/modules.d/mx_check.conf").exists():
        pytest.skip("needs rspamd's own modules.d")
    unshare = shutil.which("unshare") or "unshare"
    alone = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True, timeout=10, check=False).returncode:
        pytest.skip("no network of its own may be had here")
    file = DUMPS / version / "rspamd.conf"
    command = [*alone, rspamadm, "configdump", "-c", str(file), "-j", "mx_check", "redis"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert sections(printed.stdout) == sections((DUMPS / f"{version}.txt").read_text()), printed.stderr


def sections(text: str) -> list[object]:
    """The objects that rspamadm printed one after the other; the order of keys changes from run to run."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text.rstrip()):
        section, at = decoder.raw_decode(text, at)
        found.append(section)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def test_a_file_is_read_too_and_remarks_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "dump.json"
    file.write_text('{"enabled": true, "colour": "blue"}')
    result = run("config", "import", str(file))
    assert result.returncode == 0
    assert b'# colour: "blue"' in result.stdout
    assert result.stderr == b"mxcheck: 2 settings have no counterpart; their comments say why\n"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"", "nothing is in it"),
        (b"Section mx_check NOT FOUND\n", "Section mx_check NOT FOUND"),
        (b'{"timeout": 1', "line 1"),
        (b'{"timeout": NaN}', "NaN is no number"),
        (b'{"dkim\\u001b[31m": {}, "rbl": {}}', "no setting of mx_check is in it, but dkim\\u001b[31m, rbl"),
        (b"[1]", "int where a section was expected"),
        (b"[" * 100_000, "no JSON that can be read"),
    ],
)
def test_what_is_no_dump_is_refused(given: bytes, words: str) -> None:
    result = run("config", "import", given=given)
    assert (result.returncode, result.stdout) == (2, b"")
    assert words in result.stderr.decode()
    assert "rspamadm configdump -j mx_check redis" in result.stderr.decode()
    assert b"\x1b" not in result.stderr


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = run("config", "import", str(tmp_path / "none.json"))
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"No such file" in result.stderr
