"""Builds the web console, unless the same sources have been built before."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.state import HOME, REPOSITORY
from deploy.local.tools.node_tools import PACKAGE_FILES, install_packages, node, node_environment

SOURCES = REPOSITORY / "gateway" / "console"
CLIENTS = REPOSITORY / "gen" / "ts"
BUILDS = HOME / "console-builds"
KEPT_BUILDS = 5
BUILD_SECONDS = 300
BUILD_FILES = ("index.html", "vite.config.ts", "tsconfig.json", "compress.mjs", *PACKAGE_FILES)
SETTINGS = "VITE_"
"""The prefix of the environment variables that a build contains, such as VITE_API_URL."""


def built(environment: Mapping[str, str], builds: Path = BUILDS, sources: Path = SOURCES) -> Path:
    """The folder of the console's build, in the layout of gateway/envoy/console.py; built if it does not exist.

    The variables of the environment whose names begin with VITE_ are part of the build. Waits for another process that builds. Raises
    LaunchError if the packages cannot be installed or the sources do not compile.
    """
    settings = _settings(environment)
    build = builds / digest_of(settings, sources)
    builds.mkdir(parents=True, exist_ok=True)
    with (builds / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not build.exists():
            install_packages(sources, development=False)
            draft = builds / "draft"
            shutil.rmtree(draft, ignore_errors=True)
            vite = [str(sources / "node_modules" / "vite" / "bin" / "vite.js"), "build", "--logLevel", "warn"]
            _run(sources, settings, *vite, "--outDir", str(draft), "--emptyOutDir")
            _run(sources, settings, str(sources / "compress.mjs"), str(draft))
            draft.rename(build)
        os.utime(build)
        _forget_old(builds)
    return build


def is_built(environment: Mapping[str, str], builds: Path = BUILDS) -> bool:
    """Whether `built` would build nothing."""
    return (builds / digest_of(_settings(environment))).exists()


def digest_of(settings: Mapping[str, str], sources: Path = SOURCES) -> str:
    """The name of the build of the current sources with those settings."""
    digest = hashlib.sha256()
    for name, path in sorted(_files(sources)):
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    for name, value in sorted(settings.items()):
        digest.update(f"{name}={value}\0".encode())
    return digest.hexdigest()[:20]


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(SETTINGS)}


def _files(sources: Path) -> Iterator[tuple[str, Path]]:
    """The files that determine the build, with their names."""
    yield from ((name, sources / name) for name in BUILD_FILES)
    for folder in (sources / "src", sources / "public", CLIENTS):
        for path in folder.rglob("*"):
            if path.is_file() and ".test." not in path.name:
                yield f"{folder.name}/{path.relative_to(folder)}", path


def _run(sources: Path, settings: Mapping[str, str], script: str, *arguments: str) -> None:
    """Runs a script with Node.js in the folder of the sources. Of the variables VITE_… it sees the settings alone."""
    environment = {name: value for name, value in node_environment().items() if not name.startswith(SETTINGS)}
    done = subprocess.run(
        [str(node()), script, *arguments],
        cwd=sources,
        env={**environment, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise LaunchError(f"{Path(script).name} failed: {(done.stdout + done.stderr).strip()[-3000:]}")


def _forget_old(builds: Path) -> None:
    """Deletes all builds but those that were used last."""
    ages = sorted((path for path in builds.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in ages[KEPT_BUILDS:]:
        shutil.rmtree(old, ignore_errors=True)
