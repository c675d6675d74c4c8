"""The layer of Python packages: the wheels of requirements-image.lock, each checked against its hash, without their tests."""

import os
import shutil
import subprocess
from pathlib import Path

from deploy.images.tree import compile_bytecode
from deploy.local.bootstrap import REPOSITORY, UV, uv_settings
from deploy.local.errors import LaunchError

LOCK = REPOSITORY / "requirements-image.lock"
FOLDER = "opt/agentmesh/packages"
TESTS = ("tests", "test")


def build_packages(root: Path, python: Path) -> None:
    """Makes the layer. Raises LaunchError if a package cannot be installed or differs from the lock."""
    target = root / FOLDER
    command = [str(UV), "pip", "install", "--quiet", "--target", str(target), "--python", str(python), "--no-deps", "--require-hashes"]
    options = ["--only-binary", ":all:", "--link-mode", "copy", "--requirement", str(LOCK)]
    done = subprocess.run([*command, *options], env={**os.environ, **uv_settings()}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LaunchError(f"cannot install the packages of {LOCK.name}: {done.stderr.strip()[-1500:]}")
    shutil.rmtree(target / "bin", ignore_errors=True)  # their programs name the builder's Python
    for leftover in (target / ".lock", *target.rglob("__pycache__")):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    for folder in [path for path in target.rglob("*") if path.is_dir() and path.name in TESTS]:
        shutil.rmtree(folder, ignore_errors=True)
    compile_bytecode(python, root, FOLDER)
