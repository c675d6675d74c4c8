"""Sentences as people write them, each with the agents that are right for it: `judged.tsv`, and the figures of a search over it.

Add a line for each kind of question that a new role is for. Write the sentence before you read the definitions of the role, in words that
somebody would type who does not know them. Half of the sentences are for development: look at their misses. Never look at the misses of
the other half, whose figures are reported: what is tuned to a sentence says nothing about the sentences of others.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalogue.catalogue import Catalogue

JUDGED = Path(__file__).with_name("judged.tsv")
FIRST = 5
ENGLISH = "en"


@dataclass(frozen=True)
class Judged:
    """A sentence and the numbers of the agents that are right for it; none if no agent is right."""

    language: str
    agents: frozenset[int]
    sentence: str

    @property
    def for_development(self) -> bool:
        """Whether the sentence belongs to the half that may be looked at. It depends on the sentence alone, so the set can grow."""
        return hashlib.sha256(self.sentence.encode()).digest()[0] % 2 == 0


@dataclass(frozen=True)
class Answer:
    """What a search answers: the first agents, and whether it says that none is made for the work."""

    agents: Sequence[str]
    refused: bool


@dataclass(frozen=True)
class Figures:
    """Shares of sentences. `found`: an acceptable agent is among the first five; `right_role`: an agent of the same role is."""

    sentences: int
    found: float
    right_role: float
    refused: float


def load(path: Path = JUDGED) -> Sequence[Judged]:
    """All sentences of the file."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [Judged(language, frozenset(map(int, agents.split())), sentence) for language, agents, sentence in rows]


def figures(sentences: Iterable[Judged], answers: Mapping[str, Answer], catalogue: Catalogue) -> Figures:
    """The figures of these sentences. For sentences for which no agent is right, only `refused` means something."""
    judged = list(sentences)
    right = {agent.number: agent for agent in catalogue.agents}
    found = role = refused = 0
    for each in judged:
        acceptable = {right[number].agent_id for number in each.agents}
        roles = {(right[number].category, right[number].role) for number in each.agents}
        first = [catalogue.get(agent_id) for agent_id in answers[each.sentence].agents[:FIRST]]
        found += any(agent.agent_id in acceptable for agent in first)
        role += any((agent.category, agent.role) in roles for agent in first)
        refused += answers[each.sentence].refused
    count = max(len(judged), 1)
    return Figures(len(judged), found / count, role / count, refused / count)


def groups(sentences: Sequence[Judged]) -> Mapping[str, Sequence[Judged]]:
    """The groups that have a bar of their own: English, the other languages, and sentences for which no agent is right."""
    fitting = [each for each in sentences if each.agents]
    return {
        "English": [each for each in fitting if each.language == ENGLISH],
        "German, Spanish, French": [each for each in fitting if each.language != ENGLISH],
        "no agent is right": [each for each in sentences if not each.agents],
    }
