"""Named places at which a test can kill the process.

Failpoints are placed beside commits, so that tests can check what a kill at that moment leaves behind. An unarmed failpoint costs one
attribute look-up. Only the setting FAILPOINTS arms one.
"""

import os
import signal
from typing import ClassVar


class Failpoint:
    """A named place. `hit` kills the process (SIGKILL) if the place is armed."""

    known: ClassVar[dict[str, "Failpoint"]] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        self.armed = False
        self.known[name] = self

    def hit(self) -> None:
        if self.armed:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(names: str) -> None:
    """Arms the failpoints of a comma-separated list. Raises ValueError for an unknown name."""
    for name in filter(None, names.split(",")):
        if name not in Failpoint.known:
            raise ValueError(f"unknown failpoint {name!r}; use one of: {', '.join(sorted(Failpoint.known))}")
        Failpoint.known[name].armed = True
