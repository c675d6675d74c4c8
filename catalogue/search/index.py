"""The search index of a catalogue: BM25 and embeddings, fused into one score."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from catalogue.files.cache import EntryFolder
from catalogue.model import AgentDefinition
from catalogue.search.embedding import Embedding, Vector
from catalogue.search.features import features_of
from catalogue.search.fit import Request, fit, requests_out_of_reach
from catalogue.search.lexical import MOST_WORDS, LexicalIndex, Scores
from catalogue.search.result import Found, SearchResult
from catalogue.search.translation import in_english, with_english
from catalogue.search.words import search_words

Rows = NDArray[np.int64]

SEMANTIC_WEIGHT = 0.45
"""What a cosine similarity of 1 adds to a BM25 share. 0.3 to 0.6 made little difference on the development half of the judged set."""
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
WORDS_OF_A_SENTENCE = 12
"""Keywords that an agent has all of are as telling as a sentence of so many words."""


class SearchIndex:
    """Immutable: a new catalogue gets a new index.

    An agent's id finds that agent. If the search has up to KEYWORDS words and agents contain all of them, these agents match. Otherwise
    agents match that contain some of the words and score at least LEAST_SCORE, and at least LEAST_SHARE_OF_BEST of the best score.
    """

    def __init__(self, agents: Sequence[AgentDefinition], kept: EntryFolder | None = None) -> None:
        """`kept` is where what is computed of each agent may be kept between starts."""
        self._features = features = features_of(agents, kept)
        """Held so that the next index computes only those of agents that have changed."""
        self._ids = [agent.agent_id for agent in agents]
        self._rows = {agent_id: row for row, agent_id in enumerate(self._ids)}
        self._lexical = LexicalIndex([each.document for each in features])
        self._embedding = Embedding([each.tokens for each in features])
        self._out_of_reach = np.array([self._embedding.of(in_english(request)) for request in requests_out_of_reach()])

    def find(self, text: str) -> SearchResult:
        """Ranks the agents for a search in English, German, Spanish or French. A search without a word finds nothing."""
        if not self._ids:
            return SearchResult((), ())
        if (agent_id := text.strip().lower()) in self._rows:
            return SearchResult([Found(agent_id, 1.0, 1.0)], ())
        english = in_english(text)
        if not (wanted := search_words(english)):
            return SearchResult((), ())
        vector = self._embedding.of(english)
        similarity = self._embedding.vectors @ vector
        rows, score, complete = self._ranked(wanted, similarity)
        words = max(len(wanted[:MOST_WORDS]), WORDS_OF_A_SENTENCE if complete else 0)
        fits = fit(score, Request(words, float(similarity.max()), float((self._out_of_reach @ vector).max())))
        matches = self._found(rows, score, fits)
        return SearchResult(matches, () if matches else self._found(np.argsort(-score, kind="stable")[:NEAREST], score, fits))

    def first_without_query(self, agents: Sequence[AgentDefinition], most: int) -> Iterator[tuple[AgentDefinition, str, Sequence[str]]]:
        """For each query of these agents, the ids of the first agents that it finds while it is left out of the index.

        The agents are indexed with all their queries. Leaving a query out changes the text of its agent, but not how rare its words are.
        """
        queries = [(agent, query) for agent in agents for query in agent.queries]
        for batch in (queries[at : at + _BATCH] for at in range(0, len(queries), _BATCH)):
            vectors = np.array([self._embedding.of(in_english(query)) for _, query in batch])
            for (agent, query), vector, similarity in zip(batch, vectors, vectors @ self._embedding.vectors.T, strict=True):
                row = self._rows[agent.agent_id]
                similarity[row] = self._embedding.without(row, with_english((query,))) @ vector
                rows, *_ = self._ranked(search_words(in_english(query)), similarity, (row, query))
                yield agent, query, [self._ids[row] for row in rows[:most]]

    def _ranked(self, wanted: Sequence[str], similarity: Vector, left_out: tuple[int, str] | None = None) -> tuple[Rows, Scores, bool]:
        """The rows of the agents that match, best first, the scores of all agents, and whether these agents have all keywords."""
        lexical = self._lexical.match(wanted, left_out)
        score = (lexical.score + SEMANTIC_WEIGHT * similarity).round(_DECIMALS)
        complete = len(wanted) <= KEYWORDS and bool(lexical.complete.any())
        if complete:
            matching = lexical.complete
        else:
            matching = (score >= max(LEAST_SCORE, LEAST_SHARE_OF_BEST * float(score.max()))) & (lexical.score > 0)
        rows = np.flatnonzero(matching)
        return rows[np.argsort(-score[rows], kind="stable")], score, complete

    def _found(self, rows: Rows, score: Scores, fits: Scores) -> Sequence[Found]:
        return [Found(self._ids[row], float(score[row]), float(fits[row])) for row in rows]
