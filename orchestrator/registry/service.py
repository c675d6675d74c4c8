"""Lists and finds agents."""

from collections.abc import Sequence

from catalogue.catalogue import Catalogue, Category
from catalogue.errors import AgentNotFound
from catalogue.model import AgentDefinition
from catalogue.pricing.model_names import ModelNames
from catalogue.search.result import Found
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.rpc.requests.paging import LARGEST_PAGE
from orchestrator.registry import listing
from orchestrator.registry.model import AgentHealth, AgentPage, AgentQuery, Facets, HealthState, ListedAgent, Recommendations
from orchestrator.registry.ports import HealthProbe, MeasuredFigures, NoFigures, SearchIndex
from orchestrator.registry.recommending import MOST_RECOMMENDATIONS, Recommender


class RegistryService:
    """The current catalogue. `renew` replaces it as a whole, between two calls.

    A process that serves no searches passes no index.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        models: ModelNames,
        port_offset: int,
        probe: HealthProbe,
        index: SearchIndex | None = None,
        recommender: Recommender | None = None,
        clock: Clock = SYSTEM_CLOCK,
        measured: MeasuredFigures | None = None,
    ) -> None:
        self._clock = clock
        self._measured = measured or NoFigures()
        self._models = models
        self._offset = port_offset
        self._probe = probe
        self._recommender = recommender
        self.renew(catalogue, index)

    def renew(self, catalogue: Catalogue, index: SearchIndex | None = None) -> None:
        """Serves a new catalogue from the next call on; `index` is the search index of its agents."""
        self._catalogue, self._index = catalogue, index
        self._all_facets = listing.facets(catalogue.agents, AgentQuery())

    def get(self, agent_id: str) -> ListedAgent:
        """One agent. Raises AgentNotFound."""
        return self._listed(self._catalogue.get(agent_id))

    def category_of(self, agent_id: str) -> str | None:
        """The category of an agent; None if the catalogue does not have it."""
        try:
            return self._catalogue.get(agent_id).category
        except AgentNotFound:
            return None

    def list(self, query: AgentQuery) -> AgentPage:
        """A page of the agents that match, with facets. At most LARGEST_PAGE agents, however many are asked for."""
        ranked, nearest = self._ranked(query.search)
        matching = listing.ordered(listing.filtered(ranked, query), query.order)
        page = matching[query.offset : query.offset + min(query.limit, LARGEST_PAGE)]
        return AgentPage(
            agents=[self._listed(definition) for definition in page],
            total=len(matching),
            facets=self._facets(ranked, query),
            nearest=[self._listed(definition) for definition in nearest],
            measured={agent.agent_id: figures for agent in (*page, *nearest) if (figures := self._measured.of(agent.agent_id))},
        )

    async def recommend(self, query: AgentQuery) -> Recommendations:
        """The best agents for the work in `query.search`, or the nearest ones if none is made for it. At most MOST_RECOMMENDATIONS."""
        if self._index is None or self._recommender is None:
            raise RuntimeError("this process recommends no agents")
        result = self._index.find(query.search)
        fits = {each.agent_id: each.fit for each in result.matches or result.nearest}
        admitted = listing.filtered([self._catalogue.get(agent_id) for agent_id in fits], query)
        best = [(self._listed(agent), fits[agent.agent_id]) for agent in admitted[: min(query.limit, MOST_RECOMMENDATIONS)]]
        return await self._recommender.recommend(query.search, best, self._catalogue)

    def categories(self) -> Sequence[Category]:
        """All categories, in alphabetical order."""
        return self._catalogue.categories()

    async def check_health(self, agent_id: str) -> AgentHealth:
        """The current health of an agent. Raises AgentNotFound."""
        agent = self.get(agent_id)
        began = self._clock.monotonic()
        state = await self._probe.check(agent_id, agent.port)
        latency = 0.0 if state is HealthState.UNREACHABLE else self._clock.monotonic() - began
        return AgentHealth(agent_id, state, agent.port, latency, self._clock.now())

    def ports(self) -> Sequence[int]:
        """The ports that serve agents, in order."""
        return sorted({agent.port(self._offset) for agent in self._catalogue.agents})

    def _ranked(self, search: str) -> tuple[Sequence[AgentDefinition], Sequence[AgentDefinition]]:
        """The agents that match a search, best first, and the nearest ones when none does."""
        if not search:
            return self._catalogue.agents, ()
        if self._index is None:
            raise RuntimeError("this process has no search index")
        result = self._index.find(search)
        return self._definitions(result.matches), self._definitions(result.nearest)

    def _definitions(self, found: Sequence[Found]) -> Sequence[AgentDefinition]:
        return [self._catalogue.get(each.agent_id) for each in found]

    def _facets(self, ranked: Sequence[AgentDefinition], query: AgentQuery) -> Facets:
        unfiltered = not (query.search or query.category or query.role or query.tags)
        return self._all_facets if unfiltered else listing.facets(ranked, query)

    def _listed(self, definition: AgentDefinition) -> ListedAgent:
        return ListedAgent(definition, self._models.of(definition), definition.port(self._offset))
