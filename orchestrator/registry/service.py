"""Finds agents."""

from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter

from catalogue.catalogue import Catalogue, Category
from catalogue.model import AgentDefinition
from catalogue.pricing.model_names import ModelNames
from mesh.rpc.paging import LARGEST_PAGE
from orchestrator.registry.model import AgentHealth, HealthState, ListedAgent
from orchestrator.registry.ports import HealthProbe, SearchIndexFactory


class RegistryService:
    """The catalogue as it is now. `renew` replaces it whole, between two calls."""

    def __init__(self, catalogue: Catalogue, models: ModelNames, port_offset: int, index: SearchIndexFactory, probe: HealthProbe) -> None:
        self._models = models
        self._offset = port_offset
        self._index_of = index
        self._probe = probe
        self.renew(catalogue)

    def renew(self, catalogue: Catalogue) -> None:
        """Shows a new catalogue from the next call on."""
        index = self._index_of(catalogue.agents)
        self._catalogue, self._index = catalogue, index

    def get(self, agent_id: str) -> ListedAgent:
        """One agent. Raises AgentNotFound."""
        return self._listed(self._catalogue.get(agent_id))

    def list(self, category: str, search: str, limit: int, offset: int) -> tuple[Sequence[ListedAgent], int]:
        """A page of agents, by number or by relevance, and how many match in all."""
        matching = self._matching(category, search)
        page = matching[offset : offset + min(limit, LARGEST_PAGE)]
        return [self._listed(definition) for definition in page], len(matching)

    def categories(self) -> Sequence[Category]:
        """All categories, in alphabetical order."""
        return self._catalogue.categories()

    async def check_health(self, agent_id: str) -> AgentHealth:
        """How an agent is now. Raises AgentNotFound."""
        agent = self.get(agent_id)
        began = perf_counter()
        state = await self._probe.check(agent_id, agent.port)
        latency = 0.0 if state is HealthState.UNREACHABLE else perf_counter() - began
        return AgentHealth(agent_id, state, agent.port, latency, datetime.now(UTC))

    def ports(self) -> Sequence[int]:
        """The ports on which agents live, in order."""
        return sorted({agent.port(self._offset) for agent in self._catalogue.agents})

    def _matching(self, category: str, search: str) -> Sequence[AgentDefinition]:
        if search:
            found = (self._catalogue.find(agent_id) for agent_id in self._index.find(search))
            agents: Sequence[AgentDefinition] = [agent for agent in found if agent is not None]
        else:
            agents = self._catalogue.agents
        return [agent for agent in agents if agent.category == category] if category else agents

    def _listed(self, definition: AgentDefinition) -> ListedAgent:
        return ListedAgent(definition, self._models.of(definition), definition.port(self._offset))
