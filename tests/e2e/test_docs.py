"""Every console example of the documents is run as it stands, and must print what the document shows.

Only times may differ. The port is the test's own, and DNS is the lab's, where nothing under example.invalid exists, as
nowhere else (RFC 6761).
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mxcheck_service import config
from mxcheck_service.settings import Settings
from tests.lab.knot import KnotServer
from tests.lab.process import Child
from tests.lab.sockets import accepts_connections, free_port

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIMES = re.compile(
    r'(?<="time_ms": )[\d.]+|(?<="time_real": )[\d.]+|(?<="at_ms": )[\d.]+|[\d.]+(?= ms\b)'
    r"|[\d.]+(?= s, )|[\d,]+(?= lines/s)"
)


def examples(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (command, what it prints) for each `$` line of the console blocks."""
    for block in _BLOCK.findall(path.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def without_times(text: str) -> str:
    """Return the text with times masked and the blanks that pad table columns folded."""
    lines = (re.sub(r"(?<=\S) {2,}", "  ", line.rstrip()) for line in _TIMES.sub("0", text).splitlines())
    return "\n".join(re.sub(r"^ +(?=0 ms)", "  ", line) for line in lines)


@pytest.fixture(scope="module")
def service(knot: KnotServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A service in its default settings; yields the environment of the commands."""
    knot.set_zone("invalid", "@ NS ns\n")
    port = free_port()
    environment = os.environ | {
        "MXCHECK_DNS__NAMESERVERS": f'["{knot.nameserver}"]',
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PORT": str(port),
    }
    log = tmp_path_factory.mktemp("docs") / "service.log"
    child = Child(
        "mxcheck", [sys.executable, "-m", "mxcheck_service", "serve", "--port", str(port)], log, env=environment
    )
    child.start(lambda: accepts_connections("127.0.0.1", port))
    yield environment
    child.stop()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_examples_print_what_the_document_shows(path: Path, service: dict[str, str]) -> None:
    for command, expected in examples(path):
        run = subprocess.run(
            ["bash", "-c", command.replace("localhost:11340", f"127.0.0.1:{service['PORT']}")],
            env=service, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert without_times(run.stdout) == without_times(expected), command
        assert run.stderr == "", command


def test_the_documents_have_examples() -> None:
    assert sum(len(list(examples(path))) for path in DOCUMENTS) >= 10


def test_links_between_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path}: {target}"


def test_the_example_settings_are_the_defaults_and_complete() -> None:
    path = ROOT / "config.example.yaml"
    assert config.load(path, {}).settings == Settings()
    shown = set(re.findall(r"^ +(?:# )?([a-z0-9_]+): ", path.read_text(), flags=re.MULTILINE))
    everything = set()
    for line in config.dump(Settings()).splitlines():
        if match := re.match(r"  ([a-z0-9_]+):", line):
            everything.add(match[1])
    assert everything <= shown
