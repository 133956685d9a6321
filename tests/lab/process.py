"""Child processes of the lab: find the program, start it, wait until it is ready, stop or kill it.

With MXCHECK_REQUIRE_REAL=1 a missing program fails the test; otherwise it skips the test. Outside of
pytest, as in a benchmark, it always raises.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from tests.lab.waiting import StillWaiting, poll_until

# Debian keeps daemons here, and a test runner's PATH often leaves it out.
_DAEMON_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_LOG_TAIL = 4000


class ComponentMissing(RuntimeError):
    """Something that the lab needs is not there."""


class ComponentFailed(RuntimeError):
    """A component did not start, or ended by itself; the message carries its log."""


def missing(what: str) -> NoReturn:
    """Skip the running test because `what` is missing, or raise ComponentMissing (see the module's text)."""
    reason = f"needs {what}; .ci/apt-install installs the components"
    if os.environ.get("MXCHECK_REQUIRE_REAL") == "1" or "PYTEST_CURRENT_TEST" not in os.environ:
        raise ComponentMissing(reason)
    import pytest  # benchmarks use this module too, and need no pytest

    pytest.skip(reason)


def find_program(name: str, *folders: str) -> str:
    """The path of a program in PATH, the daemons' folders or `folders`; see `missing` for when there is none."""
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), *_DAEMON_FOLDERS, *folders))
    return shutil.which(name, path=search) or missing(name)


def run(argv: Sequence[str], what: str) -> str:
    """Run a short command and return its output; raise ComponentFailed with the output when it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired as error:
        raise ComponentFailed(f"{what}: no end after {error.timeout:g} s") from None
    if done.returncode != 0:
        raise ComponentFailed(f"{what}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Child:
    """One child process with a log file; it may be started again after it ended.

    It gets a process group of its own, and whatever is left of that group ends with it.
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path, *, env: dict[str, str] | None = None) -> None:
        self.name = name
        self._argv = list(argv)
        self._log = log
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id; raises ComponentFailed when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise ComponentFailed(f"{self.name} is not running")
        return self._process.pid

    @property
    def log(self) -> str:
        """What the process wrote to its log file, stdout and stderr."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self, ready: Callable[[], bool], within: float = 40.0) -> None:
        """Start and wait until `ready()`; raise ComponentFailed with the log when it ends or the time is over."""
        if self.running:
            raise ComponentFailed(f"{self.name} runs already")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, start_new_session=True
            )
        try:
            poll_until(lambda: not self.running or ready(), within, f"{self.name} ready")
        except StillWaiting as error:
            self.kill()
            raise self._failure(str(error)) from None
        except BaseException:
            self.kill()
            raise
        if not self.running:
            raise self._failure(f"ended with status {self._process.returncode}")

    def _failure(self, reason: str) -> ComponentFailed:
        return ComponentFailed(f"{self.name}: {reason}\n{' '.join(self._argv)}\n{self.log[-_LOG_TAIL:]}")

    def terminate(self) -> None:
        """Ask it to end (SIGTERM) and return at once."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, within: float = 10.0) -> int:
        """Return its exit status once it has ended; raise StillWaiting after `within` seconds."""
        if self._process is None:
            raise ComponentFailed(f"{self.name} is not running")
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise StillWaiting(f"not within {within:g} s: {self.name} ended\n{self.log[-_LOG_TAIL:]}") from None

    def stop(self, within: float = 10.0) -> None:
        """End it with SIGTERM, or with SIGKILL after `within` seconds; nothing when it does not run."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self.resume()
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(within)
        self.kill()

    def kill(self) -> None:
        """End it and whatever is left of its process group with SIGKILL; nothing when it was never started."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def pause(self) -> None:
        """Stop its execution (SIGSTOP): its sockets stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)
