"""What `make lock` wrote: everything that pyproject.toml asks for, at one version each, known by its hashes."""

import itertools
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WANTED = {
    "requirements.lock": PROJECT["project"]["dependencies"],
    "requirements-build.lock": PROJECT["build-system"]["requires"],
    "requirements-dev.lock": [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]],
}
PYTHONS = ("3.11.0", "3.12.0", "3.13.0", "3.14.0")
MACHINES = ("x86_64", "aarch64")
_SHA256 = re.compile(r"--hash=sha256:[0-9a-f]{64}")


class Entry(NamedTuple):
    """One version of one package, and how its files are known."""

    requirement: Requirement
    hashes: list[str]

    @property
    def version(self) -> str:
        (pin,) = self.requirement.specifier
        assert pin.operator == "==", self.requirement
        return pin.version


def entries(lock: str) -> list[Entry]:
    """Every line that is no comment; one that is no requirement is an error."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE).replace("\\\n", "")
    lines = (line.partition(" --") for line in text.splitlines())
    return [Entry(Requirement(pin), (option + rest).split()) for pin, option, rest in lines]


def applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


@pytest.fixture(params=list(itertools.product(PYTHONS, MACHINES)), ids="-".join)
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """What markers are read by, on one of the systems that the service runs on."""
    python, machine = request.param
    return {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
    }


@pytest.mark.parametrize("lock", WANTED)
class TestLock:
    def test_it_has_what_the_project_asks_for(self, lock: str, environment: dict[str, str]) -> None:
        locked = [
            (canonicalize_name(entry.requirement.name), entry.version)
            for entry in entries(lock)
            if applies(entry.requirement, environment)
        ]
        versions = dict(locked)
        assert len(versions) == len(locked), "a package is there twice"
        wanted = [wish for wish in map(Requirement, WANTED[lock]) if applies(wish, environment)]
        assert wanted
        for wish in wanted:
            version = versions.get(canonicalize_name(wish.name))
            assert version is not None, f"{wish} is not in {lock}: make lock"
            assert wish.specifier.contains(version), f"{lock} has {wish.name} {version}, not {wish}: make lock"

    def test_every_entry_has_its_hashes(self, lock: str) -> None:
        found = entries(lock)
        assert found
        for entry in found:
            assert entry.hashes, entry
            assert all(map(_SHA256.fullmatch, entry.hashes)), entry

    def test_it_tells_how_it_was_made_and_nothing_of_where(self, lock: str) -> None:
        text = (ROOT / lock).read_text()
        assert "\n#    make lock\n" in text
        # No address, no path: what is installed is known by its hash, wherever it comes from.
        assert "/" not in text


def test_what_is_tested_is_what_is_shipped() -> None:
    """And built by the same: `make` installs the development lock alone, the image the two others."""
    tested = {str(entry.requirement): entry.hashes for entry in entries("requirements-dev.lock")}
    for lock in ("requirements.lock", "requirements-build.lock"):
        for entry in entries(lock):
            assert tested.get(str(entry.requirement)) == entry.hashes, f"{entry.requirement} of {lock}: make lock"
