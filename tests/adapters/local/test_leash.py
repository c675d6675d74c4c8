"""No program outlives the launcher, however the launcher ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local.placement import unprivileged_account
from deploy.local.servers.postgres import PostgresServer
from deploy.local.supervision.leash import leashed
from deploy.local.supervision.leftovers import started_at
from deploy.local.supervision.waiting import holds_within
from tests.support.ports import any_free_port

LAUNCHER = Path(__file__).with_name("launcher.py")


async def test_a_killed_launcher_leaves_no_program_running(tmp_path: Path) -> None:
    """After SIGKILL the launcher cannot act: the kernel signals its programs, and PostgreSQL's sessions end with their server."""
    ports = [any_free_port(), any_free_port()]
    launcher = await asyncio.create_subprocess_exec(
        sys.executable, str(LAUNCHER), str(tmp_path), *map(str, ports), stdout=asyncio.subprocess.PIPE
    )
    assert launcher.stdout is not None
    pids = json.loads(await asyncio.wait_for(launcher.stdout.readline(), 60))["pids"]
    family = [*pids, *(child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True))]
    assert len(family) > len(pids)
    launcher.kill()
    await launcher.wait()

    async def all_exited() -> bool:
        return all(started_at(pid) is None for pid in family)

    assert await holds_within(20, all_exited)
    assert (tmp_path / "journal").read_text() == "service up\nservice down\n"
    # The shutdown was orderly: the next start needs no recovery.
    server = PostgresServer(tmp_path / "postgres", ports[0])
    assert "database system is shut down" in server.process.log_path.read_text()
    server.erase()


async def test_a_program_started_after_its_launcher_died_exits() -> None:
    command = leashed(["/bin/sleep", "60"], signal.SIGTERM)
    command[5] = "1"  # it has another parent than the one that it expects
    child = await asyncio.create_subprocess_exec(*command)
    assert await asyncio.wait_for(child.wait(), 20) == -signal.SIGTERM


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
async def test_a_program_can_run_as_another_user_without_roots_groups() -> None:
    account = unprivileged_account()
    command = leashed(["/bin/sh", "-c", "id -u; id -g; id -G"], signal.SIGTERM, account)
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd="/")
    output, _ = await child.communicate()
    assert output.decode().split() == [str(account.uid), str(account.gid), str(account.gid)]


async def test_a_program_that_cannot_be_started_reports_the_cause(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(*leashed([str(tmp_path / "none")], signal.SIGTERM), stderr=asyncio.subprocess.PIPE)
    _, complaint = await child.communicate()
    assert child.returncode == 126
    assert b"cannot start" in complaint
    assert b"No such file or directory" in complaint
