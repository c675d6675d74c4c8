"""The layer of this repository: the programs with their migrations, the definitions, the policy, the contracts and the built console."""

from pathlib import Path

from deploy.images.commands import write_commands
from deploy.images.project import VERSION
from deploy.images.tree import compile_bytecode, copy, write
from deploy.local.bootstrap import REPOSITORY
from deploy.local.console.build import built
from deploy.local.console.publish import publish

APP = "opt/agentmesh/app"
FOLDERS = ("mesh", "catalogue", "orchestrator", "agent_server", "gateway", "definitions", "deploy/policy", "gen")
LEFT_OUT = ("gateway/console", "gateway/clients", "gen/ts")
SUFFIXES = (".py", ".yaml", ".json", ".lua", ".j2", ".tsv", ".txt", ".mako", ".rego", ".binpb", ".wasm")
PATHS = ("/opt/agentmesh/app", "/opt/agentmesh/app/gen/python", "/opt/agentmesh/packages")
"""Where Python finds its modules, in this order."""
SITE = "usr/local/lib/python3.11/dist-packages"


def build_application(root: Path, python: Path, repository: Path = REPOSITORY) -> None:
    """Makes the layer. The console is built unless the same sources have been built before."""
    for folder in FOLDERS:
        copy(repository / folder, root / APP / folder, lambda path, folder=folder: _belongs(Path(folder) / path))  # type: ignore[misc]
    publish(built({}), root / APP / "console")
    write(root / SITE / "agentmesh.pth", "".join(f"{path}\n" for path in PATHS))
    metadata = f"Metadata-Version: 2.4\nName: agentmesh\nVersion: {VERSION}\n"
    write(root / APP / f"agentmesh-{VERSION}.dist-info/METADATA", metadata)
    compile_bytecode(python, root, APP)
    write_commands(root)


def _belongs(path: Path) -> bool:
    """Whether a file of the repository belongs into the image; `path` is its path in the repository."""
    inside = str(path)
    is_test = path.stem.startswith("test_") or path.stem.endswith("_test")
    hidden = any(part.startswith(".") or part == "node_modules" for part in path.parts)
    return path.suffix in SUFFIXES and not is_test and not hidden and not inside.startswith(tuple(f"{one}/" for one in LEFT_OUT))
