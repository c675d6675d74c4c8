"""How much is let through: token buckets, in plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Charge:
    """One token to take from a bucket that holds `per_minute` tokens and is filled as fast."""

    limit: str
    """What callers call the limit."""
    key: str
    """Whose bucket it is; buckets of different limits have different keys."""
    per_minute: int

    @property
    def interval_seconds(self) -> float:
        """How long a token takes to come back."""
        return 60 / self.per_minute


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of the charges: all were taken, or none."""

    refused_by: Charge | None = None
    """The first whose bucket is empty."""
    wait_seconds: float = 0.0
    """When it will not be."""
    present: tuple[bool, ...] | None = None
    """Which of the watched keys exist; None when nobody could be asked."""


class Sessions(Protocol):
    """Knows which sessions have ended, by keys that the limiter looks up on its way."""

    def watched(self, session_id: UUID) -> Sequence[str]:
        """The keys to look up; none when they would say nothing."""
        ...

    async def is_revoked(self, session_id: UUID, present: Sequence[bool] | None) -> bool:
        """Whether the session has ended; `present` says which of the watched keys exist, None that nobody could be asked.

        Raises ServiceUnavailable when nobody can tell.
        """
        ...


class Limiter(Protocol):
    """Keeps the buckets. Never fails: without its server it keeps them in this process."""

    async def take(self, charges: Sequence[Charge], watch: Sequence[str] = ()) -> Verdict:
        """Takes a token for every charge, or none at all; and says, in the same trip, which of the keys of `watch` exist."""
        ...
