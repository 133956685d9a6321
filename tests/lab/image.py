"""The image of the Dockerfile: built by buildah on a base of the lab, and run as it says.

    with Image() as image, Container(image, LOCKED_DOWN, {"MXCHECK_DNS__NAMESERVERS": "127.0.0.1:53"}) as container:
        reply = await container.check({"sender": "user@example.test"})

Images and root filesystems are kept in a folder of their own, and nothing is fetched: the base and the wheels are those
of .ci/apt-install. Containers share the machine's network and see its processes.
"""

import hashlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.lab.process import Child, ComponentFailed, find_program, missing
from tests.lab.service import Service
from tests.lab.sockets import free_port
from tests.lab.waiting import StillWaiting

ROOT = Path(__file__).parents[2]
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-build.lock")
BASE = "localhost/mxcheck-base"
PYTHON = "3.11"
"""The version of the base's Python, Debian's."""

_LAB = Path("/opt/mxcheck-lab/image")
_TAG = "localhost/mxcheck-service"
_SLOWEST_BUILD = 200
"""Seconds that one step of buildah may take on a busy machine; on an idle one a build takes 20."""

_PIP = "[global]\nno-index = true\nfind-links = /mnt/wheels\ndisable-pip-version-check = true\n"

# As with `--read-only --cap-drop ALL --security-opt no-new-privileges`: the service is the first process, in a root
# filesystem that cannot be written to. Words: the root filesystem, the user, the group, the environment, the command.
_LOCKED_DOWN = """
root=$1 user=$2 group=$3; shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" /usr/bin/env -i "$@"
"""


class Image:
    """The image as a context manager, with one container made of it; both are gone on exit."""

    def __enter__(self) -> Self:
        self._buildah = find_program("buildah")
        if os.geteuid() != 0:
            missing("root")
        base, wheels = _LAB / "base.tar", _LAB / f"wheels-{_digest(LOCKS)}"
        for path in (base, wheels):
            if not path.exists():
                missing(str(path))
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-image-")
        self.folder = Path(self._folder.name)
        self.environment = os.environ | {"TMPDIR": self._folder.name}
        try:
            self._import(base)
            self._build(wheels)
            self._name = self.buildah("from", _TAG)
            self.root = Path(self.buildah("mount", self._name))
            self.config: dict[str, Any] = json.loads(self.buildah("inspect", "--type", "image", _TAG))["Docker"][
                "config"
            ]
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def _import(self, base: Path) -> None:
        container = self.buildah("from", "scratch")
        self.buildah("add", container, str(base), "/")
        # Python's own images have a pip here, which Debian's Python looks at as well.
        local = f"/usr/local/lib/python{PYTHON}"
        make = f"mkdir -p {local}/site-packages/pip && ln -s site-packages {local}/dist-packages && touch $0 $1"
        files = (f"{local}/site-packages/pip/__init__.py", "/usr/local/bin/pip3")
        self.buildah("run", container, "--", "sh", "-ec", make, *files)
        self.buildah("commit", "--rm", "--format", "docker", container, BASE)

    def _build(self, wheels: Path) -> None:
        """Build as anyone would, but for pip's configuration: without an index, from the wheels of the locks."""
        settings = self.folder / "pip.conf"
        settings.write_text(_PIP)
        mounts = (f"{wheels}:/mnt/wheels:ro", f"{settings}:/etc/pip.conf:ro")
        volumes = [word for mount in mounts for word in ("--volume", mount)]
        # The format of OCI has no HEALTHCHECK.
        self.buildah("build", "--format", "docker", "--build-arg", f"BASE={BASE}", *volumes, "-t", _TAG, str(ROOT))

    def buildah(self, *words: str) -> str:
        """Run a command of buildah and return what it prints; raises ComponentFailed."""
        argv = self.command(*words)
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=_SLOWEST_BUILD, env=self.environment, check=False
            )
        except subprocess.TimeoutExpired:
            raise ComponentFailed(f"{' '.join(argv)}: no end after {_SLOWEST_BUILD} s") from None
        if done.returncode != 0:
            raise ComponentFailed(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def command(self, *words: str) -> list[str]:
        """The command line of buildah, with all its state in the folder."""
        # Isolation by chroot needs no engine, and copies of whole folders no support by the kernel.
        state = ("--root", f"{self.folder}/storage", "--runroot", f"{self.folder}/run", "--storage-driver", "vfs")
        return [self._buildah, *state, *words[:1], *_isolated(words[0]), *words[1:]]

    def run_by_buildah(self, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """The command line that runs `words` in the container, with the user and the environment of the image."""
        variables = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        return self.command("run", *variables, self._name, "--", *words)

    def run_locked_down(self, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """The same with everything taken away that a cluster's policy may take away."""
        user, _, group = self.config["User"].partition(":")
        drop = ("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", f"--reuid={user}", f"--regid={group}")
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"),
            *("sh", "-ec", _LOCKED_DOWN, "sh", str(self.root), user, group),
            *self.config["Env"],
            *(f"{name}={value}" for name, value in environment.items()),
            *("setpriv", "--clear-groups", *drop, *words),
        ]


def _isolated(command: str) -> Sequence[str]:
    return ("--isolation", "chroot") if command in ("build", "run") else ()


def _digest(paths: Sequence[Path]) -> str:
    """As .ci/apt-install names the wheels."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


Runner = Callable[[Image, Sequence[str], Mapping[str, str]], list[str]]
"""What makes a command line that runs words in a container of the image, with variables beside the image's own."""


class Container(Service):
    """What the image's entrypoint runs, ready on entry, ended on exit; its settings come from the environment."""

    def __init__(self, image: Image, runner: Runner, environment: Mapping[str, str]) -> None:
        port = free_port()
        super().__init__({"server": {"port": port}}, name="the container")
        self._image, self._runner, self._port = image, runner, port
        self._environment = {"MXCHECK_SERVER__PORT": str(port), **environment}
        self._is_open = "MXCHECK_SERVER__TLS_CERT" not in environment

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-container-")
        config = self._image.config
        argv = self._runner(self._image, [*config["Entrypoint"], *config["Cmd"]], self._environment)
        self._child = Child(self._name, argv, Path(self._folder.name) / "container.log", env=self._image.environment)
        try:
            self.start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What made the container heeds no signal while its process lives.
        with suppress(ComponentFailed, ProcessLookupError, StillWaiting):
            self.terminate()
            self._child.wait()
        super().__exit__(kind, error, trace)

    @property
    def process(self) -> psutil.Process:
        """The service itself, beneath what made its container: the process that listens."""
        for process in psutil.Process(self._child.pid).children(recursive=True):
            for connection in process.net_connections("tcp"):
                if (connection.status, connection.laddr.port) == (psutil.CONN_LISTEN, self._port):
                    return process
        raise ComponentFailed(f"nobody listens at port {self._port}\n{self.log}")

    @property
    def pid(self) -> int:
        """As this machine counts, not the container."""
        return self.process.pid

    def terminate(self) -> None:
        """Send the image's stop signal to the service and return at once."""
        os.kill(self.pid, signal.Signals[self._image.config["StopSignal"]])

    def health(self, **environment: str) -> int:
        """The exit status of the image's health check, as if in this container; it need not run."""
        kind, *words = self._image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        argv = self._runner(self._image, words, self._environment | environment)
        limit = self._image.config["Healthcheck"]["Timeout"] / 1e9
        done = subprocess.run(argv, capture_output=True, timeout=10 * limit, env=self._image.environment, check=False)
        return done.returncode
