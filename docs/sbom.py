"""Writes sbom.cdx.json, the software bill of materials (CycloneDX) of what requirements.lock installs, and of what the
console ships of others (package-lock.json).

    make sbom

Each package of the locks with its version, hashes, licence and what it needs; the same locks give the same file.
Licences and needs are read from the packages themselves, those of every platform, so they have to be laid out in a
folder: `python -m docs.sbom FOLDER`.
"""

import base64
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence, Set
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final, NamedTuple

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT: Final = Path(__file__).parents[1]
TARGET: Final = ROOT / "sbom.cdx.json"
LOCK: Final = ROOT / "requirements.lock"
NPM_LOCK: Final = ROOT / "package-lock.json"
_NPM_PREFIX: Final = "node_modules/"
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_DECLARED: Final = LicenseAcknowledgement.DECLARED
_CLASSIFIER: Final = "License :: OSI Approved :: "
_EXTRA: Final = re.compile(r'extra == "([^"]*)"')


class Locked(NamedTuple):
    """A package of the lock: one version for the systems that its marker says, known by the hashes of its files."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> NormalizedName:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (pin,) = self.requirement.specifier
        return pin.version


def locked(text: str) -> Iterator[Locked]:
    """Yield the packages of a lock."""
    joined = re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    for line in joined.splitlines():
        yield Locked(Requirement(line.partition(" --")[0]), tuple(_HASH.findall(line)))


class Shipped(NamedTuple):
    """A package of npm whose files stand in the console; `digest`: SHA-512 of its archive, in hexadecimal."""

    name: str
    version: str
    digest: str
    licence: str


def shipped(lock: dict[str, Any]) -> Iterator[Shipped]:
    """Yield the packages of npm's lock that are no tools."""
    for path, package in lock["packages"].items():
        if path and not package.get("dev"):
            digest = base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()
            yield Shipped(path.removeprefix(_NPM_PREFIX), package["version"], digest, package["license"])


def bill(
    project: dict[str, Any],
    version: str,
    packages: Sequence[Locked],
    found: Iterable[Distribution],
    console: Iterable[Shipped],
) -> Bom:
    """Return the bill; raises SystemExit when a package is not in the folder, or is there in another version."""
    metadata = {(canonicalize_name(one.metadata["Name"]), one.version): one for one in found}
    service = Component(
        name=project["name"],
        version=version,
        type=ComponentType.APPLICATION,
        description=project["description"],
        bom_ref=project["name"],
        purl=PackageURL("pypi", name=project["name"], version=version),
        licenses=[LicenseFactory().make_from_string(project["license"], license_acknowledgement=_DECLARED)],
    )
    bom = Bom()
    bom.metadata.component = service
    components: dict[str, Component] = {}
    for package in packages:
        one = metadata.get((package.name, package.version))
        if one is None:
            raise SystemExit(f"{package.name} {package.version} is not in the folder: make sbom")
        components[package.name] = _component(package, one)
    of_console = [_shipped_component(package) for package in console]
    bom.components.update(components.values(), of_console)
    wishes = {canonicalize_name(wish.name): wish.extras for wish in map(Requirement, project["dependencies"])}
    needs: dict[str, set[str]] = {
        package.name: _needs(metadata[package.name, package.version], wishes.get(package.name, set()))
        for package in packages
    }
    needs[project["name"]] = set(wishes)
    for component in (service, *components.values()):
        wanted = [components[name] for name in needs[component.name] if name in components]
        wanted += of_console if component is service else []
        bom.dependencies.add(Dependency(component.bom_ref, [Dependency(one.bom_ref) for one in wanted]))
    bom.dependencies.update(Dependency(one.bom_ref) for one in of_console)
    return bom


def _shipped_component(package: Shipped) -> Component:
    archive = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://www.npmjs.com/package/{package.name}/v/{package.version}"),
        comment="the hash of the archive that the console's copy was taken from",
        hashes=[HashType(alg=HashAlgorithm.SHA_512, content=package.digest)],
    )
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"npm:{package.name}@{package.version}",
        purl=PackageURL("npm", name=package.name, version=package.version),
        licenses=[LicenseFactory().make_from_string(package.licence, license_acknowledgement=_DECLARED)],
        external_references=[archive],
    )


def _component(package: Locked, one: Distribution) -> Component:
    marker = package.requirement.marker
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{package.name}/{package.version}/"),
        comment="the hashes of all files of this version that may be installed",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.hashes],
    )
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{package.name}=={package.version}",
        purl=PackageURL("pypi", name=package.name, version=package.version),
        licenses=[_licence(one)],
        external_references=[files],
        properties=[Property(name="mxcheck:marker", value=str(marker))] if marker else [],
    )


def _licence(one: Distribution) -> License:
    """Return what a package says of its licence, in the newest of the three ways of saying so that it knows."""
    told = one.metadata
    named = next((told[field].strip() for field in ("License-Expression", "License") if field in told), "")
    if not named or "\n" in named:  # some give the whole text
        classifiers = told.get_all("Classifier") or []
        named = " / ".join(text.removeprefix(_CLASSIFIER) for text in classifiers if text.startswith(_CLASSIFIER))
    if not named:
        raise SystemExit(f"{told['Name']} {one.version} does not tell its licence")
    return LicenseFactory().make_from_string(named, license_acknowledgement=_DECLARED)


def _needs(one: Distribution, extras: Set[str]) -> set[str]:
    """Return the names of what a package needs, with these extras, on whatever system."""
    return {
        canonicalize_name(wish.name)
        for wish in map(Requirement, one.requires or ())
        if extras >= set(_EXTRA.findall(str(wish.marker or "")))
    }


def written(bom: Bom) -> str:
    """Return the file: without a time and a number of its own, which would be others each time."""
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def main() -> None:
    (folder,) = sys.argv[1:]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = re.search(r'__version__ = "(.*)"', (ROOT / "mxcheck_service/__init__.py").read_text())
    assert version
    packages, console = list(locked(LOCK.read_text())), shipped(json.loads(NPM_LOCK.read_text()))
    TARGET.write_text(written(bill(project, version[1], packages, distributions(path=[folder]), console)))


if __name__ == "__main__":
    main()
