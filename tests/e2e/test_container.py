"""The image: what it says, what is in it, and how it runs where as much is taken from it as can be."""

import asyncio
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from types import MappingProxyType

import pytest

from mxcheck_service import __version__
from mxcheck_service.settings import ServerSettings
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.certificates import Pki
from tests.lab.dnsd import DnsServer
from tests.lab.image import BASE, PYTHON, ROOT, Container, Image, Runner
from tests.lab.process import find_program
from tests.lab.smtp import SmtpPeers
from tests.lab.smtp_scripts import Wait

# The first test builds the image.
pytestmark = pytest.mark.timeout(400)

UID = 65532
REQUESTS = 8
GRACE = 30
"""Seconds that a cluster gives a container by default."""
WITH_WHEELS = 100 * 2**20
"""Bytes that the service and what it depends on may take in the image; they take 70 MB."""
MAP = "etc/mxcheck/trusted.map"

NewContainer = Callable[..., Container]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with Image() as image:
        # A person would mount it.
        (image.root / MAP).parent.mkdir()
        (image.root / MAP).write_text("trusted.test\n")
        yield image


@pytest.fixture(params=[Image.run_by_buildah, Image.run_locked_down], ids=["buildah", "locked down"])
def runner(request: pytest.FixtureRequest) -> Runner:
    made: Runner = request.param
    return made


@pytest.fixture
def new_container(image: Image, runner: Runner, dns_server: DnsServer, smtp_peers: SmtpPeers) -> NewContainer:
    """Make a container that asks the lab's DNS and probes the lab's port."""

    def new_container(more: Mapping[str, str] = MappingProxyType({})) -> Container:
        settings = {
            "MXCHECK_DNS__NAMESERVERS": f'["{dns_server.nameserver}"]',
            "MXCHECK_MX_CHECK__TEST_MODE": "true",
            "MXCHECK_MX_CHECK__PORT": str(smtp_peers.port),
            "MXCHECK_MX_CHECK__VERIFY_GREETING": "true",
            "MXCHECK_MX_CHECK__READ_TIMEOUT": "20",
            "MXCHECK_MX_CHECK__EXCLUDE_DOMAINS": f"/{MAP}",
            "MXCHECK_SERVER__DEADLINE": "20",
            "MXCHECK_SERVER__DRAIN_SECONDS": "20",
        }
        return Container(image, runner, {**settings, **more})

    return new_container


def contents(root: Path) -> dict[str, tuple[int, ...]]:
    """Every path below with its mode, that of a file with size and time of change too.

    Not those of folders: in /run buildah makes a file that it mounts something upon, and removes it again.
    """
    return {
        str(path.relative_to(root)): (found.st_mode,)
        if stat.S_ISDIR(found.st_mode)
        else (found.st_mode, found.st_size, found.st_mtime_ns)
        for path in root.rglob("*")
        if (found := path.lstat())
    }


def status(container: Container) -> dict[str, list[str]]:
    """What the kernel tells of the service: users, capabilities, ..."""
    lines = Path(f"/proc/{container.pid}/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


class TestDockerfile:
    def test_it_has_no_known_faults(self) -> None:
        hadolint = find_program("hadolint", str(Path(sys.executable).parent))
        done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_its_version_is_the_one_of_the_source(self) -> None:
        assert re.findall(r"^ARG VERSION=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == [__version__]


class TestConfig:
    def test_it_is_no_root_by_number(self, image: Image) -> None:
        assert image.config["User"] == f"{UID}:{UID}"

    def test_it_runs_the_command_without_a_shell_and_ends_it_with_the_signal_that_drains(self, image: Image) -> None:
        assert image.config["Entrypoint"] == ["mxcheck"]
        assert image.config["Cmd"] == ["serve", "--host", "0.0.0.0"]
        assert image.config["StopSignal"] == "SIGTERM"

    def test_the_port_is_the_default_one(self, image: Image) -> None:
        port = ServerSettings.model_fields["port"].default
        assert list(image.config["ExposedPorts"]) == [f"{port}/tcp"]
        assert f"'MXCHECK_SERVER__PORT', {port}" in image.config["Healthcheck"]["Test"][-1]

    def test_the_health_check_needs_no_shell_and_no_curl(self, image: Image) -> None:
        assert image.config["Healthcheck"]["Test"][:3] == ["CMD", "python3", "-c"]

    def test_labels(self, image: Image) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        prefix = "org.opencontainers.image."
        labels = {key.removeprefix(prefix): value for key, value in image.config["Labels"].items()}
        assert labels.pop("description")
        labels.pop("io.buildah.version")
        assert labels == {
            "title": project["name"],
            "licenses": project["license"],
            "version": __version__,
            "revision": "unknown",
            "base.name": BASE,
        }


class TestContents:
    def test_what_is_installed_is_what_is_locked(self, image: Image) -> None:
        locked = dict(re.findall(r"^([\w.-]+)==([^ ]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
        site = image.root / f"opt/mxcheck/lib/python{PYTHON}/site-packages"
        installed = {
            re.sub(r"[-_.]+", "-", found.name).lower(): found.version for found in distributions(path=[str(site)])
        }
        assert installed == locked | {"mxcheck-service": __version__}

    def test_its_bill_of_materials_is_that_of_the_sources(self, image: Image) -> None:
        assert (image.root / "opt/mxcheck/share/sbom.cdx.json").read_bytes() == (ROOT / "sbom.cdx.json").read_bytes()

    def test_the_files_of_the_console(self, image: Image) -> None:
        package = image.root / f"opt/mxcheck/lib/python{PYTHON}/site-packages/mxcheck_service"
        found, own = (
            {path.relative_to(root): path.read_bytes() for path in (root / "console").rglob("*") if path.is_file()}
            for root in (package, ROOT / "mxcheck_service")
        )
        assert found == own

    def test_nothing_that_installs(self, image: Image) -> None:
        places = ("opt/*/bin", "usr/local/bin", "opt/*/lib/python*/site-packages", "usr/local/lib/python*/*-packages")
        assert [found for place in places for found in image.root.glob(f"{place}/pip*")] == []

    def test_everything_is_compiled(self, image: Image) -> None:
        package = image.root / f"opt/mxcheck/lib/python{PYTHON}/site-packages/mxcheck_service"
        sources = list(package.rglob("*.py"))
        assert sources
        tag = f"cpython-{PYTHON.replace('.', '')}"
        assert [at for at in sources if not (at.parent / "__pycache__" / f"{at.stem}.{tag}.pyc").exists()] == []

    def test_nothing_of_it_can_be_changed_by_the_user_it_runs_as(self, image: Image) -> None:
        for path in (image.root / "opt").rglob("*"):
            found = path.lstat()
            assert (found.st_uid, found.st_gid) == (0, 0), path
            assert stat.S_ISLNK(found.st_mode) or not found.st_mode & stat.S_IWOTH, path

    def test_it_is_small(self, image: Image) -> None:
        assert sum(path.lstat().st_size for path in (image.root / "opt").rglob("*")) < WITH_WHEELS


class TestRun:
    async def test_it_serves_as_nobody_and_writes_nothing(
        self, image: Image, new_container: NewContainer, dns_server: DnsServer, smtp_peers: SmtpPeers
    ) -> None:
        dns_server.set("good.test", "MX", dns.mx((10, "mx.good.test")))
        dns_server.set("mx.good.test", "A", dns.a(smtp_peers.add(scripts.good()).address))
        before = contents(image.root)
        with new_container() as container:
            assert (await container.get("/readyz")).body["status"] == "ready"
            told = status(container)
            assert told["Uid"] == told["Gid"] == [str(UID)] * 4
            assert [told[f"Cap{kind}"] for kind in ("Prm", "Eff", "Amb")] == [["0" * 16]] * 3
            for sender, symbol in (("a@good.test", "MX_GOOD"), ("a@trusted.test", "MX_WHITE")):
                reply = await container.check({"sender": sender})
                assert (reply.status, list(reply.body["symbols"])) == (200, [symbol])
        changed = {path for path, _ in contents(image.root).items() ^ before.items()}
        assert changed == set()

    @pytest.mark.parametrize("runner", [Image.run_locked_down], ids=["locked down"], indirect=True)
    def test_it_is_the_first_process_with_nothing_to_write_to_and_nothing_to_gain(
        self, new_container: NewContainer
    ) -> None:
        with new_container() as container:
            told = status(container)
            assert told["NSpid"][-1] == "1"
            assert told["NoNewPrivs"] == ["1"]
            assert told["CapBnd"] == ["0" * 16]
            assert os.statvfs(f"/proc/{container.pid}/root").f_flag & os.ST_RDONLY

    async def test_health_is_told_by_its_own_command(self, new_container: NewContainer) -> None:
        async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        with new_container() as container:
            assert container.health() == 0
            # Whatever the environment says of proxies, it is the service that is asked.
            assert container.health(http_proxy="http://127.0.0.1:1") == 0
            assert await container.stop() == 0
            assert container.health() != 0
            port = int(container.url.rpartition(":")[2])
            async with await asyncio.start_server(refuse, "127.0.0.1", port):
                assert await asyncio.to_thread(container.health) != 0

    @pytest.mark.parametrize("runner", [Image.run_locked_down], ids=["locked down"], indirect=True)
    async def test_health_is_told_by_a_service_with_tls_and_by_one_at_a_unix_socket(
        self, image: Image, new_container: NewContainer
    ) -> None:
        # Files that everybody may read, as the mounts of a cluster are.
        folder = image.root / "etc" / "mxcheck"
        pki = Pki(folder)
        pki.key.chmod(0o644)
        secure = {f"MXCHECK_SERVER__TLS_{name.upper()}": f"/etc/mxcheck/{name}.pem" for name in ("cert", "key")}
        with new_container(secure) as container:
            assert container.health() == 0
            assert container.health(MXCHECK_SERVER__TLS_CERT="", MXCHECK_SERVER__PORT="1") != 0
        path = Path(f"/dev/shm/mxcheck-{os.getpid()}.sock")  # /dev is the machine's own there
        strict = secure | {"MXCHECK_SERVER__TLS_CLIENT_CA": "/etc/mxcheck/ca.pem"}
        with new_container(strict | {"MXCHECK_SERVER__UNIX_SOCKET": str(path)}) as container:
            assert container.health() == 0
            assert container.health(MXCHECK_SERVER__UNIX_SOCKET="") != 0

    async def test_its_stop_signal_fails_no_request(
        self, new_container: NewContainer, dns_server: DnsServer, smtp_peers: SmtpPeers
    ) -> None:
        greet = asyncio.Event()
        peers = [smtp_peers.add((Wait(greet), *scripts.good())) for _ in range(REQUESTS)]
        for number, peer in enumerate(peers):
            dns_server.set(f"late{number}.test", "MX", dns.mx((10, f"mx.late{number}.test")))
            dns_server.set(f"mx.late{number}.test", "A", dns.a(peer.address))
        with new_container() as container:
            asking = [
                asyncio.create_task(container.check({"sender": f"a@late{number}.test"})) for number in range(REQUESTS)
            ]
            await smtp_peers.wait_connections(REQUESTS, peers)
            container.terminate()
            async with asyncio.timeout(30):
                while (await container.get("/readyz")).status != 503:
                    pass
            assert not any(task.done() for task in asking)
            greet.set()
            replies = await asyncio.gather(*asking)
            assert [(reply.status, list(reply.body["symbols"])) for reply in replies] == [(200, ["MX_GOOD"])] * REQUESTS
            assert await container.ended(within=GRACE) == 0
            assert "Traceback" not in container.log
