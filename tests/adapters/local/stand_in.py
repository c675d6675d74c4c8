"""Behaves like a program of the platform: it reports that it is ready, and exits on SIGTERM. `python stand_in.py JOURNAL NAME [HABIT]`.

It writes `NAME up` (and its COLOUR, if it has one) and `NAME down` into the journal. Habits: `deaf` ignores SIGTERM,
`mute` never reports that it is ready, `broken` exits with code 3 and a last message.
"""

import os
import signal
import sys
from pathlib import Path

journal, name, *habits = sys.argv[1:]


def note(what: str) -> None:
    with open(journal, "a") as file:
        file.write(f"{name} {what}\n")


if "broken" in habits:
    sys.stderr.write("the cupboard is bare\n")
    sys.exit(3)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
note(f"up {os.environ.get('COLOUR', '')}".strip())
sys.stderr.write(f"{name} serves\n")
if "mute" not in habits:
    Path(os.environ["READY_FILE"]).write_text("{}")
signal.sigwait({signal.SIGUSR1} if "deaf" in habits else {signal.SIGTERM})
note("down")
