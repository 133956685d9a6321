"""sbom.cdx.json: what `make sbom` made of the locks, by CycloneDX's own schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from docs.sbom import LOCK, NPM_LOCK, TARGET, locked, shipped
from mxcheck_service import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TARGET.read_text())
    return found


def test_it_is_by_the_schema() -> None:
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(TARGET.read_text())
    assert fault is None


def test_it_has_the_packages_of_the_locks_with_their_hashes_and_no_others(document: dict[str, Any]) -> None:
    told = {
        (one["name"], one["version"]): {each["content"] for each in one["externalReferences"][0]["hashes"]}
        for one in document["components"]
    }
    python = {(one.name, one.version): set(one.hashes) for one in locked(LOCK.read_text())}
    console = {(one.name, one.version): {one.digest} for one in shipped(json.loads(NPM_LOCK.read_text()))}
    assert [name for name, _ in console] == ["uplot"]
    assert told == python | console, "make sbom"
    assert document["metadata"]["component"]["version"] == __version__, "make sbom"


def test_every_package_has_a_licence_and_an_address(document: dict[str, Any]) -> None:
    for one in (document["metadata"]["component"], *document["components"]):
        (licence,) = one["licenses"]
        assert licence.get("expression") or licence["license"].get("id") or licence["license"]["name"], one["name"]
        kind = "npm" if one["bom-ref"].startswith("npm:") else "pypi"
        assert one["purl"] == f"pkg:{kind}/{one['name']}@{one['version']}"


def test_whatever_is_in_it_is_needed_by_the_service(document: dict[str, Any]) -> None:
    needs = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    reached: set[str] = set()
    waiting = [document["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += needs[ref]
    assert reached == set(needs)
    assert len(reached) == len(document["components"]) + 1
