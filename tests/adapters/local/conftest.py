"""Stand-ins for the platform's programs, and a folder that root's unprivileged users cannot reach."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from deploy.local.supervision.liveness import HealthProbe
from deploy.local.supervision.process import Process, ProcessSpec, ready_file_written
from deploy.local.supervision.traces import Traces

STAND_IN = Path(__file__).with_name("stand_in.py")
HEALTHY = Path(__file__).with_name("healthy.py")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """What the stand-ins have done, in order."""
    path = tmp_path / "journal"
    path.touch()
    return path


@pytest.fixture
def make_process(tmp_path: Path, journal: Path) -> Callable[..., Process]:
    """Creates a process that runs the stand-in with these habits."""

    def make(name: str, *habits: str, after: tuple[str, ...] = (), start_seconds: float = 20, stop_seconds: float = 20) -> Process:
        script = HEALTHY if "healthy" in habits else STAND_IN
        ready_file = tmp_path / f"{name}.ready"

        async def prepare() -> Mapping[str, str]:
            ready_file.unlink(missing_ok=True)
            return {}

        spec = ProcessSpec(
            name=name,
            command=[sys.executable, str(script), str(journal), name, *habits],
            traces=Traces(tmp_path / f"{name}.log", tmp_path / f"{name}.pid"),
            ready=ready_file_written(ready_file),
            environment={"READY_FILE": str(ready_file)},
            prepare=prepare,
            start_seconds=start_seconds,
            stop_seconds=stop_seconds,
            after=after,
            alive=HealthProbe(ready_file).answers if "healthy" in habits else None,
        )
        return Process(spec)

    return make


@pytest.fixture
def closed_folder(tmp_path: Path) -> Path:
    """A folder below one that only its owner can enter, like a home directory of mode 0700."""
    if os.geteuid() != 0:
        pytest.skip("PostgreSQL runs as another user only if the tests run as root")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    folder = home / "inside"
    folder.mkdir()
    return folder
