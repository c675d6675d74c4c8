"""The ports of the registry."""

from collections.abc import Sequence
from typing import Protocol

from catalogue.search.result import SearchResult
from orchestrator.registry.model import Estimate, HealthState, ListedAgent, Measured


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


class MeasuredFigures(Protocol):
    """What was measured of the agents."""

    def of(self, agent_id: str) -> Measured | None:
        """The figures of an agent, as they were read last; None if it had no executions."""
        ...


class NoFigures:
    """For processes that list no agents."""

    def of(self, agent_id: str) -> Measured | None:
        return None
