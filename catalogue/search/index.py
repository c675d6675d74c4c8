"""The search index of a catalogue: BM25 and embeddings, fused into one score."""

from collections.abc import Sequence

import numpy as np

from catalogue.model import AgentDefinition
from catalogue.search.embedding import Embedding
from catalogue.search.lexical import LexicalIndex, Scores
from catalogue.search.result import Found, SearchResult
from catalogue.search.words import search_words

SEMANTIC_WEIGHT = 0.3
"""What a cosine similarity of 1 adds to a BM25 share. 0.05 to 0.5 made little difference on the examples of the shipped agents."""
LEAST_SCORE = 0.1
"""Agents below this score do not match. All example inputs of the shipped agents score higher with some agent."""
LEAST_SHARE_OF_BEST = 0.35
"""Agents below this share of the best score do not match."""
NEAREST = 5
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
        self._known = frozenset(self._ids)
        self._lexical = LexicalIndex(agents)
        self._embedding = Embedding([_text(agent) for agent in agents])

    def find(self, text: str) -> SearchResult:
        """Ranks the agents for a search. A search without a word finds nothing."""
        if not self._ids:
            return SearchResult((), ())
        if not (wanted := search_words(text)):
            return SearchResult((), ())
        if (agent_id := text.strip().lower()) in self._known:
            return SearchResult([Found(agent_id, 1.0)], ())
        lexical = self._lexical.match(wanted)
        similarity = self._embedding.vectors @ self._embedding.of(text)
        score = (lexical.score + SEMANTIC_WEIGHT * similarity).round(_DECIMALS)
        if len(wanted) <= KEYWORDS and lexical.complete.any():
            matching = lexical.complete
        else:
            matching = (score >= max(LEAST_SCORE, LEAST_SHARE_OF_BEST * float(score.max()))) & (lexical.score > 0)
        order = np.argsort(-score, kind="stable")
        matches = self._found(order[matching[order]], score)
        return SearchResult(matches, () if matches else self._found(order[:NEAREST], score))

    def _found(self, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]", score: Scores) -> Sequence[Found]:
        return [Found(self._ids[row], float(score[row])) for row in rows]


def _text(agent: AgentDefinition) -> str:
    role = agent.role.replace("_", " ")
    return f"{agent.name}. {role}. {agent.description} {' '.join(agent.tags)} {agent.focus} {' '.join(agent.queries)}".rstrip()
