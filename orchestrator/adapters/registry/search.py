"""The registry's search index on SQLite's FTS5, in memory: built in milliseconds for each new catalogue."""

import re
import sqlite3
from collections.abc import Collection, Sequence

from catalogue.model import AgentDefinition

_COLUMNS = ("name", "role", "tags", "category", "description", "words_of_id")
_WEIGHTS = "10.0, 6.0, 5.0, 4.0, 2.0, 3.0"
"""How much a hit in each column counts: a name says more about an agent than a sentence of its description."""
_TOKENIZERS = {"word": "unicode61 remove_diacritics 2", "stem": "porter unicode61 remove_diacritics 2"}
"""A table of the words as they are and one of their stems: among stems alone, `marketi` is not the beginning of `marketing`."""
_FEW = 300
_WORD = re.compile(r"\w+")


class SqliteSearchIndex:
    """Full-text search over agents, ranked by BM25; every word is matched by its beginning and by its stem."""

    def __init__(self, agents: Sequence[AgentDefinition]) -> None:
        self._ids = [agent.agent_id for agent in agents]
        self._database = sqlite3.connect(":memory:")
        rows = list(map(_row, enumerate(agents)))
        for table, tokenizer in _TOKENIZERS.items():
            self._database.execute(f"CREATE VIRTUAL TABLE {table} USING fts5({', '.join(_COLUMNS)}, tokenize = '{tokenizer}')")
            self._database.executemany(f"INSERT INTO {table} (rowid, {', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def find(self, words: str) -> Sequence[str]:
        """The ids of all agents that match every word, the most relevant first; none for a search without a word in it."""
        terms = dict.fromkeys(_WORD.findall(words.replace("_", " ").lower()))
        scores: dict[int, float] | None = None
        for term in sorted(terms, key=len, reverse=True):  # long words are rare: the others then need not be ranked everywhere
            hits = self._hits(term, scores)
            scores = hits if scores is None else {row: scores[row] + hits[row] for row in scores.keys() & hits.keys()}
        ranked = sorted((score, row) for row, score in (scores or {}).items())
        return [self._ids[row] for _, row in ranked]

    def _hits(self, term: str, among: Collection[int] | None) -> dict[int, float]:
        """The rows that match one word, and how well: the lower the better. Others than `among` may be left out."""
        best: dict[int, float] = {}
        only = "" if among is None or len(among) > _FEW else f"AND +rowid IN ({', '.join(map(str, among))})"
        for table in _TOKENIZERS:
            query = f"SELECT rowid, bm25({table}, {_WEIGHTS}) FROM {table} WHERE {table} MATCH ? {only}"
            for row, score in self._database.execute(query, (f'"{term}"*',)):
                best[row] = min(score, best.get(row, 0.0))
        return best


def _row(numbered: tuple[int, AgentDefinition]) -> tuple[int | str, ...]:
    row, agent = numbered
    spaced, of_id = agent.role.replace("_", " "), agent.agent_id.replace("_", " ")
    return row, agent.name, spaced, " ".join(agent.tags), agent.category, agent.description, of_id
