"""Tools that a machine with Go builds for itself: `python -m deploy.local.go_tools` installs them before the tests ask."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.state import HOME

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl"
GRPCURL_VERSION = "v1.9.3"
TOOLS = HOME / "tools"
INSTALL_SECONDS = 600


class NoGo(LaunchError):
    """This machine cannot build the tool."""


def grpcurl() -> Path:
    """The real grpcurl, built here first if need be; waits for another process that is building it.

    Without Go it is the one on the PATH; NoGo when there is none either, LaunchError when the build fails.
    """
    program = TOOLS / f"grpcurl-{GRPCURL_VERSION}" / "grpcurl"
    if shutil.which("go") is None and not program.exists():
        return installed("grpcurl")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not program.exists():
            go_install(f"{GRPCURL}@{GRPCURL_VERSION}", program.parent)
    return program


def installed(name: str) -> Path:
    """The tool of that name on the PATH."""
    found = shutil.which(name)
    if found is None:
        raise NoGo(f"{name} is not installed, and there is no Go to build it with")
    return Path(found)


def go_install(package: str, folder: Path) -> None:
    """Builds a package of the Go module proxy into a folder."""
    environment = {**os.environ, "GOBIN": str(folder)}
    command = ["go", "install", package]
    built = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if built.returncode != 0:
        raise LaunchError(f"{' '.join(command)} failed: {built.stderr.strip()[-500:]}")


if __name__ == "__main__":
    try:
        grpcurl()
    except LaunchError as problem:
        sys.exit(f"agentmesh: {problem}")
