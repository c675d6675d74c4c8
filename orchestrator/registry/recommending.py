"""Scores, reasons and estimates of recommended agents."""

from collections.abc import Sequence

from catalogue.catalogue import Catalogue
from catalogue.model import AgentDefinition, Border
from catalogue.onet import Tasks
from catalogue.search.fit import LEAST_FITTING
from catalogue.search.lexical import MOST_WORDS
from catalogue.search.translation import in_english
from catalogue.search.words import search_words, stem
from orchestrator.registry.model import Estimate, ListedAgent, Recommendation, Recommendations
from orchestrator.registry.ports import CallEstimates

DEFAULT_RECOMMENDATIONS = 5
MOST_RECOMMENDATIONS = 20
_MATCHING_TASKS = 2


class Recommender:
    """Describes why agents fit a piece of work, and what a call would cost. `tasks` are the statements that definitions cite."""

    def __init__(self, estimates: CallEstimates, tasks: Tasks) -> None:
        self._estimates = estimates
        self._tasks = tasks

    async def recommend(self, task: str, best: Sequence[tuple[ListedAgent, float]], catalogue: Catalogue) -> Recommendations:
        """Recommendations of agents that a search found, with how well they fit, best first."""
        stems = frozenset(map(stem, search_words(in_english(task))[:MOST_WORDS]))
        estimates = await self._estimates.of(task, [agent for agent, _ in best])
        items = [
            self._recommendation(stems, agent, fit, estimate, catalogue) for (agent, fit), estimate in zip(best, estimates, strict=True)
        ]
        return Recommendations(items, no_fit=not best or best[0][1] < LEAST_FITTING)

    def _recommendation(
        self, stems: frozenset[str], agent: ListedAgent, score: float, estimate: Estimate, catalogue: Catalogue
    ) -> Recommendation:
        definition = agent.definition
        statements = [self._tasks[each][1] for each in definition.tasks if each in self._tasks]
        matching = _best_matches(stems, statements)
        reason = f"{_what_matches(stems, definition, matching)}{_what_others_do(stems, definition, catalogue)}."
        return Recommendation(agent, score, reason, matching, estimate)


def _best_matches(stems: frozenset[str], statements: Sequence[str]) -> Sequence[str]:
    """The statements that share most words with the work, if they share any."""
    shared = {statement: len(_shared(stems, statement)) for statement in statements}
    ranked = sorted((statement for statement in shared if shared[statement]), key=lambda statement: -shared[statement])
    return ranked[:_MATCHING_TASKS]


def _shared(stems: frozenset[str], text: str) -> Sequence[str]:
    """The words of a text that the work has too, in any grammatical form."""
    return [word for word in search_words(text) if stem(word) in stems]


def _what_matches(stems: frozenset[str], definition: AgentDefinition, matching: Sequence[str]) -> str:
    if matching:
        tasks = " and ".join(f"“{statement.rstrip('.')}”" for statement in matching)
        return f"One of its tasks is {tasks}" if len(matching) == 1 else f"Two of its tasks are {tasks}"
    text = f"{definition.name} {' '.join(definition.tags)} {definition.description}"
    if shared := _shared(stems, text):
        return f"Its name, tags or description have the words {', '.join(shared[:5])}"
    return "Its description is close in meaning, but has no word of the request"


def _what_others_do(stems: frozenset[str], definition: AgentDefinition, catalogue: Catalogue) -> str:
    """The border that is closest to the work: who does what this agent does not."""
    closest: Border | None = max(definition.not_for, key=lambda border: len(_shared(stems, border.need)), default=None)
    other = catalogue.find(closest.agent_id) if closest else None
    if closest is None or other is None:
        return ""
    return f"; for “{closest.need.rstrip('.')}”, take {other.name} ({other.agent_id}) instead"
