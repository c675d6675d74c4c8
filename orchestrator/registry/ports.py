"""What the registry needs of the world."""

from typing import Protocol

from catalogue.search.result import SearchResult
from orchestrator.registry.model import HealthState


class SearchIndex(Protocol):
    """Ranks the agents of one catalogue for a search."""

    def find(self, text: str) -> SearchResult:
        """The agents that match, best first; the nearest agents when none matches."""
        ...


class HealthProbe(Protocol):
    """Asks agents how they are."""

    async def check(self, agent_id: str, port: int) -> HealthState:
        """The agent's word within a second, or UNREACHABLE."""
        ...
