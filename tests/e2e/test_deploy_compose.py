"""deploy/compose: its services' settings read by the service's own code, its Redis and its resolver really run.

There is no Docker here: the file is read as YAML, and its keys are held to a list made by hand.
"""

import ipaddress
import os
import re
import tempfile
from pathlib import Path
from typing import Final

import dnslib
import pytest
import yaml

from mxcheck_service import __version__
from mxcheck_service.app import LAST_WORDS
from mxcheck_service.settings import Settings
from tests.lab.manifests import DEPLOY, ROOT, settings
from tests.lab.process import Child, find_program, run
from tests.lab.sockets import accepts_connections, free_port

FOLDER: Final = DEPLOY / "compose"
COMPOSE: Final = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: Final = COMPOSE["services"]
UNBOUND: Final = (FOLDER / "unbound.conf").read_text()
KEYS: Final = {
    "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "mem_limit", "networks",
    "ports", "read_only", "restart", "security_opt", "stop_grace_period", "user", "volumes",
}  # fmt: skip
NOBODY: Final = 65532
MIB: Final = 2**20


def unbound_setting(key: str) -> str:
    found = re.search(rf"^ *{key}: *(.*)$", UNBOUND, re.MULTILINE)
    assert found
    return found[1].strip('"')


def mounts(service: str) -> dict[str, Path]:
    """The files of a service, by their paths in the container."""
    found = {}
    for volume in SERVICES[service]["volumes"]:
        source, target, mode = volume.split(":")
        assert mode == "ro"
        found[target] = FOLDER / source
    return found


@pytest.fixture
def used(tmp_path: Path) -> Settings:
    """The settings that the service has there."""
    ours = SERVICES["mxcheck"]
    files = {target: source.read_text() for target, source in mounts("mxcheck").items()}
    return settings(ours["command"], ours["environment"], files, tmp_path)


def test_keys_are_those_of_compose() -> None:
    assert set(COMPOSE) == {"name", "services", "networks"}
    for name, service in SERVICES.items():
        assert set(service) <= KEYS, name


def test_the_service_uses_the_redis_and_the_resolver_beside_it(used: Settings) -> None:
    assert used.cache.url == "redis://redis:6379/0"
    assert {"redis", "unbound"} == set(SERVICES["mxcheck"]["depends_on"]) == set(SERVICES) - {"mxcheck"}
    address, port = SERVICES["unbound"]["networks"]["mxcheck"]["ipv4_address"], unbound_setting("interface")
    assert used.dns.nameservers == (f"{address}:{port.partition('@')[2]}",)
    (network,) = (entry["subnet"] for entry in COMPOSE["networks"]["mxcheck"]["ipam"]["config"])
    assert ipaddress.ip_address(address) in ipaddress.ip_network(network)
    assert unbound_setting("access-control") == f"{network} allow"
    assert all("mxcheck" in service["networks"] for service in SERVICES.values())


def test_nobody_else_reaches_what_asks_for_no_token(used: Settings) -> None:
    assert used.server.auth_token is None
    assert used.server.host == "0.0.0.0"
    assert SERVICES["mxcheck"]["ports"] == [f"127.0.0.1:{used.server.port}:{used.server.port}"]
    assert all("ports" not in service for name, service in SERVICES.items() if name != "mxcheck")


def test_it_has_the_time_to_drain(used: Settings) -> None:
    grace = SERVICES["mxcheck"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > used.server.drain_seconds + LAST_WORDS


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_has_a_privilege(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service


def test_images_are_of_this_version() -> None:
    assert SERVICES["mxcheck"]["image"] == f"mxcheck-service:{__version__}"
    assert SERVICES["unbound"]["image"] == f"mxcheck-unbound:{__version__}"
    for build in (SERVICES["unbound"]["build"], {"context": SERVICES["mxcheck"]["build"], "dockerfile": "Dockerfile"}):
        assert (FOLDER / build["context"] / build["dockerfile"]).is_file()
    assert (FOLDER / SERVICES["mxcheck"]["build"]).resolve() == ROOT


def test_redis_takes_its_command_line_and_is_a_cache(tmp_path: Path) -> None:
    program, *options = SERVICES["redis"]["command"]
    port = free_port()
    here = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path)]
    server = Child(program, [find_program(program), *options, *here], tmp_path / "log")

    def cli(*words: str) -> str:
        return run([find_program("redis-cli"), "-p", str(port), *words], "redis-cli").strip()

    kind, client, *health = SERVICES["redis"]["healthcheck"]["test"]
    assert (kind, client) == ("CMD", "redis-cli")
    try:
        server.start(lambda: accepts_connections("127.0.0.1", port))
        assert cli(*health) == "PONG"
        assert cli("CONFIG", "GET", "maxmemory-policy").splitlines() == ["maxmemory-policy", "allkeys-lru"]
        assert cli("CONFIG", "GET", "save") == "save"
        bound = int(cli("CONFIG", "GET", "maxmemory").splitlines()[1])
        assert bound == 512 * MIB < int(SERVICES["redis"]["mem_limit"].removesuffix("m")) * MIB
    finally:
        server.stop()
    assert set(os.listdir(tmp_path)) == {"log"}, "it wrote to its disk"


def test_unbound_takes_its_configuration() -> None:
    assert "no errors" in run([find_program("unbound-checkconf"), str(FOLDER / "unbound.conf")], "unbound-checkconf")


def test_unbound_runs_as_anybody_and_writes_nothing() -> None:
    """With the file as it is, but for the port; asked about a name that it knows by itself."""
    dockerfile = (FOLDER / "Dockerfile.unbound").read_text()
    assert f"USER {NOBODY}:{NOBODY}" in dockerfile
    (target,) = mounts("unbound")
    argv = yaml.safe_load(re.search(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)[1])  # type: ignore[index]
    assert argv == ["unbound", "-d", "-c", target]
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="mxcheck-unbound-") as name:
        folder = Path(name)
        configuration = folder / "unbound.conf"
        configuration.write_text(
            UNBOUND.replace(f"interface: {unbound_setting('interface')}", f"interface: 127.0.0.1@{port}")
        )
        folder.chmod(0o755)
        become = [
            "setpriv",
            f"--reuid={NOBODY}",
            f"--regid={NOBODY}",
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
        ]
        unbound = Child(
            "unbound",
            [*(become if os.geteuid() == 0 else []), find_program(argv[0]), *argv[1:-1], str(configuration)],
            folder / "log",
        )
        try:
            unbound.start(lambda: accepts_connections("127.0.0.1", port))
            reply = dnslib.DNSRecord.parse(dnslib.DNSRecord.question("localhost").send("127.0.0.1", port, timeout=5))
            assert [str(record.rdata) for record in reply.rr] == ["127.0.0.1"]
            assert set(os.listdir(folder)) == {"unbound.conf", "log"}
            assert not re.search("warning|error", unbound.log)
        finally:
            unbound.stop()
