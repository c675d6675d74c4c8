"""Starts a program that ends with its launcher and does not get the terminal's Ctrl-C.

A script that runs between the launcher and the program, which replaces it by exec and keeps the process id:
`python -I -S leash.py SIGNAL PARENT UID:GID|- PROGRAM ARGUMENT…`. A script, and not a `preexec_fn`, because the
launcher has threads, and because the kernel forgets the death signal when a process changes its user.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import NamedTuple

PR_SET_PDEATHSIG = 1
PRIVATE_UMASK = 0o077
"""Only the owner reads what a program writes. Set here and not by asyncio, because uvloop does not know `umask`."""


class Account(NamedTuple):
    """The user that a program runs as."""

    uid: int
    gid: int


def leashed(command: Sequence[str], death_signal: signal.Signals, account: Account | None = None) -> list[str]:
    """The command that runs `command` as `account` and gets `death_signal` when the thread that started it ends.

    Start it from the main thread, as the kernel watches the thread and not the process. Without an account the user stays the same.
    """
    user = f"{account.uid}:{account.gid}" if account else "-"
    return [sys.executable, "-I", "-S", __file__, str(int(death_signal)), str(os.getpid()), user, *command]


def die_with_parent(death_signal: int, parent: int) -> None:
    """Has the kernel send `death_signal` to this process when its parent ends; sends it at once if the parent has already ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), death_signal)


def become(account: str) -> None:
    """Changes the user to `uid:gid` permanently; `-` keeps the user."""
    if account == "-":
        return
    uid, gid = (int(part) for part in account.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main(arguments: Sequence[str]) -> None:
    """Becomes the program, or exits with 126 and the reason on standard error."""
    death_signal, parent, account, program = *arguments[:3], arguments[3:]
    try:
        os.umask(PRIVATE_UMASK)
        become(account)
        die_with_parent(int(death_signal), int(parent))
        os.execvp(program[0], list(program))
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error}\n")
        sys.exit(126)


if __name__ == "__main__":
    main(sys.argv[1:])
