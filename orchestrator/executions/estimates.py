"""Estimates what a call would cost and how long it would take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.documents import free_form
from mesh.errors import ValidationFailed
from mesh.security.caller import Caller
from orchestrator.executions.books import Books
from orchestrator.executions.model import Work
from orchestrator.executions.ports import Typical, TypicalFigures
from orchestrator.policy.model import Action, PolicyAgent
from orchestrator.policy.service import PolicyService
from orchestrator.registry.service import RegistryService


@dataclass(frozen=True, slots=True)
class Estimate:
    """The worst case of a call, and what is typical of its agent."""

    input_tokens: int
    worst_case_micro_usd: int
    typical: Typical


class Estimates:
    """Estimates calls. Nothing is bought or recorded."""

    def __init__(self, registry: RegistryService, policy: PolicyService, books: Books, typical: TypicalFigures) -> None:
        self._registry = registry
        self._policy = policy
        self._books = books
        self._typical = typical

    async def estimate(self, caller: Caller, agent_id: str, text: str, context: Mapping[str, Any] | None) -> Estimate:
        """Estimates a call.

        Raises AgentNotFound, PolicyDenied if the caller may not call the agent, ValidationFailed and ServiceUnavailable.
        """
        agent = self._registry.get(agent_id)
        definition = agent.definition
        await self._policy.check(caller, Action.EXECUTE, PolicyAgent(agent_id, definition.category, definition.role))
        if found := [*free_form.violations("input", text), *free_form.violations("context", context)]:
            raise ValidationFailed.all(found)
        work = Work(caller.user_id, agent_id, text, context, request_id="")
        worst_case = self._books.intent(work, agent, streamed=False).worst_case
        typical = await self._typical.of(agent_id)
        return Estimate(worst_case.usage.input_tokens, worst_case.cost_micro_usd, typical)
