"""Sets up what the other commands need, with nothing but a bare Python 3.11: `python3.11 -m deploy.local.bootstrap runtime|everything|uv`.

A virtual environment, uv in it (from a lock), then the packages of a lock, then the project itself. Every package is
checked against the hashes in its lock. What has been done is stamped and not done again until one of its sources changes.
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
# What pip has been told about the way to its packages, in uv's words.
PIP_SAYS = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "cert": "SSL_CERT_FILE", "proxy": "ALL_PROXY"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Sets up one of the sets; returns its exit code. What cannot be done is told in one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.bootstrap", description="Set up the virtual environment.")
    parser.add_argument("what", choices=["uv", *LOCKS])
    try:
        set_up(parser.parse_args(arguments).what)
    except LaunchError as error:
        print(f"agentmesh: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def set_up(what: str) -> None:
    """Does what has not been done yet. LaunchError says what is missing and how to mend it."""
    if sys.platform != "linux":
        raise LaunchError("the local stack runs on Linux: on this machine use a container, a virtual machine or WSL")
    if sys.version_info[:2] != (3, 11):
        raise LaunchError(f"Python 3.11 is needed, and this is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11")
    with PROJECT.open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # `make up` and `make test` may start at the same time
        make_environment()
        once("uv", [UV_LOCK], install_uv)
        if what in LOCKS:
            once(what, [LOCKS[what], PROJECT], partial(install, LOCKS[what]))


def make_environment() -> None:
    """Makes the virtual environment, anew when the one that is there does not work any more."""
    check = "import sys; sys.exit(sys.version_info[:2] != (3, 11))"
    if PYTHON.exists() and subprocess.run([PYTHON, "-c", check], capture_output=True, check=False).returncode == 0:
        return
    tell("making the virtual environment .venv")
    for module in ("venv", "ensurepip"):
        if subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False).returncode != 0:
            raise LaunchError(f"this Python lacks its module {module}: install it (Debian and Ubuntu: the package python3.11-venv)")
    run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], "cannot make the virtual environment")


def install_uv() -> None:
    """uv, by pip."""
    tell("installing uv")
    run([str(PYTHON), "-m", "ensurepip"], "cannot install pip")
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "--requirement", str(UV_LOCK)], "cannot install uv")


def install(lock: Path) -> None:
    """The packages of a lock, and the project on top of them, editable. Packages that are there and not in the lock stay."""
    count = sum("==" in line for line in lock.read_text().splitlines())
    tell(f"installing {count} packages of {lock.name}; the first time takes a minute or two")
    into = [str(UV), "pip", "install", "--quiet", "--python", str(PYTHON)]
    environment = {**os.environ, **uv_settings()}
    # Compiled now: an environment that writes no bytecode would compile at every start of a process, for seconds.
    run([*into, "--compile-bytecode", "--require-hashes", "--requirement", str(lock)], "cannot install the packages", environment)
    run([*into, "--offline", "--no-deps", "--no-build-isolation", "--editable", str(REPOSITORY)], "cannot install the project", environment)


def uv_settings() -> dict[str, str]:
    """Settings that lead uv to where pip would go, for those that its own environment does not name."""
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    said = dict(re.findall(r"^[^=\n]*\.([a-z-]+)='(.*)'$", listed, flags=re.MULTILINE))
    settings = {uv: said[pip].replace("\\n", " ").strip() for pip, uv in PIP_SAYS.items() if pip in said and uv not in os.environ}
    if not os.access(Path.home(), os.W_OK):
        settings["UV_NO_CACHE"] = "1"
    return settings


def once(name: str, sources: Sequence[Path], action: Callable[[], None]) -> None:
    """Does something unless it has been done here, with the same sources."""
    digest = hashlib.sha256(os.fsencode(REPOSITORY))  # an editable installation names its place
    for source in sources:
        digest.update(source.read_bytes())
    stamp = ENVIRONMENT / f"agentmesh-{name}.stamp"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    action()
    stamp.write_text(digest.hexdigest())


def run(command: Sequence[str], complaint: str, environment: Mapping[str, str] | None = None) -> None:
    """Runs a command from the root of the repository. LaunchError with the complaint and the end of its output when it fails."""
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise LaunchError(f"{complaint}: {ended.stderr.strip()[-1500:]}")


def tell(text: str) -> None:
    """A line of progress."""
    print(f"[ set-up ] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
