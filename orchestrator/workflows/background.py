"""Starts background executions: runs of one step, without a workflow."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from catalogue.errors import AgentNotFound
from mesh.documents import free_form
from mesh.errors import ValidationFailed
from mesh.security.caller import Caller
from orchestrator.executions.books import new_id
from orchestrator.idempotency.model import Claim, Operation, OriginalRequest
from orchestrator.idempotency.model import claim as claim_of
from orchestrator.policy.model import Action, PolicyAgent
from orchestrator.policy.service import PolicyService
from orchestrator.registry.service import RegistryService
from orchestrator.workflows.errors import RunNotFound
from orchestrator.workflows.model import NewRun, OnIncomplete, Retry, Run, Task, View
from orchestrator.workflows.ports import RunStore, WorkflowStore

STEP = "agent"
"""The id of the only step of a background execution."""


@dataclass(frozen=True, slots=True)
class AgentWork:
    """What a caller wants an agent to do in the background. An empty `idempotency_key` means none."""

    agent_id: str
    input: str
    context: Mapping[str, Any] | None = None
    retry: Retry = field(default_factory=Retry)
    timeout_seconds: int = 120
    idempotency_key: str = ""


class BackgroundExecutions:
    """Starts background executions. From then on they are runs like any other."""

    def __init__(self, registry: RegistryService, policy: PolicyService, runs: RunStore, workflows: WorkflowStore) -> None:
        self._registry = registry
        self._policy = policy
        self._runs = runs
        self._workflows = workflows

    async def start(self, caller: Caller, work: AgentWork, request_id: str) -> Run:
        """Starts a run, or returns the one that the same request started before.

        Raises AgentNotFound, PolicyDenied, ValidationFailed, IdempotencyConflict, ServiceUnavailable, and RunNotFound if the run that the
        same request started has been deleted.
        """
        claim = claim_of(caller.user_id, Operation.START_AGENT, work.idempotency_key, _body(work))
        started: Run | OriginalRequest
        try:
            definition = self._registry.get(work.agent_id).definition
        except AgentNotFound:
            original = await self._workflows.original(claim) if claim else None
            if original is None:
                raise
            started = original  # started before the agent was removed from the catalogue
        else:
            await self._policy.check(caller, Action.EXECUTE, PolicyAgent(work.agent_id, definition.category, definition.role))
            _check(work)
            started = await self._runs.start(_run(caller, work, request_id), claim)
        return started if isinstance(started, Run) else await self._earlier(caller, started, claim)

    async def _earlier(self, caller: Caller, original: OriginalRequest, claim: Claim | None) -> Run:
        assert claim is not None  # only a claim can match an earlier request
        original.check(claim)
        run = await self._runs.get(caller.user_id, original.resource_id, View.BASIC)
        if run is None:
            message = "the run that was started with this idempotency key has been deleted; use a new key to start another"
            raise RunNotFound(message, run_id=str(original.resource_id))
        return run


def _run(caller: Caller, work: AgentWork, request_id: str) -> NewRun:
    task = Task(
        STEP,
        work.agent_id,
        work.input,
        work.context,
        retry=work.retry,
        timeout_seconds=work.timeout_seconds,
        on_incomplete=OnIncomplete.USE,
    )
    return NewRun(new_id(), None, caller.user_id, caller.username, caller.role.value, request_id, [task], caller.api_key_id)


def _check(work: AgentWork) -> None:
    found = [*free_form.violations("input", work.input), *free_form.violations("context", work.context)]
    if found:
        raise ValidationFailed.all(found)


def _body(work: AgentWork) -> list[Any]:
    return [work.agent_id, work.input, work.context, asdict(work.retry), work.timeout_seconds]
