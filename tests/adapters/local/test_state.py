"""The state folder: one launcher at a time, logs of bounded size, and a complete removal."""

from pathlib import Path

import pytest

from deploy.local import placement
from deploy.local.clean import remove_all
from deploy.local.errors import LaunchError
from deploy.local.state import HOME, LOG_BYTES, StateFolder


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    state = StateFolder(tmp_path / "state")
    state.create()
    return state


def test_each_stack_has_a_folder_of_its_own() -> None:
    assert StateFolder.of_offset(0).path == HOME
    assert StateFolder.of_offset(2000).path == HOME / "offset-2000"


def test_a_second_launcher_is_refused_with_the_first_ones_pid(state: StateFolder) -> None:
    with state.locked({"gateway": "http://localhost:8000"}), pytest.raises(LaunchError) as refusal, StateFolder(state.path).locked({}):
        pass
    assert str(state.path) in str(refusal.value)
    assert "gateway http://localhost:8000" in str(refusal.value)
    assert "PORT_OFFSET" in str(refusal.value)


def test_the_lock_is_released_when_its_holder_ends(state: StateFolder) -> None:
    with state.locked({"gateway": "a much longer text than that of the next holder"}):
        pass
    with state.locked({}), pytest.raises(LaunchError, match=r"pid \d+\): stop it"), state.locked({}):
        pass


def test_a_read_only_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LaunchError, match=r"cannot write to .*file: Not a directory"):
        StateFolder(tmp_path / "file").create()


def test_long_logs_are_rotated(state: StateFolder) -> None:
    state.log("orchestrator").write_bytes(b"x" * (LOG_BYTES + 1))
    state.log("redis").write_text("short")
    state.rotate_logs()
    assert sorted(path.name for path in (state.path / "logs").iterdir()) == ["orchestrator.log.1", "redis.log"]


class TestClean:
    """`make clean` removes every stack's data, wherever it is, unless a process uses it."""

    async def test_clean_removes_everything_including_data_outside_the_folder(self, state: StateFolder) -> None:
        second = StateFolder(state.path / "offset-2000")
        second.create()
        outside = placement.folder_outside(second.folder("postgres"))
        (outside / "data").mkdir(parents=True)
        await remove_all(state.path)
        assert not state.path.exists()
        assert not outside.exists()

    async def test_clean_keeps_the_data_of_a_running_stack(self, state: StateFolder) -> None:
        second = StateFolder(state.path / "offset-2000")
        second.create()
        with second.locked({}), pytest.raises(LaunchError, match="a stack already runs"):
            await remove_all(state.path)
        assert second.path.exists()

    async def test_clean_with_nothing_to_remove_succeeds(self, tmp_path: Path) -> None:
        await remove_all(tmp_path / "none")
