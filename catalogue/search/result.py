"""What a search finds."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """An agent and its score for a search, 0 to 1.3."""

    agent_id: str
    score: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The agents that match, best first; the nearest agents when none matches."""

    matches: Sequence[Found]
    nearest: Sequence[Found]
