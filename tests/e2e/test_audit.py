"""`make audit`, against stand-ins for OSV and npm's registry: every locked version is asked about, and it can fail.

What they know of real packages is nobody's to say here: tests ask nobody outside of their machine.
"""

import asyncio
import gzip
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from packaging.markers import Marker

from tests.lab.process import find_program, missing

ROOT: Final = Path(__file__).parents[2]
PIN: Final = re.compile(r"^([a-z0-9.-]+)==(\S+)(?: ; ([^\\]+))?", re.MULTILINE)


class Advisories:
    """What is known against packages, by name, and who was asked about."""

    def __init__(self) -> None:
        self.url = ""
        self.pypi: dict[str, list[dict[str, Any]]] = {}
        self.npm: dict[str, list[dict[str, Any]]] = {}
        self.status = 200
        self.asked: set[tuple[str, str]] = set()

    async def osv(self, request: web.Request) -> web.Response:
        """https://google.github.io/osv.dev/post-v1-query/"""
        query = json.loads(await request.read())
        name = query["package"]["name"]
        self.asked.add((name, query["version"]))
        found = self.pypi.get(name)
        return web.json_response({"vulns": found} if found else {}, status=self.status)

    async def bulk(self, request: web.Request) -> web.Response:
        body = await request.read()
        asked = json.loads(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
        self.asked |= {(name, version) for name, versions in asked.items() for version in versions}
        return web.json_response(self.npm)


@pytest_asyncio.fixture
async def advisories() -> AsyncIterator[Advisories]:
    advisories = Advisories()
    app = web.Application()
    app.router.add_post("/v1/query", advisories.osv)
    app.router.add_post("/-/npm/v1/security/advisories/bulk", advisories.bulk)
    async with TestServer(app) as server:
        advisories.url = str(server.make_url("/")).rstrip("/")
        yield advisories


def pins(lock: str) -> dict[tuple[str, str], str]:
    """Return the names and versions of a lock, and where each is needed: a marker, or "" for everywhere."""
    return {(name, version): marker for name, version, marker in PIN.findall((ROOT / lock).read_text())}


def applies(marker: str) -> bool:
    return not marker or Marker(marker).evaluate()


async def audit(advisories: Advisories, home: Path) -> tuple[int, str]:
    """Run it; returns its exit status and what it printed."""
    environment = Path(sys.prefix)
    if not (environment / "bin" / "pip-audit").exists():
        missing("pip-audit in the virtual environment of the tests")
    process = await asyncio.create_subprocess_exec(
        find_program("make"),
        f"--old-file={environment}/.installed-dev",
        "audit",
        f"VENV={environment}",
        f"ADVISORIES=--vulnerability-service osv --osv-url {advisories.url}/v1/query",
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "npm_config_registry": advisories.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), 100)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, printed.decode()


async def test_every_locked_version_is_asked_about(advisories: Advisories, tmp_path: Path) -> None:
    find_program("npm")
    status, printed = await audit(advisories, tmp_path)
    assert status == 0, printed
    service, build, tools = (pins(f"requirements{kind}.lock") for kind in ("", "-build", "-dev"))
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    scripts = {(path.rpartition("node_modules/")[2], found["version"]) for path, found in packages.items() if path}
    for locked in (service, build, {pin: marker for pin, marker in tools.items() if applies(marker)}, scripts):
        assert locked
        assert set(locked) <= advisories.asked


async def test_known_weakness_of_a_python_package_is_a_failure(advisories: Advisories, tmp_path: Path) -> None:
    advisories.pypi["aiohttp"] = [{"id": "PYSEC-2026-1", "summary": "of no substance", "affected": []}]
    status, printed = await audit(advisories, tmp_path)
    assert status != 0
    assert re.search(r"aiohttp .*PYSEC-2026-1", printed), printed


async def test_known_weakness_of_a_script_is_a_failure(advisories: Advisories, tmp_path: Path) -> None:
    find_program("npm")
    weakness = {"id": 1, "url": "https://example/1", "title": "of no substance", "severity": "low"}
    advisories.npm["uplot"] = [{**weakness, "vulnerable_versions": "*", "cwe": [], "cvss": {"score": 0}}]
    status, printed = await audit(advisories, tmp_path)
    assert status != 0
    assert "https://example/1" in printed


async def test_service_that_tells_nothing_is_a_failure(advisories: Advisories, tmp_path: Path) -> None:
    advisories.status = 503
    status, printed = await audit(advisories, tmp_path)
    assert status != 0, printed
