"""Files of a layer: written, made uniform, and listed with their hashes."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.local.errors import LaunchError

TIME = 315_532_800
"""The mtime of every file, 1980-01-01: a layer must not depend on when it was built."""


def write(path: Path, text: str, *, executable: bool = False) -> None:
    """Writes a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if executable else 0o644)


def copy(source: Path, target: Path, wanted: Callable[[Path], bool] = lambda _: True) -> None:
    """Copies the files of a folder for which `wanted` holds, which gets their paths below the folder."""
    for path in _files(source):
        if wanted(path.relative_to(source)):
            into = target / path.relative_to(source)
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, into)


def compile_bytecode(python: Path, root: Path, folder: str) -> None:
    """Compiles the modules in a folder of the root, as seen from inside. Python then never compares them with their sources.

    A read-only root needs this: otherwise each start would compile everything again.
    """
    options = ["-q", "-j", "1", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/"]
    command = [str(python), "-m", "compileall", *options, str(root / folder)]
    # Sets of constants are stored in the order of their hashes. A file that is no valid Python, such as a template, is left out.
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, check=False)


def make_uniform(root: Path) -> None:
    """Gives all files the same time, and modes that depend only on whether they are executable."""
    for path in sorted(root.rglob("*"), reverse=True):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o1777 if path == root / "tmp" else 0o755 if executable else 0o644)
        os.utime(path, (TIME, TIME), follow_symlinks=False)


def listing(root: Path) -> dict[str, str]:
    """What the root contains: for each path the mode and the hash of the content, or the target of a link."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = f"link {os.readlink(path)}"
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            found[str(path.relative_to(root))] = f"{path.stat().st_mode & 0o7777:o} {content}"
    return found


def digest(root: Path) -> str:
    """One hash of the listing."""
    return hashlib.sha256("".join(f"{path}\0{what}\n" for path, what in listing(root).items()).encode()).hexdigest()


def run(*command: str | Path, folder: Path | None = None) -> str:
    """The output of a command. Raises LaunchError with the end of its errors if it fails."""
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LaunchError(f"{' '.join(map(str, command[:4]))} … failed: {(done.stdout + done.stderr).strip()[-1500:]}")
    return done.stdout


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path
