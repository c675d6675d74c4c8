"""What a check found."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from gateway.cli.words import one_line


class Level(Enum):
    """How bad it is. Only problems make `doctor` fail."""

    GOOD = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was found, with the value, and what to do."""

    level: Level
    check: str
    text: str
    advice: str = ""

    def line(self) -> str:
        """The finding for a person."""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.level.value:<8}" + one_line(f"{self.check}: {self.text}{advice}")

    def document(self) -> dict[str, Any]:
        """The finding for a program."""
        return {"level": self.level.value, "check": self.check, "finding": self.text, "advice": self.advice}


def good(check: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.GOOD, check, text)


def warning(check: str, text: str, advice: str) -> Finding:
    """Something that may become a problem, or that only some commands need."""
    return Finding(Level.WARNING, check, text, advice)


def problem(check: str, text: str, advice: str) -> Finding:
    """Something that does not work."""
    return Finding(Level.PROBLEM, check, text, advice)
