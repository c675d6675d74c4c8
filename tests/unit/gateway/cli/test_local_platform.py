"""`status` and `down` recognise the launcher of a stack by its lock, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local import state
from gateway.cli.__main__ import app
from gateway.cli.exits import Exit
from gateway.cli.local.platform import launcher

LAUNCHER = """
import signal, sys
from pathlib import Path
from deploy.local.state import StateFolder
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with StateFolder(Path(sys.argv[1])).locked({"gateway": "http://localhost:8000"}):
    print("locked", flush=True)
    signal.pause()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the stacks of this machine."""
    monkeypatch.setattr(state, "HOME", tmp_path)
    return tmp_path


def test_down_stops_the_launcher_and_waits_until_it_has_ended(home: Path) -> None:
    command = [sys.executable, "-c", LAUNCHER, str(home)]
    with subprocess.Popen(command, cwd=state.REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        assert launcher(0) == {"pid": str(process.pid), "gateway": "http://localhost:8000"}
        stopped = CliRunner().invoke(app, ["down"])
        assert (stopped.exit_code, stopped.stderr) == (Exit.DONE, "Stopped.\n")
        assert process.wait(10) == 0
    assert launcher(0) is None


def test_a_lock_that_nobody_holds_is_no_launcher(home: Path) -> None:
    """The file stays when the process ends, with the id of a process that may be another one by now."""
    (home / "lock").write_text('{"pid": "1", "gateway": ""}')
    assert CliRunner().invoke(app, ["down"]).stderr == "Nothing is running.\n"
    found = CliRunner().invoke(app, ["status"])
    assert (found.exit_code, found.stderr) == (
        Exit.UNHEALTHY,
        "agentmesh: the platform of this machine does not run; start it with `agentmesh up`\n",
    )
