"""The ports of the registry."""

from collections.abc import Sequence
from typing import Protocol

from catalogue.search.result import SearchResult
from orchestrator.registry.model import Estimate, HealthState, ListedAgent


class SearchIndex(Protocol):
    """Ranks the agents of one catalogue for a search."""

    def find(self, text: str) -> SearchResult:
        """The agents that match, best first; the nearest agents when none matches."""
        ...


class HealthProbe(Protocol):
    """Checks the health of agents."""

    async def check(self, agent_id: str, port: int) -> HealthState:
        """The agent's answer, or UNREACHABLE after one second."""
        ...


class CallEstimates(Protocol):
    """Estimates what calls would cost."""

    async def of(self, task: str, agents: Sequence[ListedAgent]) -> Sequence[Estimate]:
        """The estimates of the same call to each of the agents, in their order."""
        ...
