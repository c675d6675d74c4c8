"""The search index of a catalogue: BM25 and embeddings, fused into one score."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from catalogue.model import AgentDefinition
from catalogue.search.embedding import Embedding, Vector
from catalogue.search.lexical import LexicalIndex, Scores
from catalogue.search.result import Found, SearchResult
from catalogue.search.words import search_words

Rows = NDArray[np.int64]

SEMANTIC_WEIGHT = 0.3
"""What a cosine similarity of 1 adds to a BM25 share. 0.05 to 0.5 made little difference on the examples of the shipped agents."""
LEAST_SCORE = 0.1
"""Agents below this score do not match. All example inputs of the shipped agents score higher with some agent."""
LEAST_SHARE_OF_BEST = 0.35
"""Agents below this share of the best score do not match."""
NEAREST = 5
_BATCH = 256
_DECIMALS = 6
"""Equal agents differ beyond these by the rounding of a matrix product, and would lose the order of the catalogue."""
KEYWORDS = 3
"""Up to so many words are keywords; more are a sentence."""


class SearchIndex:
    """Immutable: a new catalogue gets a new index.

    An agent's id finds that agent. If the search has up to KEYWORDS words and agents contain all of them, these agents match. Otherwise
    agents match that contain some of the words and score at least LEAST_SCORE, and at least LEAST_SHARE_OF_BEST of the best score.
    """

    def __init__(self, agents: Sequence[AgentDefinition]) -> None:
        self._ids = [agent.agent_id for agent in agents]
        self._rows = {agent_id: row for row, agent_id in enumerate(self._ids)}
        self._lexical = LexicalIndex(agents)
        self._embedding = Embedding([_text(agent) for agent in agents])

    def find(self, text: str) -> SearchResult:
        """Ranks the agents for a search. A search without a word finds nothing."""
        if not self._ids:
            return SearchResult((), ())
        if not (wanted := search_words(text)):
            return SearchResult((), ())
        if (agent_id := text.strip().lower()) in self._rows:
            return SearchResult([Found(agent_id, 1.0)], ())
        rows, score = self._ranked(wanted, self._embedding.vectors @ self._embedding.of(text))
        matches = self._found(rows, score)
        return SearchResult(matches, () if matches else self._found(np.argsort(-score, kind="stable")[:NEAREST], score))

    def first_without_query(self, agents: Sequence[AgentDefinition], most: int) -> Iterator[tuple[AgentDefinition, str, Sequence[str]]]:
        """For each query of these agents, the ids of the first agents that it finds while it is left out of the index.

        The agents are indexed with all their queries. Leaving a query out changes the text of its agent, but not how rare its words are.
        """
        queries = [(agent, query) for agent in agents for query in agent.queries]
        for batch in (queries[at : at + _BATCH] for at in range(0, len(queries), _BATCH)):
            vectors = np.array([self._embedding.of(query) for _, query in batch])
            for (agent, query), vector, similarity in zip(batch, vectors, vectors @ self._embedding.vectors.T, strict=True):
                changed = replace(agent, queries=tuple(each for each in agent.queries if each != query))
                similarity[self._rows[agent.agent_id]] = self._embedding.of(_text(changed)) @ vector
                rows, _ = self._ranked(search_words(query), similarity, changed)
                yield agent, query, [self._ids[row] for row in rows[:most]]

    def _ranked(self, wanted: Sequence[str], similarity: Vector, changed: AgentDefinition | None = None) -> tuple[Rows, Scores]:
        """The rows of the agents that match, best first, and the scores of all agents."""
        lexical = self._lexical.match(wanted, (self._rows[changed.agent_id], changed) if changed else None)
        score = (lexical.score + SEMANTIC_WEIGHT * similarity).round(_DECIMALS)
        if len(wanted) <= KEYWORDS and lexical.complete.any():
            matching = lexical.complete
        else:
            matching = (score >= max(LEAST_SCORE, LEAST_SHARE_OF_BEST * float(score.max()))) & (lexical.score > 0)
        rows = np.flatnonzero(matching)
        return rows[np.argsort(-score[rows], kind="stable")], score

    def _found(self, rows: Rows, score: Scores) -> Sequence[Found]:
        return [Found(self._ids[row], float(score[row])) for row in rows]


def _text(agent: AgentDefinition) -> str:
    role = agent.role.replace("_", " ")
    return f"{agent.name}. {role}. {agent.description} {' '.join(agent.tags)} {agent.focus} {' '.join(agent.queries)}".rstrip()
