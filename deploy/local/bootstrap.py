"""Sets up what the other commands need; requires only Python 3.11: `python3.11 -m deploy.local.bootstrap runtime|everything|uv`.

A virtual environment, uv in it (from a lock), then the packages of a lock, then the project itself. Every package is
checked against the hashes in its lock. A step that is done leaves a stamp and is not repeated until one of its sources changes.
"""

import argparse
import fcntl
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from deploy.local.errors import LaunchError

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = REPOSITORY / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
UV = ENVIRONMENT / "bin" / "uv"
UV_LOCK = REPOSITORY / "deploy" / "local" / "bootstrap.lock"
PROJECT = REPOSITORY / "pyproject.toml"
LOCKS = {"runtime": REPOSITORY / "requirements.lock", "everything": REPOSITORY / "requirements-dev.lock"}
# pip's settings for its package index, and the names that uv has for them.
PIP_SAYS = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "cert": "SSL_CERT_FILE", "proxy": "ALL_PROXY"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Sets up one of the sets; returns the exit code. An error is printed in one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.bootstrap", description="Set up the virtual environment.")
    parser.add_argument("what", choices=["uv", *LOCKS])
    try:
        set_up(parser.parse_args(arguments).what)
    except LaunchError as error:
        print(f"agentmesh: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def set_up(what: str) -> None:
    """Does what is not done yet. Raises LaunchError, which says what is missing and how to get it."""
    if sys.platform != "linux":
        raise LaunchError(f"the local stack needs Linux, and this is {sys.platform}: use a container, a virtual machine or WSL")
    if sys.version_info[:2] != (3, 11):
        raise LaunchError(f"Python 3.11 is required, and this is {sys.version.split()[0]}: run `make PYTHON=/path/to/python3.11`")
    with PROJECT.open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # `make up` and `make test` may start at the same time
        make_environment()
        once("uv", [UV_LOCK], install_uv)
        if what in LOCKS:
            once(what, [LOCKS[what], PROJECT], partial(install, LOCKS[what]))


def make_environment() -> None:
    """Creates the virtual environment, or creates it again if the existing one does not work."""
    check = "import sys; sys.exit(sys.version_info[:2] != (3, 11))"
    if PYTHON.exists() and subprocess.run([PYTHON, "-c", check], capture_output=True, check=False).returncode == 0:
        return
    tell("creating the virtual environment .venv")
    for module in ("venv", "ensurepip"):
        if subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False).returncode != 0:
            raise LaunchError(f"this Python has no module {module}: install it (on Debian and Ubuntu: apt install python3.11-venv)")
    run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], "cannot create the virtual environment")


def install_uv() -> None:
    """Installs uv with pip."""
    tell("installing uv")
    run([str(PYTHON), "-m", "ensurepip"], "cannot install pip")
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "--requirement", str(UV_LOCK)], "cannot install uv")


def install(lock: Path) -> None:
    """Installs the packages of a lock, then the project itself, editable. Other packages that are installed stay."""
    count = sum("==" in line for line in lock.read_text().splitlines())
    tell(f"installing {count} packages of {lock.name}; the first time takes a minute or two")
    into = [str(UV), "pip", "install", "--quiet", "--python", str(PYTHON)]
    environment = {**os.environ, **uv_settings()}
    # Compile now: where bytecode cannot be written later, every start of a process would compile for seconds.
    run([*into, "--compile-bytecode", "--require-hashes", "--requirement", str(lock)], "cannot install the packages", environment)
    run([*into, "--offline", "--no-deps", "--no-build-isolation", "--editable", str(REPOSITORY)], "cannot install the project", environment)


def uv_settings() -> dict[str, str]:
    """Settings that make uv use pip's package index, unless its own are set in the environment."""
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    said = dict(re.findall(r"^[^=\n]*\.([a-z-]+)='(.*)'$", listed, flags=re.MULTILINE))
    settings = {uv: said[pip].replace("\\n", " ").strip() for pip, uv in PIP_SAYS.items() if pip in said and uv not in os.environ}
    if not os.access(Path.home(), os.W_OK):
        settings["UV_NO_CACHE"] = "1"
    return settings


def once(name: str, sources: Sequence[Path], action: Callable[[], None]) -> None:
    """Runs an action unless it has been run here with the same sources."""
    digest = hashlib.sha256(os.fsencode(REPOSITORY))  # an editable installation contains its path
    for source in sources:
        digest.update(source.read_bytes())
    stamp = ENVIRONMENT / f"agentmesh-{name}.stamp"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    action()
    stamp.write_text(digest.hexdigest())


def run(command: Sequence[str], complaint: str, environment: Mapping[str, str] | None = None) -> None:
    """Runs a command in the root of the repository. Raises LaunchError with the complaint and the end of its output if it fails."""
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise LaunchError(f"{complaint}: {ended.stderr.strip()[-1500:]}")


def tell(text: str) -> None:
    print(f"[ set-up ] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
