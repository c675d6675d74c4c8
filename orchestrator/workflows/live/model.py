"""Live texts: who writes them, how far a watcher has read, and what it reads next."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class LiveHead:
    """The attempt that writes a text. An attempt with a higher epoch replaces the text of earlier ones."""

    epoch: int
    attempt: int
    execution_id: UUID
    truncated: bool = False
    """Whether the text has outgrown what is kept, so that it grows no more."""


@dataclass(frozen=True, slots=True)
class LiveNews:
    """What was read of a text: `added` (UTF-8) follows what the reader knows, or is the whole text if the attempt is another one."""

    head: LiveHead
    added: bytes


@dataclass(frozen=True, slots=True)
class LivePosition:
    """How far a watcher has read: so many characters of the text of an execution."""

    execution_id: UUID
    offset: int
    truncated: bool = False
    """Whether the watcher knows that the text grows no more."""


@dataclass(frozen=True, slots=True)
class LivePiece:
    """A piece of the text of an attempt: the characters after `offset`."""

    task_id: str
    execution_id: UUID
    attempt: int
    offset: int
    text: str
    truncated: bool

    @property
    def position(self) -> LivePosition:
        """The position of a watcher that has read this piece."""
        return LivePosition(self.execution_id, self.offset + len(self.text), self.truncated)
