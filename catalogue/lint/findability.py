"""Whether an agent is found by its own queries."""

from collections.abc import Iterator, Sequence

from catalogue.catalogue import Problem
from catalogue.lint.sources import SourceFile
from catalogue.search.index import SearchIndex

FIRST = 5


def not_found(sources: Sequence[SourceFile]) -> Iterator[Problem]:
    """Queries that do not find their agent among the first five while the query itself is left out of the index."""
    places = {agent.agent_id: (source, path) for source in sources for agent, path, _ in source.members()}
    agents = [agent for source in sources for agent in source.agents]
    for agent, query, first in SearchIndex(agents).first_without_query(agents, FIRST):
        if agent.agent_id not in first:
            source, path = places[agent.agent_id]
            found = f"it finds {', '.join(first)}" if first else "it finds nothing"
            message = f"does not find this agent among the first {FIRST} without being indexed: {found}; reword it, or sharpen the border"
            yield source.problem((*path, "queries", agent.queries.index(query)), message)
