"""Decides when a change below the folder of definitions is taken for real.

Files are not replaced in one step: an editor, a copy or a deployment may leave a prefix that is valid YAML, pause for seconds, or delete
a file and create it again. Taken at face value, each of these would remove agents while calls to them are running.
"""

from enum import Enum
from pathlib import Path
from typing import NamedTuple

from catalogue.catalogue import Stamp
from mesh.clock import SYSTEM_CLOCK, Clock

QUIET_SECONDS = 0.3
"""A file is read once it has not changed for this long."""
CONFIRM_SECONDS = 5.0
"""A change that would remove agents is applied when a look this much later finds the same. Until then the file's last version serves."""


class _Waiting(Enum):
    QUIET = QUIET_SECONDS
    LOSS = CONFIRM_SECONDS


class _Sighting(NamedTuple):
    stamp: Stamp | None
    since: float


class Settling:
    """Remembers between looks at the folder since when each undecided file has looked as it does now.

    Time is measured on the monotonic clock: the times of files come from a clock that can be wrong, or from another machine.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._earlier: dict[tuple[Path, _Waiting], _Sighting] = {}
        self._now: dict[tuple[Path, _Waiting], _Sighting] = {}
        self.next_look: float | None = None
        """Seconds until an undecided file is worth another look; None if everything is decided."""

    def begin(self) -> None:
        """Begins a look. What is not undecided in it is forgotten."""
        self._earlier, self._now, self.next_look = self._now, {}, None

    def is_quiet(self, path: Path, stamp: Stamp) -> bool:
        """Whether the file has had this stamp for 300 ms."""
        return self._has_lasted(path, stamp, _Waiting.QUIET)

    def is_confirmed(self, path: Path, stamp: Stamp | None) -> bool:
        """Whether agents of this file have been missing for 5 s, with this stamp all the time. None means that the file does not exist."""
        return self._has_lasted(path, stamp, _Waiting.LOSS)

    def _has_lasted(self, path: Path, stamp: Stamp | None, waiting: _Waiting) -> bool:
        now = self._clock.monotonic()
        sighting = self._earlier.get((path, waiting))
        if sighting is None or sighting.stamp != stamp:
            sighting = _Sighting(stamp, now)
        self._now[path, waiting] = sighting
        left = sighting.since + waiting.value - now
        if left <= 0:
            return True
        self.next_look = left if self.next_look is None else min(self.next_look, left)
        return False
