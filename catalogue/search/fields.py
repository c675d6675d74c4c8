"""The texts of an agent that the search reads, and how much each counts."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from catalogue.model import AgentDefinition
from catalogue.onet import statements_of
from catalogue.search.translation import with_english
from catalogue.search.words import words

FIELD_WEIGHTS: Mapping[str, float] = {
    "name": 5.0,
    "role": 3.0,
    "tags": 2.5,
    "category": 1.0,
    "description": 2.0,
    "focus": 1.0,
    "queries": 1.0,
    "tasks": 0.5,
    "examples": 0.5,
    "id": 0.2,
}
"""How often a word counts, by the field that it occurs in."""
_NOT_TELLING = ("tasks", "examples")
_EXAMPLE_CHARACTERS = 600
"""The beginning of an example says what is wanted; the rest is material."""


def words_of(agent: AgentDefinition) -> Mapping[str, tuple[float, float]]:
    """How much each word of the agent counts in all fields, and in those that describe it."""
    everywhere: defaultdict[str, float] = defaultdict(float)
    telling: defaultdict[str, float] = defaultdict(float)
    for name, text in _fields(agent):
        for word, count in Counter(words(text)).items():
            everywhere[word] += count * FIELD_WEIGHTS[name]
            if name not in _NOT_TELLING:
                telling[word] += count * FIELD_WEIGHTS[name]
    return {word: (weight, telling.get(word, 0.0)) for word, weight in everywhere.items()}


def parts_of(agent: AgentDefinition) -> Sequence[str]:
    """What is embedded of an agent: its description as one part, and each query, which the lint leaves out."""
    role = agent.role.replace("_", " ")
    described = f"{agent.name}. {role}. {agent.description} {' '.join(agent.tags)} {agent.focus}"
    return [described, *(with_english((query,)) for query in agent.queries)]


def _fields(agent: AgentDefinition) -> Iterator[tuple[str, str]]:
    yield "name", agent.name
    yield "role", agent.role
    yield "tags", " ".join(agent.tags)
    yield "category", agent.category
    yield "description", agent.description
    yield "focus", agent.focus
    yield "queries", with_english(agent.queries)
    yield "tasks", " ".join(statements_of(agent.tasks))
    yield "examples", " ".join(example[:_EXAMPLE_CHARACTERS] for example in agent.examples)
    yield "id", agent.agent_id
