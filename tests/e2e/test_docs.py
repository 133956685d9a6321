"""Every console example of the documents is run as it stands, and must print what the document shows.

Only times may differ. The port is the test's own, and DNS is the lab's, where nothing under example.invalid exists, as
nowhere else (RFC 6761). `operations.md` is a walk: it begins in an empty folder, without a service, and starts its own.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from docs import generate
from mxcheck_service import config
from mxcheck_service.doctor import cache_judgement, egress_judgement, judgement
from mxcheck_service.settings import Settings
from tests.lab.knot import KnotServer
from tests.lab.process import Child
from tests.lab.sockets import accepts_connections, free_port

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
WALK = ROOT / "docs" / "operations.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIMES = re.compile(
    r'("(?:time_ms|time_real|at_ms|took_ms|age_s|left_s)": |took_ms=)[\d.]+'
    r"|[\d.]+(?= ms\b)|[\d.]+(?= s(?:, | old))|[\d,]+(?= lines/s)"
)


def examples(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (command, what it prints) for each `$` line of the console blocks."""
    for block in _BLOCK.findall(path.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def without_times(text: str) -> str:
    """Return the text with times masked and the blanks that pad table columns folded."""
    lines = (re.sub(r"(?<=\S) {2,}", "  ", line.rstrip()) for line in _TIMES.sub(r"\g<1>0", text).splitlines())
    return "\n".join(re.sub(r"^ +(?=0 ms)", "  ", line) for line in lines)


@pytest.fixture(scope="module")
def environment(knot: KnotServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the commands; `mxcheck` is this source, whichever one is installed."""
    knot.set_zone("invalid", "@ NS ns\n")
    knot.set_zone("example.com", "@ A 192.0.2.80\n")
    programs = tmp_path_factory.mktemp("bin")
    command = programs / "mxcheck"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m mxcheck_service "$@"\n')
    command.chmod(0o755)
    return os.environ | {
        "MXCHECK_DNS__NAMESERVERS": f'["{knot.nameserver}"]',
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module")
def service(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A service in its default settings; yields its port."""
    port = free_port()
    log = tmp_path_factory.mktemp("docs") / "service.log"
    child = Child(
        "mxcheck", [sys.executable, "-m", "mxcheck_service", "serve", "--port", str(port)], log, env=environment
    )
    child.start(lambda: accepts_connections("127.0.0.1", port))
    yield port
    child.stop()


def follow(path: Path, port: int, folder: Path, environment: dict[str, str]) -> None:
    """Run the examples of a document, one after the other, and compare what they print."""
    for command, expected in examples(path):
        run = subprocess.run(
            ["bash", "-c", command.replace("localhost:", "127.0.0.1:").replace("11340", str(port))],
            env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert without_times(run.stdout) == without_times(expected.replace("11340", str(port))), command
        assert run.stderr == "", command


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if path != WALK], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_the_examples_print_what_the_document_shows(path: Path, service: int, environment: dict[str, str]) -> None:
    follow(path, service, ROOT, environment | {"MXCHECK_SERVER__PORT": str(service)})


def test_the_walk_of_an_operator(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    try:
        follow(WALK, port, tmp_path, environment | {"MXCHECK_SERVER__PORT": str(port)})
    finally:
        # The walk ends it by itself; only one that went astray leaves it behind.
        if accepts_connections("127.0.0.1", port):
            with suppress(OSError, ValueError):
                os.kill(int((tmp_path / "mxcheck.pid").read_text()), signal.SIGKILL)


def test_the_documents_have_examples() -> None:
    assert sum(len(list(examples(path))) for path in DOCUMENTS) >= 10


def headings(path: Path) -> set[str]:
    """The anchors of a document, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in lines}


def test_links_between_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", path.read_text()):
            leads_to = (path.parent / target) if target else path
            assert leads_to.exists(), f"{path}: {target}"
            assert not anchor or anchor in headings(leads_to), f"{path}: {target}#{anchor}"


def test_every_page_is_in_the_index_of_the_manual() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    missing = [path.name for path in (ROOT / "docs").glob("*.md") if f"({path.name})" not in index]
    assert missing == ["README.md"]


TROUBLES = ROOT / "docs" / "troubleshooting.md"


def test_what_the_doctor_and_alerts_refer_to_is_in_the_manual() -> None:
    told = {"port-25-is-blocked", "redis-is-lost", "tracking-is-refused", "dns-fails", "requests-are-shed"}
    told |= {"latency-near-the-deadline"}
    for module in (judgement, cache_judgement, egress_judgement):
        assert module.__file__
        told |= set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+){2,})"', Path(module.__file__).read_text()))
    assert "it-does-not-start" in told
    assert told <= headings(TROUBLES)


def test_every_symptom_has_a_cause_a_check_and_a_cure() -> None:
    symptoms = re.split(r"^### ", TROUBLES.read_text(), flags=re.MULTILINE)[1:]
    assert len(symptoms) >= 15
    for symptom in symptoms:
        words = re.findall(r"^\*\*(\w+)\.\*\*", symptom, flags=re.MULTILINE)
        assert words == ["Symptom", "Cause", "Check", "Cure"], symptom.splitlines()[0]


def test_the_reference_of_the_settings_is_what_the_source_says() -> None:
    text = generate.TARGET.read_text()
    assert generate.rewritten(text) == text, "run `python -m docs.generate`"
    for section, fields in json.loads(TypeAdapter(Settings).dump_json(Settings())).items():
        assert f"\n## {section}\n" in text
        assert all(f"| `{name}` | " in text for name in (fields if isinstance(fields, dict) else ()))


def test_the_example_settings_are_the_defaults_and_complete() -> None:
    path = ROOT / "config.example.yaml"
    assert config.load(path, {}).settings == Settings()
    shown = set(re.findall(r"^ +(?:# )?([a-z0-9_]+): ", path.read_text(), flags=re.MULTILINE))
    everything = set()
    for line in config.dump(Settings()).splitlines():
        if match := re.match(r"  ([a-z0-9_]+):", line):
            everything.add(match[1])
    assert everything <= shown
