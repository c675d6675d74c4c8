"""Scores, reasons and estimates of recommended agents."""

from collections.abc import Sequence

from catalogue.catalogue import Catalogue
from catalogue.model import AgentDefinition, Border
from catalogue.onet import Tasks
from catalogue.pricing.prices import PriceBook
from catalogue.pricing.tokens import estimate_tokens
from catalogue.prompt import message_tokens, system_prompt
from catalogue.search.fit import LEAST_FITTING
from catalogue.search.lexical import MOST_WORDS
from catalogue.search.translation import in_english
from catalogue.search.words import search_words, stem
from mesh.clock import SYSTEM_CLOCK, Clock
from orchestrator.registry.model import Estimate, ListedAgent, Recommendation, Recommendations

DEFAULT_RECOMMENDATIONS = 5
MOST_RECOMMENDATIONS = 20
_MATCHING_TASKS = 2
_TOKENS_PER_WORD = 2
_TOKENS_PER_SECOND, _SECONDS_TO_FIRST_TOKEN = 60, 1.0
"""Rough figures, the same for every model."""


class Recommender:
    """Describes why agents fit a piece of work, and what a call would cost. `tasks` are the statements that definitions cite."""

    def __init__(self, prices: PriceBook, tasks: Tasks, clock: Clock = SYSTEM_CLOCK) -> None:
        self._prices = prices
        self._tasks = tasks
        self._clock = clock

    def recommend(self, task: str, best: Sequence[tuple[ListedAgent, float]], catalogue: Catalogue) -> Recommendations:
        """Recommendations of agents that a search found, with how well they fit, best first."""
        stems = frozenset(map(stem, search_words(in_english(task))[:MOST_WORDS]))
        items = [self._recommendation(task, stems, agent, fit, catalogue) for agent, fit in best]
        return Recommendations(items, no_fit=not best or best[0][1] < LEAST_FITTING)

    def _recommendation(self, task: str, stems: frozenset[str], agent: ListedAgent, score: float, catalogue: Catalogue) -> Recommendation:
        definition = agent.definition
        statements = [self._tasks[each][1] for each in definition.tasks if each in self._tasks]
        matching = _best_matches(stems, statements)
        reason = f"{_what_matches(stems, definition, matching)}{_what_others_do(stems, definition, catalogue)}."
        return Recommendation(agent, score, reason, matching, self._estimate(task, agent))

    def _estimate(self, task: str, agent: ListedAgent) -> Estimate:
        definition = agent.definition
        words = definition.output.words if definition.output else None
        typical = min(words * _TOKENS_PER_WORD if words else definition.max_tokens // 2, definition.max_tokens)
        prompt = estimate_tokens(system_prompt(definition)) + message_tokens(task, None)
        table = self._prices.table(self._clock.now().date())
        return Estimate(
            cost_micro_usd=table.cost_micro_usd(agent.model, prompt, typical),
            max_cost_micro_usd=table.cost_micro_usd(agent.model, prompt, definition.max_tokens),
            seconds=round(_SECONDS_TO_FIRST_TOKEN + typical / _TOKENS_PER_SECOND, 1),
        )


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
