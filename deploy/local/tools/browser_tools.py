"""Chromium for the tests of the web console: `python -m deploy.local.tools.browser_tools` installs it before the tests run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.tools.debian_tools import apt
from deploy.local.tools.go_tools import INSTALL_SECONDS

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-liberation")


class NoBrowser(LaunchError):
    """Chromium is not installed, and this process cannot install it."""


def chromium() -> Path:
    """The program on the PATH; installed from Debian's packages if necessary and possible.

    Raises NoBrowser if it is missing and this is not root on Debian, LaunchError if its installation fails.
    """
    if found := _installed():
        return found
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise NoBrowser("Chromium was not found: install it to test the web console (on Debian, as root: apt-get install chromium)")
    with apt():
        if found := _installed():
            return found
        for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]):
            _run(command)
    if found := _installed():
        return found
    raise LaunchError(f"none of the programs {', '.join(NAMES)} was found after the installation of the packages {', '.join(PACKAGES)}")


def _installed() -> Path | None:
    return next((Path(found) for name in NAMES if (found := shutil.which(name))), None)


def _run(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode != 0:
        raise LaunchError(f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-500:]}")


if __name__ == "__main__":
    try:
        chromium()
    except LaunchError as problem:
        sys.exit(f"agentmesh: {problem}")
