"""Filters, orders and counts agents for a list."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from catalogue.model import AgentDefinition
from orchestrator.registry.model import AgentOrder, AgentQuery, FacetCount, Facets

MOST_TAGS = 50
"""How many tags a facet shows."""

Admits = Callable[[AgentDefinition], bool]


def filtered(agents: Iterable[AgentDefinition], query: AgentQuery) -> Sequence[AgentDefinition]:
    """The agents that pass every filter, in the order given."""
    admits = _filters(query).values()
    return [agent for agent in agents if all(admit(agent) for admit in admits)]


def ordered(agents: Sequence[AgentDefinition], order: AgentOrder) -> Sequence[AgentDefinition]:
    """The agents in that order; they come ordered by relevance."""
    if order is AgentOrder.NAME:
        return sorted(agents, key=lambda agent: (agent.name.casefold(), agent.number))
    if order is AgentOrder.NUMBER:
        return sorted(agents, key=lambda agent: agent.number)
    return agents


def facets(agents: Sequence[AgentDefinition], query: AgentQuery) -> Facets:
    """Counts the values of each facet among the agents that pass the filters on the other facets."""
    filters = _filters(query)

    def without(facet: str) -> Iterable[AgentDefinition]:
        others = [admit for name, admit in filters.items() if name != facet]
        return (agent for agent in agents if all(admit(agent) for admit in others))

    return Facets(
        categories=_counts(agent.category for agent in without("category")),
        roles=_counts(agent.role for agent in without("role")),
        tags=_counts(tag for agent in filtered(agents, query) for tag in agent.tags)[:MOST_TAGS],
    )


def _filters(query: AgentQuery) -> dict[str, Admits]:
    filters: dict[str, Admits] = {}
    if query.category:
        filters["category"] = lambda agent: agent.category == query.category
    if query.role:
        filters["role"] = lambda agent: agent.role == query.role
    if query.tags:
        filters["tags"] = lambda agent: query.tags.issubset(agent.tags)
    return filters


def _counts(values: Iterable[str]) -> Sequence[FacetCount]:
    counted = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return [FacetCount(value, count) for value, count in counted]
