"""Estimates what calls would cost and how long they would take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from catalogue.model import AgentDefinition
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.documents import free_form
from mesh.errors import ServiceUnavailable, ValidationFailed
from mesh.security.caller import Caller
from orchestrator.executions.books import Books
from orchestrator.executions.ports import Typical, TypicalFigures
from orchestrator.policy.model import Action, PolicyAgent
from orchestrator.policy.service import PolicyService
from orchestrator.registry.model import Estimate as ShortEstimate
from orchestrator.registry.model import ListedAgent
from orchestrator.registry.service import RegistryService

log = structlog.get_logger()

FRESH_SECONDS = 60.0
"""How long measured figures are remembered. They are those of 30 days."""
MOST_REMEMBERED = 5_000
LEAST_SAMPLES = 20
"""Agents with fewer completed executions get a guess."""
_TOKENS_PER_WORD = 2
_TOKENS_PER_SECOND, _SECONDS_TO_FIRST_TOKEN = 60, 1.0
"""Rough figures, the same for every model."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The worst case of a call, and what is typical of its agent."""

    input_tokens: int
    worst_case_micro_usd: int
    typical: Typical


class CallEstimates:
    """Estimates calls by the prices of the books and by measured figures. For agents without figures, guesses from the definition."""

    def __init__(self, books: Books, figures: TypicalFigures, clock: Clock = SYSTEM_CLOCK) -> None:
        self._books = books
        self._figures = figures
        self._now = clock.monotonic
        self._known: dict[str, tuple[float, Typical]] = {}

    async def of_call(self, agent: ListedAgent, text: str, context: Mapping[str, Any] | None) -> Estimate:
        """Estimates one call. Raises ServiceUnavailable."""
        worst_case = self._books.price(agent, text, context, agent.definition.max_tokens)
        agent_id = agent.definition.agent_id
        typical = (await self._typical([agent_id])).get(agent_id, Typical())
        return Estimate(worst_case.usage.input_tokens, worst_case.cost_micro_usd, typical)

    async def of(self, task: str, agents: Sequence[ListedAgent]) -> Sequence[ShortEstimate]:
        """Estimates the same call to several agents; see the port of the registry."""
        try:
            figures = await self._typical([agent.definition.agent_id for agent in agents])
        except ServiceUnavailable as error:
            log.warning("estimates_without_figures", error=error.message)
            figures = {}
        return [self._short(task, agent, figures.get(agent.definition.agent_id, Typical())) for agent in agents]

    def _short(self, task: str, agent: ListedAgent, typical: Typical) -> ShortEstimate:
        definition = agent.definition
        most = self._books.price(agent, task, None, definition.max_tokens).cost_micro_usd
        if typical.samples >= LEAST_SAMPLES:
            return ShortEstimate(min(typical.micro_usd_p50, most), most, round(typical.seconds_p50, 1))
        tokens = _guessed_tokens(definition)
        seconds = round(_SECONDS_TO_FIRST_TOKEN + tokens / _TOKENS_PER_SECOND, 1)
        return ShortEstimate(self._books.price(agent, task, None, tokens).cost_micro_usd, most, seconds)

    async def _typical(self, agent_ids: Sequence[str]) -> Mapping[str, Typical]:
        now = self._now()
        missing = [agent_id for agent_id in agent_ids if self._known.get(agent_id, (0.0,))[0] <= now]
        if missing:
            found = await self._figures.of(missing)
            if len(self._known) + len(missing) > MOST_REMEMBERED:
                self._known.clear()
            self._known |= {agent_id: (now + FRESH_SECONDS, found.get(agent_id, Typical())) for agent_id in missing}
        return {agent_id: self._known[agent_id][1] for agent_id in agent_ids if agent_id in self._known}


class Estimates:
    """Estimates calls for their callers. Nothing is bought or recorded."""

    def __init__(self, registry: RegistryService, policy: PolicyService, calls: CallEstimates) -> None:
        self._registry = registry
        self._policy = policy
        self._calls = calls

    async def estimate(self, caller: Caller, agent_id: str, text: str, context: Mapping[str, Any] | None) -> Estimate:
        """Estimates a call.

        Raises AgentNotFound, PolicyDenied if the caller may not call the agent, ValidationFailed and ServiceUnavailable.
        """
        agent = self._registry.get(agent_id)
        definition = agent.definition
        await self._policy.check(caller, Action.EXECUTE, PolicyAgent(agent_id, definition.category, definition.role))
        if found := [*free_form.violations("input", text), *free_form.violations("context", context)]:
            raise ValidationFailed.all(found)
        return await self._calls.of_call(agent, text, context)


def _guessed_tokens(definition: AgentDefinition) -> int:
    """The length of a typical answer: as the definition states it, otherwise half of the longest."""
    words = definition.output.words if definition.output else None
    return min(words * _TOKENS_PER_WORD if words else definition.max_tokens // 2, definition.max_tokens)
