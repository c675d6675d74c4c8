"""Scores, reasons and estimates of recommended agents."""

import math
from collections.abc import Sequence

from catalogue.catalogue import Catalogue
from catalogue.model import AgentDefinition, Border
from catalogue.onet import Tasks
from catalogue.pricing.prices import PriceBook
from catalogue.pricing.tokens import estimate_tokens
from catalogue.prompt import message_tokens, system_prompt
from catalogue.search.lexical import MOST_WORDS
from catalogue.search.words import search_words, stem
from mesh.clock import SYSTEM_CLOCK, Clock
from orchestrator.registry.model import Estimate, ListedAgent, Recommendation, Recommendations

DEFAULT_RECOMMENDATIONS = 5
MOST_RECOMMENDATIONS = 20
LEAST_FITTING = 0.2
"""If the best agent's score is below, no agent is made for the work.

Of the shipped marketing agents' examples, 0.5 % score lower, of their queries (each left out of the index) 9 %, and of 400 O*NET tasks of
unrelated occupations 66 %.
"""
_SLOPE, _SLOPE_OF_WORDS, _INTERCEPT = 21.31, 2.34, -11.08
"""A logistic regression on these sentences, both kinds with the same weight. A longer text matches each agent less, even its own."""
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
        """Recommendations of agents that a search found, with their scores there, best first."""
        words = search_words(task)[:MOST_WORDS]
        stems = frozenset(map(stem, words))
        scores = [fit(score, len(words)) for _, score in best]
        items = [self._recommendation(task, stems, agent, score, catalogue) for (agent, _), score in zip(best, scores, strict=True)]
        return Recommendations(items, no_fit=not scores or scores[0] < LEAST_FITTING)

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


def fit(search_score: float, words: int) -> float:
    """How likely an agent with this search score is made for work that is described with so many different words: 0 to 1."""
    return 1 / (1 + math.exp(-(_SLOPE * search_score + _SLOPE_OF_WORDS * math.log1p(words) + _INTERCEPT)))


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
