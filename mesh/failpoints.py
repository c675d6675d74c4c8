"""Named places at which a test can kill the process.

A failpoint stands beside a commit, so that the tests can prove what a kill at that moment leaves behind. Unarmed it costs an
attribute look-up. Only a process whose settings name one is ever armed.
"""

import os
import signal
from typing import ClassVar


class Failpoint:
    """One named place; `hit` kills the process (SIGKILL) there if the place is armed."""

    known: ClassVar[dict[str, "Failpoint"]] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        self.armed = False
        self.known[name] = self

    def hit(self) -> None:
        """Dies here if armed."""
        if self.armed:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(names: str) -> None:
    """Arms the failpoints of a comma-separated list. Raises ValueError for a name that no code has."""
    for name in filter(None, names.split(",")):
        if name not in Failpoint.known:
            raise ValueError(f"no failpoint is called {name!r}; there are: {', '.join(sorted(Failpoint.known))}")
        Failpoint.known[name].armed = True
