"""What a search finds."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """An agent, its score for a search, which orders the agents, and how well it fits, from 0 to 1 for every search."""

    agent_id: str
    score: float
    fit: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The agents that match, best first; the nearest agents when none matches."""

    matches: Sequence[Found]
    nearest: Sequence[Found]
