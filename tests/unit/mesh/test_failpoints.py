"""Failpoints kill the process at their position, and only if a test armed them."""

import signal
import subprocess
import sys

import pytest

from mesh import failpoints
from mesh.failpoints import Failpoint

PROGRAM = """
import sys
from mesh import failpoints
first, second = failpoints.Failpoint("first"), failpoints.Failpoint("second")
failpoints.arm(sys.argv[1])
first.hit()
print("past the first", flush=True)
second.hit()
print("past the second", flush=True)
"""


def run(armed: str) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, armed], capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stdout.splitlines()


def test_unarmed_failpoints_do_nothing() -> None:
    assert run("") == (0, ["past the first", "past the second"])


def test_an_armed_failpoint_kills_the_process_at_once() -> None:
    assert run("second") == (-signal.SIGKILL, ["past the first"])


def test_several_failpoints_can_be_armed() -> None:
    assert run("second,first") == (-signal.SIGKILL, [])


def test_an_unknown_failpoint_is_refused_with_the_known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Failpoint, "known", {})
    known = Failpoint("after_intent")
    with pytest.raises(ValueError, match=r"unknown failpoint 'elsewhere'.*after_intent"):
        failpoints.arm("elsewhere")
    assert not known.armed
