"""`make` on a machine where nothing, or almost nothing, is installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import bootstrap
from deploy.local.errors import LaunchError
from deploy.local.state import REPOSITORY


def make(*arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path, "HOME": os.environ["HOME"]}
    return subprocess.run(["make", *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_help_lists_every_command() -> None:
    listed = re.findall(r"^  make (\w+)", make("help").stdout, flags=re.MULTILINE)
    assert {"up", "test", "clean", "gen", "lint", "check", "bench", "lock"} <= set(listed)


@pytest.mark.parametrize("command", ["up", "test", "clean"])
def test_without_python_one_line_says_what_to_do(command: str) -> None:
    ended = make(command, "PYTHON=/nonexistent/python3.11")
    assert ended.returncode != 0
    complaint, of_make = ended.stderr.splitlines()
    assert complaint.startswith("agentmesh: Python 3.11 is needed and was not found")
    assert of_make.startswith("make: ***")


def test_the_bootstrap_needs_no_package(tmp_path: Path) -> None:
    """It runs on a bare Python: -S hides all installed packages."""
    command = [sys.executable, "-S", "-c", "import deploy.local.bootstrap, deploy.local.tools.go_tools, deploy.local.__main__"]
    ended = subprocess.run(command, cwd=REPOSITORY, env={}, capture_output=True, text=True, check=False, timeout=60)
    assert ended.stderr == ""


def test_a_step_runs_once_and_again_when_a_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", tmp_path)
    source = tmp_path / "requirements.lock"
    done: list[str] = []
    for text in ("one", "one", "two"):
        source.write_text(text)
        bootstrap.once("runtime", [source], lambda: done.append(source.read_text()))
    assert done == ["one", "two"]


def test_a_failed_step_is_not_marked_as_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", tmp_path)

    def fail() -> None:
        raise LaunchError("no network")

    for _ in range(2):
        with pytest.raises(LaunchError):
            bootstrap.once("runtime", [], fail)


def test_locks_pin_every_package_by_hash_and_name_no_index() -> None:
    for lock in (bootstrap.UV_LOCK, *bootstrap.LOCKS.values()):
        text = lock.read_text()
        packages = re.findall(r"^[a-z0-9][^\s]*==[^\s]+ \\\n    --hash=sha256:", text, flags=re.MULTILINE)
        assert len(packages) == text.count("==") > 0
        assert "://" not in text
        assert "--index" not in text


def test_both_locks_agree() -> None:
    """`make up` after `make test`, or the other way round, must not change any version."""
    runtime, everything = (
        dict(re.findall(r"^([a-z0-9][^\s=]*)==([^\s]+)", lock.read_text(), flags=re.MULTILINE)) for lock in bootstrap.LOCKS.values()
    )
    assert runtime.items() <= everything.items()
