"""Programs that are still stopping after their launcher was killed, and keep their ports until then."""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

from deploy.local.secrets.secret_files import write_private
from deploy.local.supervision.waiting import holds_within

KILL_SECONDS = 5


def remember(pid_file: Path, pid: int) -> None:
    """Records a process so that a later launcher can recognise it."""
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    write_private(pid_file, json.dumps({"pid": pid, "started": started_at(pid)}))


def started_at(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot (field 22 of proc_pid_stat(5)); None when it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    threads, started = int(fields[16]), int(fields[18])
    # A zombie with threads that are still ending keeps its files, and therefore its ports, open.
    return None if state == "Z" and threads <= 1 else started


def still_running(pid_file: Path) -> int | None:
    """The id of the recorded process if it is still running, otherwise None."""
    try:
        noted = json.loads(pid_file.read_text())
        pid, started = int(noted["pid"]), noted["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if started is not None and started_at(pid) == started else None


async def end_leftovers(folder: Path, patience_seconds: float = 15) -> None:
    """Waits until none of the processes recorded in `folder` runs.

    They were told to stop when their launcher died; those that still run after `patience_seconds` are killed.
    """
    notes = list(folder.glob("*.pid"))  # noqa: ASYNC240 (a look at a local folder)

    async def ended() -> bool:
        return not any(map(still_running, notes))

    if not await holds_within(patience_seconds, ended):
        for pid in filter(None, map(still_running, notes)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await holds_within(KILL_SECONDS, ended)
    for note in notes:
        note.unlink(missing_ok=True)
