"""BM25 over the fields of agents, for whole, partly typed and misspelt words."""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import OSA

from catalogue.model import AgentDefinition
from catalogue.search.words import STOP_WORDS, stem, words

Scores = NDArray[np.float64]

FIELD_WEIGHTS: Mapping[str, float] = {
    "name": 5.0,
    "role": 3.0,
    "tags": 2.5,
    "category": 1.0,
    "description": 2.0,
    "focus": 1.0,
    "queries": 1.0,
    "id": 0.2,
}
"""How often a word counts, by the field that it occurs in."""
_K1, _B = 1.2, 0.5
"""Saturation and length normalisation of BM25, as in Robertson and Zaragoza, 2009, chapter 3."""
_PREFIX_WEIGHT, _TYPO_WEIGHT = 0.8, 0.6
_TYPO_MIN_LENGTH, _TWO_TYPOS_MIN_LENGTH = 4, 8
_MOST_CORRECTIONS = 3
_MOST_CORRECTED_WORDS = 8
"""Comparing a word with the whole vocabulary takes about half a millisecond."""
MOST_WORDS = 64
"""Later words of a search are ignored."""


@dataclass(frozen=True, slots=True)
class LexicalMatch:
    """How well each agent matches, in the order of the index.

    `score` is BM25 as a share of the highest score that any text could have for this search: 0 to 1. `complete` tells which agents
    contain every word.
    """

    score: Scores
    complete: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Posting:
    """The agents that contain a term and the weight of the term in each; `idf` is the most that the term can weigh."""

    rows: NDArray[np.int64]
    weights: Scores
    idf: float


class LexicalIndex:
    """Immutable. Building it for 1,500 agents takes a few tenths of a second of CPU."""

    def __init__(self, agents: Sequence[AgentDefinition]) -> None:
        documents = [_document(agent) for agent in agents]
        self._size = len(documents)
        self._mean_length = _mean_length(documents)
        self._postings = _postings(documents, self._mean_length)
        self._stem_of = {word: stem(word) for word in frozenset[str]().union(*(document.words for document in documents))}
        self._words = sorted(self._stem_of)

    def match(self, wanted: Sequence[str], changed: tuple[int, AgentDefinition] | None = None) -> LexicalMatch:
        """Scores every agent for the words of a search. `changed` is scored instead of the agent in its row.

        Each word matches agents that contain it in any grammatical form. The last word, and every word of a search of up to three words,
        also matches as a prefix. A word that nothing matches is taken as misspelt: one typing error in four to seven letters, two in more.
        """
        wanted = wanted[:MOST_WORDS]
        total, most = np.zeros(self._size), 0.0
        complete = np.full(self._size, bool(wanted) and self._size > 0)
        corrections = _MOST_CORRECTED_WORDS
        row, document = (changed[0], _document(changed[1])) if changed else (0, None)
        for position, word in enumerate(wanted):
            terms = [*self._terms(word, as_prefix=len(wanted) <= 3 or (position == len(wanted) - 1 and len(word) > 1))]
            idf = max((self._postings[term].idf for term, _ in terms), default=_idf(0, self._size))
            if not terms and corrections:
                corrections -= 1
                terms = [*self._corrections(word)]
            score = self._score(terms)
            if document is not None:
                score[row] = self._score_of(document, terms)
            total += score
            most += idf * (_K1 + 1)
            complete &= score > 0
        return LexicalMatch(total / most if most else total, complete)

    def _score(self, terms: Sequence[tuple[str, float]]) -> Scores:
        """The best score of each agent among weighted terms that stand for one word."""
        score = np.zeros(self._size)
        for term, weight in terms:
            posting = self._postings[term]
            score[posting.rows] = np.maximum(score[posting.rows], posting.weights * weight)
        return score

    def _score_of(self, document: "_Document", terms: Sequence[tuple[str, float]]) -> float:
        """The same score for a document that is not indexed. A term is as rare as it is in the index."""
        scores = [
            _weight(document.frequencies[term], document.length, self._mean_length) * self._postings[term].idf * weight
            for term, weight in terms
            if term in document.frequencies
        ]
        return max(scores, default=0.0)

    def _terms(self, word: str, *, as_prefix: bool) -> Iterator[tuple[str, float]]:
        if (whole := stem(word)) in self._postings:
            yield whole, 1.0
        if as_prefix:
            longer = self._words[bisect_left(self._words, word) : bisect_left(self._words, word + "\U0010ffff")]
            for term in {self._stem_of[each] for each in longer} - {whole}:
                yield term, _PREFIX_WEIGHT

    def _corrections(self, word: str) -> Iterator[tuple[str, float]]:
        if len(word) < _TYPO_MIN_LENGTH:
            return
        errors = 2 if len(word) >= _TWO_TYPOS_MIN_LENGTH else 1
        for known, distance, _ in process.extract(word, self._words, scorer=OSA.distance, score_cutoff=errors, limit=_MOST_CORRECTIONS):
            if known not in STOP_WORDS:
                yield self._stem_of[known], _TYPO_WEIGHT / max(distance, 1)


def _fields(agent: AgentDefinition) -> Iterator[tuple[str, str]]:
    yield "name", agent.name
    yield "role", agent.role
    yield "tags", " ".join(agent.tags)
    yield "category", agent.category
    yield "description", agent.description
    yield "focus", agent.focus
    yield "queries", " ".join(agent.queries)
    yield "id", agent.agent_id


@dataclass(frozen=True, slots=True)
class _Document:
    """An agent's words and the weighted frequency of each of its terms."""

    words: frozenset[str]
    frequencies: Mapping[str, float]
    length: float


@lru_cache(maxsize=4096)
def _document(agent: AgentDefinition) -> _Document:
    """Remembered, so that a changed catalogue only pays for the agents that changed."""
    seen: set[str] = set()
    frequencies: defaultdict[str, float] = defaultdict(float)
    for name, text in _fields(agent):
        found = words(text)
        seen.update(found)
        for word in found:
            frequencies[stem(word)] += FIELD_WEIGHTS[name]
    return _Document(frozenset(seen), dict(frequencies), sum(frequencies.values()))


def _postings(documents: Sequence[_Document], mean_length: float) -> Mapping[str, _Posting]:
    rows: defaultdict[str, list[int]] = defaultdict(list)
    weights: defaultdict[str, list[float]] = defaultdict(list)
    for row, document in enumerate(documents):
        for term, frequency in document.frequencies.items():
            rows[term].append(row)
            weights[term].append(_weight(frequency, document.length, mean_length))
    idf = {term: _idf(len(containing), len(documents)) for term, containing in rows.items()}
    return {term: _Posting(np.array(rows[term]), np.array(weights[term]) * idf[term], idf[term]) for term in rows}


def _mean_length(documents: Sequence[_Document]) -> float:
    return sum(document.length for document in documents) / len(documents) if documents else 1.0


def _weight(frequency: float, length: float, mean_length: float) -> float:
    """The weight of a term in a document, without the rarity of the term."""
    return frequency * (_K1 + 1) / (frequency + _K1 * (1 - _B + _B * length / mean_length))


def _idf(containing: int, documents: int) -> float:
    """The inverse document frequency of BM25: the rarer a term, the more it says."""
    return math.log(1 + (documents - containing + 0.5) / (containing + 0.5))
