"""The files generated from the contracts: renders them into a folder, compares them with the committed ones, installs them."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from deploy.local.errors import LaunchError
from deploy.local.tools.node_tools import install_packages, node
from protos.codegen import error_table, openapi, python_client
from protos.codegen.checks import problems
from protos.codegen.contracts import ContractError, Contracts

PYTHON, TYPESCRIPT = Path("gen/python"), Path("gen/ts")
"""The folders in which every file is generated. Files in them that are no longer generated are removed."""
_PLUGIN = Path(__file__).resolve().parent / "typescript"
_SHOWN_LINES, _SHOWN_CHARACTERS = 20, 200


class BufFailed(Exception):
    """buf could not be run, or rejected the contracts. The message contains its output."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A committed file that differs from the one that the contracts generate."""

    path: Path
    summary: str


def render(root: Path, folder: Path) -> None:
    """Generates every artifact of the repository at `root` into `folder`, under its path in the repository.

    The output is deterministic. Raises BufFailed, or ContractError with every problem that the checks find.
    """
    contracts = read_contracts(root)
    if found := problems(contracts):
        raise ContractError("\n".join(found))
    document = openapi.document(contracts, _version(root))
    _write(folder / "gen" / "openapi.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    _write(folder / "docs" / "errors.md", error_table.markdown(error_table.rows(contracts)))
    python_client.render(contracts, folder)
    descriptors = folder / "gen" / "descriptor.binpb"
    # Envoy needs the types but not the comments. Without source info, the set has a quarter of the size.
    _buf(root, "build", "--as-file-descriptor-set", "--exclude-source-info", "--output", str(descriptors))
    _buf(root, "generate", "--output", str(folder))
    _buf(root, "generate", "--template", "buf.gen.typescript.yaml", "--output", str(folder), plugins=_typescript_plugin())


def read_contracts(root: Path) -> Contracts:
    """The contracts of the repository at `root`, with their comments."""
    return Contracts(FileDescriptorSet.FromString(_buf(root, "build", "--as-file-descriptor-set", "--output", "-")))


def drift(root: Path, rendered: Path) -> list[Drift]:
    """The files of the repository at `root` that differ from the artifacts in `rendered`, sorted by path."""
    fresh = {path.relative_to(rendered) for path in rendered.rglob("*") if path.is_file()}
    differences = ((path, _difference(root / path, rendered / path, path)) for path in sorted(fresh | _committed(root)))
    return [Drift(path, summary) for path, summary in differences if summary]


def install(root: Path, rendered: Path) -> list[Path]:
    """Copies the artifacts in `rendered` into the repository at `root` and returns the paths that changed.

    Files that are up to date are not touched, so that programs which read them at the same time never find them missing.
    """
    changed = [found.path for found in drift(root, rendered)]
    for path in changed:
        if (rendered / path).exists():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(rendered / path, root / path)
        else:
            (root / path).unlink()
    return changed


def _committed(root: Path) -> set[Path]:
    found = (path for folder in (PYTHON, TYPESCRIPT) for path in (root / folder).rglob("*"))
    files = (path for path in found if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root) for path in files}


def _difference(old: Path, new: Path, name: Path) -> str:
    """Describes how a file differs, with the first lines of a unified diff. Empty if it does not."""
    if not new.exists():
        return "is no longer generated"
    if not old.exists():
        return "is missing"
    if old.read_bytes() == new.read_bytes():
        return ""
    try:
        before, after = (path.read_text(encoding="utf-8").splitlines() for path in (old, new))
    except UnicodeDecodeError:
        return f"differs ({old.stat().st_size} bytes committed, {new.stat().st_size} generated)"
    lines = list(unified_diff(before, after, f"committed/{name}", f"generated/{name}", n=1, lineterm=""))
    added = sum(line.startswith("+") for line in lines[2:])
    removed = sum(line.startswith("-") for line in lines[2:])
    more = [f"… {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else []
    return "\n".join([f"differs (+{added} -{removed})", *(line[:_SHOWN_CHARACTERS] for line in islice(lines, _SHOWN_LINES)), *more])


def _typescript_plugin() -> list[Path]:
    """The folders of protoc-gen-es and of the node that runs it; the plugin is installed if necessary. Raises BufFailed."""
    try:
        return [install_packages(_PLUGIN) / ".bin", node().parent]
    except LaunchError as error:
        raise BufFailed(str(error)) from None


def _buf(root: Path, *arguments: str, plugins: Sequence[Path] = ()) -> bytes:
    """Runs buf and its plugins from the current virtual environment, and returns its standard output. Raises BufFailed."""
    search = os.pathsep.join([*map(str, plugins), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(["buf", *arguments], cwd=root, env={**os.environ, "PATH": search}, capture_output=True, check=False)
    except FileNotFoundError:
        raise BufFailed("buf not found; install the development dependencies of requirements-dev.lock") from None
    if done.returncode:
        raise BufFailed(f"buf {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _version(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
