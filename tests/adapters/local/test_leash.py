"""No program outlives the launcher, however that ends."""

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


async def test_nothing_is_left_of_a_launcher_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL gives the launcher no chance: the kernel tells its programs, and PostgreSQL's sessions follow their server."""
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

    async def all_gone() -> bool:
        return all(started_at(pid) is None for pid in family)

    assert await holds_within(20, all_gone)
    assert (tmp_path / "journal").read_text() == "service up\nservice down\n"
    # The shutdown was an orderly one: no recovery at the next start.
    server = PostgresServer(tmp_path / "postgres", ports[0])
    assert "database system is shut down" in server.process.log_path.read_text()
    server.erase()


async def test_a_program_whose_launcher_has_died_before_it_began_does_not_stay() -> None:
    command = leashed(["/bin/sleep", "60"], signal.SIGTERM)
    command[5] = "1"  # the parent that it expects is not the one it has
    child = await asyncio.create_subprocess_exec(*command)
    assert await asyncio.wait_for(child.wait(), 20) == -signal.SIGTERM


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_a_program_can_run_as_somebody_else_without_any_of_roots_groups() -> None:
    account = unprivileged_account()
    command = leashed(["/bin/sh", "-c", "id -u; id -g; id -G"], signal.SIGTERM, account)
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd="/")
    output, _ = await child.communicate()
    assert output.decode().split() == [str(account.uid), str(account.gid), str(account.gid)]


async def test_a_program_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(*leashed([str(tmp_path / "none")], signal.SIGTERM), stderr=asyncio.subprocess.PIPE)
    _, complaint = await child.communicate()
    assert child.returncode == 126
    assert b"cannot start" in complaint
    assert b"No such file or directory" in complaint
