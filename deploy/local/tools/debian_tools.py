"""Programs from Debian packages: `python -m deploy.local.tools.debian_tools` fetches promtool before the tests run."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.tools.go_tools import INSTALL_SECONDS, TOOLS


class NoPromtool(LaunchError):
    """promtool is not installed, and this machine has no Debian packages to take it from."""


def promtool() -> Path:
    """The program on the PATH, or from Debian's package prometheus, of which only this file is kept.

    The package takes 4 s of CPU; building the Go module takes minutes. Raises NoPromtool if it is missing and this is not root on Debian,
    LaunchError if the download fails.
    """
    program = TOOLS / "promtool" / "usr" / "bin" / "promtool"
    if program.exists():
        return program
    if found := shutil.which("promtool"):
        return Path(found)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise NoPromtool("promtool was not found: install it to test the alert rules (on Debian, as root: apt-get install prometheus)")
    with apt():
        if not program.exists():
            _fetch(program)
    return program


@contextmanager
def apt() -> Iterator[None]:
    """Waits for other processes of this checkout that use apt: apt itself does not wait for its lock on the package lists."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "apt.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _fetch(program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        try:
            _run(["apt-get", "download", "prometheus"], folder)
        except LaunchError:
            _run(["apt-get", "update"], folder)  # a fresh machine has no package lists
            _run(["apt-get", "download", "prometheus"], folder)
        [package] = map(str, Path(folder).glob("*.deb"))
        _run(["sh", "-c", f"dpkg-deb --fsys-tarfile {package} | tar -x ./usr/bin/promtool"], folder)
        program.parent.mkdir(parents=True, exist_ok=True)
        (Path(folder) / "usr" / "bin" / "promtool").rename(program)


def _run(command: Sequence[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode != 0:
        raise LaunchError(f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-500:]}")


if __name__ == "__main__":
    try:
        promtool()
    except LaunchError as problem:
        sys.exit(f"agentmesh: {problem}")
