"""What an image consists of: a bill of materials (CycloneDX 1.6) and the licence texts, in /usr/share/agentmesh."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from deploy.images import packages
from deploy.images.console_packages import console_packages
from deploy.images.debian import locked
from deploy.images.project import IMAGE, VERSION
from deploy.images.tree import write
from deploy.local.errors import LaunchError

FOLDER = "usr/share/agentmesh"
SBOM = f"{FOLDER}/sbom.cdx.json"
LICENCES = f"{FOLDER}/licences"
MISSING = Path(__file__).with_name("licences")
"""The texts of packages that do not contain theirs."""
NAMED = ("licen", "copying", "notice", "copyright", "authors")


@dataclass(frozen=True)
class Component:
    """One package of the image."""

    kind: str
    """`deb`, `pypi` or `npm`."""
    name: str
    version: str
    licence: str
    sources: tuple[Path, ...]
    """The files with its licence texts."""
    purl: str
    sha256: str = ""

    def entry(self) -> dict[str, Any]:
        """The component in the bill of materials."""
        licence = {"licenses": [{"license": {"name": self.licence}}]} if self.licence else {}
        hashes = {"hashes": [{"alg": "SHA-256", "content": self.sha256}]} if self.sha256 else {}
        named = {"type": "library", "bom-ref": self.purl, "name": self.name, "version": self.version, "purl": self.purl}
        return {**named, **licence, **hashes}


def write_contents(root: Path, debian: Path, wheels: Path) -> None:
    """Writes both for an image made of these layers. Raises LaunchError if a package has no licence text."""
    components = [*debian_components(debian), *python_components(wheels), *npm_components()]
    for component in components:
        if not component.sources:
            raise LaunchError(f"{component.name} {component.version} ({component.kind}) contains no licence text: add it to {MISSING}")
        if component.kind != "deb":  # Debian's are in /usr/share/doc
            for source in component.sources:
                target = root / LICENCES / component.kind / f"{component.name}-{component.version}".replace("/", "_") / source.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    write(root / SBOM, json.dumps(bill_of_materials(components), indent=1) + "\n")


def bill_of_materials(components: list[Component]) -> dict[str, Any]:
    """The document; it has no time and no random number, so that two builds have the same."""
    entries = [component.entry() for component in components]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, json.dumps(entries))}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": IMAGE, "name": "agentmesh", "version": VERSION}},
        "components": entries,
    }


def debian_components(root: Path) -> Iterator[Component]:
    """The packages of the lock, whose licence texts are in /usr/share/doc."""
    for package in locked():
        doc = root / "usr/share/doc" / package.name
        texts = (doc / "copyright",) if (doc / "copyright").exists() else ()
        purl = f"pkg:deb/debian/{quote(package.name)}@{quote(package.version)}?arch={package.architecture}&distro=debian-12"
        yield Component("deb", package.name, package.version, "", texts, purl, package.sha256)


def python_components(root: Path) -> Iterator[Component]:
    """The installed wheels."""
    for folder in sorted((root / packages.FOLDER).glob("*.dist-info")):
        metadata = Parser().parsestr((folder / "METADATA").read_text())
        name, version = metadata["Name"], metadata["Version"]
        inside = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name.lower().startswith(NAMED)]
        inside += [path for path in sorted((folder / "licenses").rglob("*")) if path.is_file() and path not in inside]
        texts = tuple(inside) or tuple(sorted(MISSING.glob(f"{name}.txt")))
        yield Component("pypi", name, version, _licence(metadata), texts, f"pkg:pypi/{name.lower().replace('_', '-')}@{version}")


def npm_components() -> Iterator[Component]:
    """The packages of the console, installed beside its sources."""
    for package in console_packages():
        inside = [path for path in sorted(package.folder.glob("*")) if path.is_file() and path.name.lower().startswith(NAMED)]
        texts = tuple(inside) or tuple(sorted(MISSING.glob(f"{package.name.replace('/', '_')}.txt")))
        purl = f"pkg:npm/{quote(package.name)}@{package.version}"
        yield Component("npm", package.name, package.version, package.licence, texts, purl)


def _licence(metadata: Message) -> str:
    """The licence in one line: an SPDX expression where the package has one."""
    classifiers = [one.rpartition(" :: ")[2] for one in metadata.get_all("Classifier", []) if one.startswith("License ::")]
    stated = metadata["License-Expression"] or (metadata["License"] or "").strip().partition("\n")[0]
    return stated if stated and len(stated) < 100 else ", ".join(classifiers)
