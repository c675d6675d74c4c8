"""Go programs for the tests, built from source: `python -m deploy.local.tools.go_tools` builds them before the tests run."""

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.state import HOME

TOOLS = HOME / "tools"
INSTALL_SECONDS = 600


class NoGo(LaunchError):
    """The tool is not installed, and there is no Go to build it."""


@dataclass(frozen=True)
class GoTool:
    """A program in a Go module, at a fixed version."""

    name: str
    package: str
    version: str

    def program(self) -> Path:
        """The path of the program, which is built if necessary. Waits for another process that is building it.

        Without Go it is the program on the PATH. Raises NoGo if there is none either, LaunchError if the build fails.
        """
        program = TOOLS / f"{self.name}-{self.version}" / self.name
        if shutil.which("go") is None and not program.exists():
            return installed(self.name)
        TOOLS.mkdir(parents=True, exist_ok=True)
        with (TOOLS / f"{self.name}.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not program.exists():
                go_install(f"{self.package}@{self.version}", program.parent)
        return program


GRPCURL = GoTool("grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl", "v1.9.3")
OPA = GoTool("opa", "github.com/open-policy-agent/opa", "v1.22.3")


def installed(name: str) -> Path:
    """The program of that name on the PATH. Raises NoGo if there is none."""
    found = shutil.which(name)
    if found is None:
        raise NoGo(f"{name} is not installed and cannot be built without Go; install either")
    return Path(found)


def go_install(package: str, folder: Path) -> None:
    """Builds a Go package into a folder. Raises LaunchError if the build fails."""
    environment = {**os.environ, "GOBIN": str(folder)}
    command = ["go", "install", package]
    built = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if built.returncode != 0:
        raise LaunchError(f"{' '.join(command)} failed: {built.stderr.strip()[-500:]}")


if __name__ == "__main__":
    try:
        for tool in (GRPCURL, OPA):
            tool.program()
    except LaunchError as problem:
        sys.exit(f"agentmesh: {problem}")
