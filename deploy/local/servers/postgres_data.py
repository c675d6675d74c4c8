"""PostgreSQL's data folder: creates it, and cleans up after a server that was killed."""

import os
import secrets
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.placement import Placement
from deploy.local.secrets.secret_files import write_private
from deploy.local.supervision.leftovers import started_at
from deploy.local.supervision.process import run
from deploy.local.supervision.waiting import holds_within

USER = "agentmesh"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"}
ENCODING = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
PATIENCE_SECONDS = 5.0


async def prepare(placement: Placement) -> None:
    """Creates the data folder and its password if they are missing; otherwise removes what a killed server left behind."""
    placement.install()
    password = password_file(placement)
    if not password.exists():
        _discard_outside(placement)
        write_private(password, secrets.token_urlsafe(24))
    if (placement.data / "PG_VERSION").exists():
        await _clear_crash(placement.data)
    else:
        await _initialise(placement, password.read_text())


def password_file(placement: Placement) -> Path:
    """The file with the password of the server's only user."""
    return placement.folder / "password"


def lock_file(data: Path) -> list[str]:
    """The lines of postmaster.pid (their meaning: PostgreSQL's src/include/utils/pidfile.h); none when no server runs."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


async def _initialise(placement: Placement, password: str) -> None:
    draft = placement.data.with_name("data.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    placement.own(draft)
    handed_over = draft.with_name("password.draft")
    write_private(handed_over, password)
    placement.own(handed_over)
    login = (f"--username={USER}", f"--pwfile={handed_over}", "--auth=scram-sha-256")
    try:
        await run([str(placement.programs / "initdb"), "-D", str(draft), *login, *ENCODING], ENVIRONMENT, placement.account)
    finally:
        handed_over.unlink()
    # The folder gets its name only when it is complete, so that a launcher killed before leaves nothing that looks like data.
    draft.rename(placement.data)


def _discard_outside(placement: Placement) -> None:
    """Deletes data outside of the state folder whose password is missing: the state folder was removed by hand. Inside, it is an error."""
    if placement.data_outside:
        shutil.rmtree(placement.data, ignore_errors=True)
    elif placement.data.exists():
        raise LaunchError(
            f"the password of PostgreSQL's data is missing: restore {password_file(placement)}, or delete the data with `make clean`"
        )


async def _clear_crash(data: Path) -> None:
    """Ends the sessions of a server that was killed, and removes a lock file whose process id now belongs to another program.

    PostgreSQL refuses to start in both cases. A busy session does not notice the end of its server until its statement is done.
    """
    lines = lock_file(data)
    if not lines or _is_server_of(data, lines[0]):
        return
    await _end_sessions(data)
    if started_at(int(lines[0])) is not None:
        (data / "postmaster.pid").unlink()


async def _end_sessions(data: Path) -> None:
    async def ended() -> bool:
        return not _processes_in(data)

    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in _processes_in(data):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if await holds_within(PATIENCE_SECONDS, ended):
            return


def _processes_in(data: Path) -> list[int]:
    """The processes whose working directory is the data folder: those of its server."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == data:
                found.append(int(process.name))
    return found


def _is_server_of(data: Path, pid: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(data) in command
