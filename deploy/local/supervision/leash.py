"""Starts a program that cannot outlive whoever started it, and that never sees the terminal's Ctrl-C.

Run as a script between the launcher and the program, which takes its place by exec and so keeps the process id:
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


class Account(NamedTuple):
    """The user that a program runs as."""

    uid: int
    gid: int


def leashed(command: Sequence[str], death_signal: signal.Signals, account: Account | None = None) -> list[str]:
    """The command that runs `command` as `account` and gets `death_signal` when the thread that started it ends.

    The kernel counts the thread, not the process: start it from the main thread. Without an account it stays ours.
    """
    user = f"{account.uid}:{account.gid}" if account else "-"
    return [sys.executable, "-I", "-S", __file__, str(int(death_signal)), str(os.getpid()), user, *command]


def die_with_parent(death_signal: int, parent: int) -> None:
    """Asks the kernel to send us `death_signal` when our parent ends, and sends it at once when that has already happened."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), death_signal)


def become(account: str) -> None:
    """Gives up root for `uid:gid`, for good; `-` keeps the user."""
    if account == "-":
        return
    uid, gid = (int(part) for part in account.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main(arguments: Sequence[str]) -> None:
    """Becomes the program; says why on standard error, and exits with 126, when that is impossible."""
    death_signal, parent, account, program = *arguments[:3], arguments[3:]
    try:
        become(account)
        die_with_parent(int(death_signal), int(parent))
        os.execvp(program[0], list(program))
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error}\n")
        sys.exit(126)


if __name__ == "__main__":
    main(sys.argv[1:])
