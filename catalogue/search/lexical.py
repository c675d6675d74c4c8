"""BM25 over the fields of agents, for whole, partly typed and misspelt words."""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import OSA

from catalogue.search.fields import FIELD_WEIGHTS
from catalogue.search.translation import with_english
from catalogue.search.words import STOP_WORDS, stem, words

Scores = NDArray[np.float64]
Number = TypeVar("Number", float, Scores)

_K1, _B = 1.2, 0.5
"""Saturation and length normalisation of BM25, as in Robertson and Zaragoza, 2009, chapter 3."""
_PREFIX_WEIGHT, _TYPO_WEIGHT = 0.8, 0.6
_TYPO_MIN_LENGTH, _TWO_TYPOS_MIN_LENGTH = 4, 8
_NOTHING = 1e-9
_MOST_CORRECTIONS = 3
_MOST_CORRECTED_WORDS = 8
"""Comparing a word with all that begin with the same letter takes a tenth of a millisecond."""
MOST_WORDS = 64
"""Later words of a search are ignored."""


@dataclass(frozen=True, slots=True)
class LexicalMatch:
    """How well each agent matches, in the order of the index.

    `score` is BM25 as a share of the highest score that any text could have for this search: 0 to 1. `complete` tells which agents
    contain every word, not counting tasks and examples, which may mention anything.
    """

    score: Scores
    complete: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Posting:
    """The agents that contain a term and the weight of the term in each; `idf` is the most that the term can weigh.

    `telling` are the agents that contain it in a field that describes them.
    """

    rows: NDArray[np.int64]
    weights: Scores
    telling: NDArray[np.int64]
    idf: float


@dataclass(frozen=True, slots=True)
class Document:
    """An agent's words and the weighted frequency of each of its terms."""

    words: frozenset[str]
    frequencies: Mapping[str, float]
    telling: Mapping[str, float]
    """The same frequencies without the fields that may mention anything."""
    length: float


class LexicalIndex:
    """Immutable. Building it for 1,500 agents takes a few tenths of a second of CPU."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._size = len(documents)
        self._mean_length = _mean_length(documents)
        self._postings = _postings(documents, self._mean_length)
        self._stem_of = {word: stem(word) for word in frozenset[str]().union(*(document.words for document in documents))}
        self._words = sorted(self._stem_of)

    def match(self, wanted: Sequence[str], left_out: tuple[int, str] | None = None) -> LexicalMatch:
        """Scores every agent for the words of a search. `left_out` is a row, and one of its agent's queries that does not count.

        Each word matches agents that contain it in any grammatical form. The last word, and every word of a search of up to three words,
        also matches as a prefix. A word that nothing matches is taken as misspelt: one typing error in four to seven letters, two in
        more, but none in the first letter.
        """
        wanted = wanted[:MOST_WORDS]
        total, most = np.zeros(self._size), 0.0
        complete = np.full(self._size, bool(wanted) and self._size > 0)
        corrections = _MOST_CORRECTED_WORDS
        row, remaining = (left_out[0], _without(self._documents[left_out[0]], left_out[1])) if left_out else (0, None)
        for position, word in enumerate(wanted):
            terms = [*self._terms(word, as_prefix=len(wanted) <= 3 or (position == len(wanted) - 1 and len(word) > 1))]
            idf = max((self._postings[term].idf for term, _ in terms), default=_idf(0, self._size))
            if not terms and corrections:
                corrections -= 1
                terms = [*self._corrections(word)]
            score, telling = self._score(terms)
            if remaining is not None:
                score[row] = self._score_of(remaining, terms)
                telling[row] = any(term in remaining.telling for term, _ in terms)
            total += score
            most += idf * (_K1 + 1)
            complete &= telling
        return LexicalMatch(total / most if most else total, complete)

    def _score(self, terms: Sequence[tuple[str, float]]) -> tuple[Scores, NDArray[np.bool_]]:
        """The best score of each agent among weighted terms that stand for one word, and which agents one of them describes."""
        score, telling = np.zeros(self._size), np.zeros(self._size, np.bool_)
        for term, weight in terms:
            posting = self._postings[term]
            score[posting.rows] = np.maximum(score[posting.rows], posting.weights * weight)
            telling[posting.telling] = True
        return score, telling

    def _score_of(self, document: "Document", terms: Sequence[tuple[str, float]]) -> float:
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
        alike = self._words[bisect_left(self._words, word[0]) : bisect_left(self._words, word[0] + "\U0010ffff")]
        for known, distance, _ in process.extract(word, alike, scorer=OSA.distance, score_cutoff=errors, limit=_MOST_CORRECTIONS):
            if known not in STOP_WORDS:
                yield self._stem_of[known], _TYPO_WEIGHT / max(distance, 1)


def document_of(words: Mapping[str, tuple[float, float]]) -> Document:
    """The document of an agent, from the weight of each word in all fields and in those that describe it."""
    frequencies: defaultdict[str, float] = defaultdict(float)
    telling: dict[str, float] = {}
    for word, (weight, described) in words.items():
        stemmed = stem(word)
        frequencies[stemmed] += weight
        if described:
            telling[stemmed] = telling.get(stemmed, 0.0) + described
    return Document(frozenset(words), dict(frequencies), telling, sum(frequencies.values()))


def _without(document: Document, query: str) -> Document:
    """The document of the same agent without one of its queries, as far as scores depend on it."""
    weight = FIELD_WEIGHTS["queries"]
    stems = [stem(word) for word in words(with_english((query,)))]
    removed = {term: weight * count for term, count in Counter(stems).items()}
    frequencies, telling = dict(document.frequencies), dict(document.telling)
    for left in (frequencies, telling):
        for term, frequency in removed.items():
            if left[term] - frequency < _NOTHING:
                del left[term]
            else:
                left[term] -= frequency
    return Document(document.words, frequencies, telling, document.length - weight * len(stems))


def _postings(documents: Sequence[Document], mean_length: float) -> Mapping[str, _Posting]:
    """All occurrences of all terms as three arrays, sorted by term and cut where the term changes."""
    numbers: dict[str, int] = {}
    terms = np.array([numbers.setdefault(term, len(numbers)) for document in documents for term in document.frequencies], np.int64)
    counts = [len(document.frequencies) for document in documents]
    rows = np.repeat(np.arange(len(documents)), counts)
    frequencies = np.array([each for document in documents for each in document.frequencies.values()], np.float64)
    telling = np.array([term in document.telling for document in documents for term in document.frequencies], np.bool_)
    weights = _weight(frequencies, np.repeat([document.length for document in documents], counts), mean_length)
    order = np.argsort(terms, kind="stable")
    cuts = np.searchsorted(terms[order], np.arange(len(numbers)))
    found: dict[str, _Posting] = {}
    of_terms = (np.split(each[order], cuts)[1:] for each in (rows, weights, telling))
    for term, containing, weight, tells in zip(numbers, *of_terms, strict=True):
        idf = _idf(len(containing), len(documents))
        found[term] = _Posting(containing, weight * idf, containing[tells], idf)
    return found


def _mean_length(documents: Sequence[Document]) -> float:
    return sum(document.length for document in documents) / len(documents) if documents else 1.0


def _weight(frequency: Number, length: Number, mean_length: float) -> Number:
    """The weight of a term in a document, without the rarity of the term."""
    return frequency * (_K1 + 1) / (frequency + _K1 * (1 - _B + _B * length / mean_length))


def _idf(containing: int, documents: int) -> float:
    """The inverse document frequency of BM25: the rarer a term, the more it says."""
    return math.log(1 + (documents - containing + 0.5) / (containing + 0.5))
