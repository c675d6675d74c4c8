"""What the registry needs of the world."""

from collections.abc import Sequence
from typing import Protocol

from catalogue.model import AgentDefinition
from orchestrator.registry.model import HealthState


class SearchIndex(Protocol):
    """Full-text search over a catalogue."""

    def find(self, words: str) -> Sequence[str]:
        """The ids of all agents that match every word, the most relevant first."""
        ...


class SearchIndexFactory(Protocol):
    """Builds an index for each new catalogue."""

    def __call__(self, agents: Sequence[AgentDefinition]) -> SearchIndex:
        """An index over these agents."""
        ...


class HealthProbe(Protocol):
    """Asks agents how they are."""

    async def check(self, agent_id: str, port: int) -> HealthState:
        """The agent's word within a second, or UNREACHABLE."""
        ...
