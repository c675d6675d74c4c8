"""The npm packages that are part of the built console: those that its sources import, and what these depend on."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.console.build import SOURCES

IMPORT = re.compile(r"""(?:from|import|@import)\s*\(?["']((?:@[a-z0-9-][\w.-]*/)?[a-z0-9][\w.-]*)[^"']*["']""")


@dataclass(frozen=True)
class ConsolePackage:
    """A package as package-lock.json has it."""

    name: str
    version: str
    licence: str
    folder: Path


def console_packages() -> list[ConsolePackage]:
    """All of them by name, an upper bound: the bundler leaves out what is not used."""
    known: Mapping[str, Any] = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    found: dict[str, ConsolePackage] = {}
    waiting = [f"node_modules/{name}" for name in sorted(_imported()) if f"node_modules/{name}" in known]
    while waiting:
        path = waiting.pop()
        entry = known[path]
        if path not in found:
            name = path.rpartition("node_modules/")[2]
            found[path] = ConsolePackage(name, entry["version"], entry.get("license", ""), SOURCES / path)
            waiting += [inside for wanted in entry.get("dependencies", {}) for inside in _resolved(path, wanted, known)]
    return sorted(found.values(), key=lambda package: (package.name, package.version))


def _imported() -> set[str]:
    sources = [path for path in SOURCES.joinpath("src").rglob("*") if path.suffix in (".ts", ".tsx", ".css") and ".test." not in path.name]
    return {name for path in sources for name in IMPORT.findall(path.read_text())} | {"react-dom"}


def _resolved(path: str, wanted: str, known: Mapping[str, Any]) -> Iterator[str]:
    """Where npm finds a dependency: the nearest folder node_modules above that has it."""
    above = path
    while above:
        if f"{above}/node_modules/{wanted}" in known:
            yield f"{above}/node_modules/{wanted}"
            return
        above = above.rpartition("node_modules/")[0].rstrip("/")
    if f"node_modules/{wanted}" in known:
        yield f"node_modules/{wanted}"
