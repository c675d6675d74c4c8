"""The registry's search index on SQLite's FTS5, in memory: built in milliseconds for each new catalogue."""

import re
import sqlite3
from collections.abc import Sequence

from definitions.model import AgentDefinition

_COLUMNS = ("name", "role", "tags", "category", "description", "words_of_id")
_WEIGHTS = (10.0, 6.0, 5.0, 4.0, 2.0, 3.0)
"""How much a hit in each column counts: a name says more about an agent than a sentence of its description."""
_WORD = re.compile(r"\w+")


class SqliteSearchIndex:
    """Full-text search over agents, ranked by BM25; every word is matched by its beginning and by its stem."""

    def __init__(self, agents: Sequence[AgentDefinition]) -> None:
        self._database = sqlite3.connect(":memory:")
        columns = ", ".join(_COLUMNS)
        self._database.execute(
            f"CREATE VIRTUAL TABLE agent USING fts5(agent_id UNINDEXED, {columns}, tokenize = 'porter unicode61 remove_diacritics 2')"
        )
        self._database.executemany("INSERT INTO agent VALUES (?, ?, ?, ?, ?, ?, ?)", map(_row, agents))

    def find(self, words: str) -> Sequence[str]:
        """The ids of all agents that match every word, the most relevant first; none for a search without a word in it."""
        terms = _WORD.findall(words.replace("_", " "))
        if not terms:
            return []
        query = " ".join(f'"{term}"*' for term in terms)
        weights = ", ".join(map(str, (0.0, *_WEIGHTS)))
        rows = self._database.execute(f"SELECT agent_id FROM agent WHERE agent MATCH ? ORDER BY bm25(agent, {weights}), rowid", (query,))
        return [agent_id for (agent_id,) in rows]


def _row(agent: AgentDefinition) -> tuple[str, ...]:
    spaced = agent.role.replace("_", " ")
    return agent.agent_id, agent.name, spaced, " ".join(agent.tags), agent.category, agent.description, agent.agent_id.replace("_", " ")
