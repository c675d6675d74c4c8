"""Starting one program, detecting that it is ready, and stopping it."""

# ruff: noqa: ASYNC240 (the files that these tests inspect are small and local)

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.errors import LaunchError
from deploy.local.supervision.leftovers import end_leftovers, remember, still_running
from deploy.local.supervision.process import Process

MakeProcess = Callable[..., Process]


async def test_start_returns_when_the_program_reports_that_it_is_ready(make_process: MakeProcess, journal: Path) -> None:
    process = make_process("one")
    await process.start()
    assert process.running
    assert journal.read_text() == "one up\n"
    await process.stop()
    assert journal.read_text() == "one up\none down\n"
    assert not process.running


async def test_starting_a_running_program_changes_nothing(make_process: MakeProcess) -> None:
    process = make_process("one")
    await process.start()
    pid = process.pid
    await process.start()
    assert process.pid == pid
    await process.stop()


async def test_a_program_does_not_receive_the_terminals_signals(make_process: MakeProcess) -> None:
    process = make_process("one")
    await process.start()
    assert os.getsid(process.pid) == process.pid
    await process.stop()


async def test_a_program_that_exits_while_starting_is_an_error_with_its_last_output(make_process: MakeProcess) -> None:
    process = make_process("one", "broken")
    with pytest.raises(LaunchError, match=r"one ended with exit code 3 while it was starting[\s\S]*the cupboard is bare"):
        await process.start()
    assert process.crashes.empty()


async def test_a_program_that_never_becomes_ready_is_killed(make_process: MakeProcess, journal: Path) -> None:
    process = make_process("one", "mute", start_seconds=1)
    with pytest.raises(LaunchError, match="one was not ready after 1 s"):
        await process.start()
    assert not process.running
    assert journal.read_text() == "one up\none down\n"


async def test_a_program_that_does_not_stop_is_killed(make_process: MakeProcess) -> None:
    process = make_process("one", "deaf", stop_seconds=0.3)
    await process.start()
    await process.stop()
    assert not process.running


async def test_restart_can_change_the_environment_permanently(make_process: MakeProcess, journal: Path) -> None:
    process = make_process("one")
    await process.start()
    await process.restart(env={"COLOUR": "red"})
    await process.restart()
    await process.stop()
    assert journal.read_text().splitlines()[::2] == ["one up", "one up red", "one up red"]


async def test_only_an_unrequested_exit_is_a_crash(make_process: MakeProcess) -> None:
    process = make_process("one")
    await process.start()
    process.kill()
    assert await process.crashes.get() == -signal.SIGKILL
    await process.start()
    await process.stop()
    assert process.crashes.empty()


async def test_the_tail_of_the_log_is_that_of_the_latest_run(make_process: MakeProcess) -> None:
    process = make_process("one")
    process.log_path.write_text("an old line\n")
    await process.start()
    await process.stop()
    assert "one serves" in process.end_of_log()
    assert "an old line" not in process.end_of_log()


async def test_a_recorded_process_is_recognized_only_while_it_is_the_same(make_process: MakeProcess, tmp_path: Path) -> None:
    process = make_process("one")
    await process.start()
    note = tmp_path / "one.pid"
    assert still_running(note) == process.pid
    text = note.read_text()
    await process.stop()
    assert not note.exists()
    note.write_text(text)
    assert still_running(note) is None


async def test_leftover_programs_are_killed_after_a_timeout(make_process: MakeProcess, tmp_path: Path) -> None:
    process = make_process("one", "deaf")
    await process.start()
    (tmp_path / "run").mkdir()
    remember(tmp_path / "run" / "one.pid", process.pid)
    await end_leftovers(tmp_path / "run", patience_seconds=0.1)
    assert await process.crashes.get() == -signal.SIGKILL
    assert list((tmp_path / "run").iterdir()) == []
