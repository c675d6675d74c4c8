"""What a process leaves in the state folder. Imports no package, because the set-up uses it before any is installed."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Traces:
    """The log of a process, and the file with its id while it runs."""

    log: Path
    pid: Path | None = None
