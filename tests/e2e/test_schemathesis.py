"""schemathesis drives the running service by its own OpenAPI document: no 5xx, and every reply is as documented.

It generates what the schemas allow and what they forbid, sends methods and headers nobody has asked for, and takes back
credentials. Its choices are derived from the document, so that every run makes the same ones.
"""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.dnsd import DnsServer
from tests.lab.openapi import closed
from tests.lab.redis import RedisServer
from tests.lab.service import Service

TOKEN = "open-sesame"
EXAMPLES = 8
"""Generated requests for each operation and each of its two modes; the fixed cases of schemathesis come on top."""

# Letters beyond ASCII become A-labels, as in every domain that is checked: more names than the pattern knows are taken.
SETTINGS = """
[[operations]]
include-path-regex = "^/v1/cache/[dm]/"
checks.negative_data_rejection.enabled = false
"""


async def schemathesis(document: Path, url: str, *options: str) -> tuple[int, str]:
    """Run it to its end; returns the exit code and what it printed."""
    config = document.with_name("schemathesis.toml")
    config.write_text(SETTINGS)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(document), "--url", url,
        "--generation-deterministic", "--max-examples", str(EXAMPLES), "--continue-on-failure",
        "--no-color", *options,
        cwd=document.parent,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 100)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, output.decode()


async def document_of(service: Service, folder: Path, *, secured: bool) -> Path:
    """Write the service's document with closed models; `secured`: this service does ask for tokens."""
    document: dict[str, Any] = closed((await service.get("/openapi.json")).body)
    for item in document["paths"].values():
        for operation in item.values():
            if "security" in operation:
                operation["security"].remove({})
                if not secured:
                    del operation["security"]
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    return path


def assert_passed(code: int, output: str, operations: int, generated: int) -> None:
    assert code == 0, output
    assert f"Operations:       {operations} selected / {operations} total" in output
    assert f"Tested: {operations}" in output
    count = re.search(r"(\d+) generated", output)
    assert count, output
    assert int(count[1]) >= generated, output


@pytest.mark.parametrize("cache", ["memory", "redis"])
async def test_every_reply_to_whatever_is_sent_is_as_documented(
    cache: str, dns_server: DnsServer, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With Redis tokens are asked for as well; the lab's DNS knows no name, so nothing is probed."""
    settings: dict[str, Any] = {"dns": {"nameservers": [dns_server.nameserver]}}
    if cache == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        settings |= {"cache": {"url": redis.url}, "server": {"auth_token": TOKEN, "admin_token": TOKEN}}
        options = ["--header", f"Authorization: Bearer {TOKEN}", "--phases", "examples,fuzzing"]
    else:
        options = ["--phases", "examples,coverage,fuzzing"]
    with Service(settings) as service:
        document = await document_of(service, tmp_path, secured=cache == "redis")
        operations = sum(len(item) for item in json.loads(document.read_text())["paths"].values())
        code, output = await schemathesis(document, service.url, *options)
        assert_passed(code, output, operations, 300 if cache == "memory" else 80)
        assert service.running
        assert "crashed" not in service.log
