"""Clients and client generators for the tests: `python -m deploy.local.tools.client_tools` downloads them before the tests run."""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.tools.go_tools import INSTALL_SECONDS, TOOLS

OPENAPI_GENERATOR_VERSION = "7.14.0"
PYTHON_CLIENT_VERSION = "0.29.1"
TYPESCRIPT_PACKAGES = ("openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3", "@types/node@22.19.1")

EVENT_SOURCE_PACKAGES = ("eventsource@3.0.7", "eventsource-parser@3.1.1")


class MissingToolchain(LaunchError):
    """This machine has no toolchain for the language."""


def require(*programs: str) -> None:
    """Raises MissingToolchain if one of the programs is not installed."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        raise MissingToolchain(f"{' and '.join(missing)} not found on the PATH; install it to test the clients generated for its language")


def openapi_generator() -> Path:
    """The jar of openapi-generator, downloaded from Maven Central if necessary. Raises MissingToolchain, or LaunchError if that fails."""
    require("java", "mvn")
    name = f"openapi-generator-cli-{OPENAPI_GENERATOR_VERSION}"
    artifact = f"org.openapitools:openapi-generator-cli:{OPENAPI_GENERATOR_VERSION}"
    copy = ["mvn", "--quiet", "--batch-mode", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy", f"-Dartifact={artifact}"]
    return _fetched(name, lambda folder: [[*copy, f"-DoutputDirectory={folder}"]]) / f"{name}.jar"


def openapi_python_client() -> Path:
    """The folder of openapi-python-client, in a separate virtual environment. Raises LaunchError if it cannot be installed."""
    name = f"openapi-python-client-{PYTHON_CLIENT_VERSION}"

    def commands(folder: Path) -> list[list[str]]:
        python = str(folder / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", f"openapi-python-client=={PYTHON_CLIENT_VERSION}"]
        return [[sys.executable, "-m", "venv", str(folder)], install]

    return _fetched(name, commands, in_place=True) / "bin" / "python"


def openapi_typescript() -> Path:
    """The folder with the node modules of openapi-typescript and of its clients. Raises MissingToolchain, or LaunchError if that fails."""
    require("node", "npm")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", *TYPESCRIPT_PACKAGES]
    return _fetched(TYPESCRIPT_PACKAGES[0].replace("@", "-"), lambda folder: [[*install, "--prefix", str(folder)]])


def event_source() -> Path:
    """The folder with the node modules of a client for Server-Sent Events. Raises MissingToolchain, or LaunchError if that fails."""
    require("node", "npm")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", *EVENT_SOURCE_PACKAGES]
    return _fetched(EVENT_SOURCE_PACKAGES[0].replace("@", "-"), lambda folder: [[*install, "--prefix", str(folder)]])


def _fetched(name: str, commands: Callable[[Path], list[list[str]]], in_place: bool = False) -> Path:
    """The folder of that name, filled by the commands if necessary. Waits for another process that is filling it.

    It is filled under a temporary name and renamed when complete, unless `in_place`, because virtual environments cannot be moved.
    """
    folder, complete = TOOLS / name, TOOLS / f"{name}.complete"
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / f"{name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if folder.exists() and (complete.exists() or not in_place):
            return folder
        draft = folder if in_place else folder.with_name(f"{name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        for command in commands(draft):
            done = subprocess.run(command, cwd=draft, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
            if done.returncode != 0:
                raise LaunchError(f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-500:]}")
        if not in_place:
            draft.rename(folder)
        complete.touch()
    return folder


if __name__ == "__main__":
    try:
        for fetch in (event_source, openapi_generator, openapi_python_client, openapi_typescript):
            fetch()
    except LaunchError as problem:
        sys.exit(f"agentmesh: {problem}")
