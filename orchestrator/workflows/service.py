"""Makes workflows, runs them, and shows what became of them."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from catalogue.errors import AgentNotFound
from mesh import free_form
from mesh.errors import ValidationFailed, Violation
from mesh.rpc.paging import LARGEST_PAGE
from mesh.security.caller import Caller
from orchestrator.executions.books import new_id
from orchestrator.executions.model import Execution, Failure, StepRef
from orchestrator.executions.ports import ExecutionStore
from orchestrator.idempotency.model import Claim, Operation, OriginalRequest
from orchestrator.idempotency.model import claim as claim_of
from orchestrator.policy.errors import PolicyDenied
from orchestrator.policy.service import UNAVAILABLE
from orchestrator.registry.service import RegistryService
from orchestrator.workflows import graph, templates
from orchestrator.workflows.authority import RunAuthority
from orchestrator.workflows.errors import RunNotFound, StepNotFound, WorkflowNotFound
from orchestrator.workflows.model import (
    Change,
    Decision,
    NewRun,
    NewWorkflow,
    OnIncomplete,
    Run,
    RunPage,
    RunQuery,
    StepDetails,
    Task,
    View,
    Workflow,
    WorkflowPage,
    WorkflowQuery,
)
from orchestrator.workflows.ports import RunStore, WorkflowStore
from orchestrator.workflows.watch import Ended, Heartbeat, RunWatch


@dataclass(frozen=True, slots=True)
class Draft:
    """A workflow as a user describes it; `idempotency_key` is empty for none."""

    name: str
    tasks: Sequence[Task]
    idempotency_key: str = ""


Administered = Callable[[Caller, str, int], None]
"""Records what a caller did to an object, and whose it is; for the audit log."""


def _ignore(caller: Caller, what: str, owner_id: int) -> None: ...


class WorkflowService:
    """Workflows and runs, those of the caller alone; an admin sees everybody's."""

    def __init__(
        self,
        registry: RegistryService,
        authority: RunAuthority,
        workflows: WorkflowStore,
        runs: RunStore,
        executions: ExecutionStore,
        watch: RunWatch,
        administered: Administered = _ignore,
    ) -> None:
        self._registry = registry
        self._authority = authority
        self._administered = administered
        self._workflows = workflows
        self._runs = runs
        self._executions = executions
        self._watch = watch

    async def create(self, caller: Caller, draft: Draft) -> Workflow:
        """Makes a workflow, or answers the one that the same request made before.

        Raises ValidationFailed with everything that is wrong with it, and IdempotencyConflict.
        """
        claim = claim_of(
            caller.user_id, Operation.CREATE_WORKFLOW, draft.idempotency_key, [draft.name, [_body(task) for task in draft.tasks]]
        )
        made: Workflow | OriginalRequest
        if found := [*_bad_values(draft), *graph.violations(draft.tasks, self._exists)]:
            made = await self._made_before(claim, found)
        else:
            made = await self._workflows.create(NewWorkflow(new_id(), caller.user_id, draft.name, draft.tasks), claim)
        if isinstance(made, Workflow):
            return made
        earlier = await self._workflows.get(caller.user_id, _repeated(made, claim), View.BASIC)
        if earlier is None:
            message = "the workflow that was made with this idempotency key has been deleted; use a new key to make another"
            raise WorkflowNotFound(message, workflow_id=str(made.resource_id))
        return earlier

    async def list(self, query: WorkflowQuery) -> WorkflowPage:
        """A page of workflows, newest first, at most 200."""
        return await self._workflows.list(replace(query, page_size=min(query.page_size, LARGEST_PAGE)))

    async def get(self, caller: Caller, workflow_id: UUID, view: View = View.FITTING) -> Workflow:
        """One workflow. Raises WorkflowNotFound and ResultsTooLarge."""
        workflow = await self._workflows.get(caller.sees, workflow_id, view)
        if workflow is None:
            raise _no_workflow(workflow_id)
        return workflow

    async def delete(self, caller: Caller, workflow_id: UUID) -> None:
        """Deletes a workflow with its runs. Raises WorkflowNotFound, and WorkflowAlreadyRunning while one is active."""
        owner_id = (await self.get(caller, workflow_id)).user_id if caller.sees is None else caller.user_id
        if not await self._workflows.delete(caller.sees, workflow_id):
            raise _no_workflow(workflow_id)
        self._administered(caller, f"delete workflow:{workflow_id}", owner_id)

    async def execute(self, caller: Caller, workflow_id: UUID, request_id: str, idempotency_key: str) -> Run:
        """Starts a run, or answers the one that the same request started before.

        Steps are bought in the caller's name, so that nobody but its owner runs a workflow. Raises WorkflowNotFound,
        WorkflowAlreadyRunning, IdempotencyConflict, and ValidationFailed when an agent has left the catalogue.
        """
        workflow = await self.get(caller, workflow_id, View.BASIC)
        if workflow.user_id != caller.user_id:
            message = f"Workflow '{workflow_id}' is another user's; nobody but its owner can run it"
            raise WorkflowNotFound(message, workflow_id=str(workflow_id))
        claim = claim_of(caller.user_id, Operation.EXECUTE_WORKFLOW, idempotency_key, str(workflow_id))
        started: Run | OriginalRequest
        if gone := graph.violations(workflow.tasks, self._exists):
            started = await self._made_before(claim, gone)
        else:
            before = graph.predecessors(workflow.tasks)
            tasks = [replace(task, depends_on=before[task.id]) for task in workflow.tasks]
            run = NewRun(new_id(), workflow_id, caller.user_id, caller.username, caller.role.value, request_id, tasks, caller.api_key_id)
            started = await self._runs.start(run, claim)
        return started if isinstance(started, Run) else await self.run(caller, _repeated(started, claim), View.BASIC)

    async def cancel(self, caller: Caller, workflow_id: UUID) -> Run:
        """Asks to cancel the active run. Raises WorkflowNotFound and WorkflowNotRunning."""
        run = await self._runs.cancel(caller.sees, workflow_id)
        self._administered(caller, f"cancel run:{run.run_id}", run.user_id)
        return run

    async def cancel_run(self, caller: Caller, run_id: UUID) -> Run:
        """Asks to cancel a run. Raises RunNotFound and RunNotActive."""
        run = await self._runs.cancel_run(caller.sees, run_id)
        self._administered(caller, f"cancel run:{run_id}", run.user_id)
        return run

    async def runs(self, caller: Caller, query: RunQuery) -> RunPage:
        """A page of runs, newest first, at most 200. Raises WorkflowNotFound for a workflow that is not there."""
        if query.workflow_id is not None:
            await self.get(caller, query.workflow_id, View.BASIC)
        return await self._runs.list(replace(query, page_size=min(query.page_size, LARGEST_PAGE)))

    async def run(self, caller: Caller, run_id: UUID, view: View = View.FITTING) -> Run:
        """One run with its steps. Raises RunNotFound and ResultsTooLarge."""
        run = await self._runs.get(caller.sees, run_id, view)
        if run is None:
            raise RunNotFound(f"Run '{run_id}' not found; GET /api/v1/runs lists yours", run_id=str(run_id))
        return run

    async def step(self, caller: Caller, run_id: UUID, task_id: str) -> tuple[StepDetails, str, Sequence[Execution]]:
        """A step, what its agent is sent ("" while earlier steps are not completed), and the executions of its attempts, oldest first.

        Raises RunNotFound and StepNotFound.
        """
        details = await self._runs.step(caller.sees, run_id, task_id)
        if details is None:
            message = f"run '{run_id}' has no step '{task_id}'; GET /api/v1/runs/{run_id}?view=VIEW_BASIC lists its steps"
            raise StepNotFound(message, run_id=str(run_id), step_id=task_id)
        return details, _sent(details), await self._executions.of_step(StepRef(run_id, task_id))

    async def watch(self, caller: Caller, run_id: UUID, after: int) -> tuple[Run, AsyncIterator[Change | Heartbeat | Ended]]:
        """A run, and its changes after one of them: each once and in order, until it is final; Heartbeat whenever none comes for 15 s.

        Raises RunNotFound and ValidationFailed for a change that has not been; the changes ServiceUnavailable when this process stops.
        """
        run = await self.run(caller, run_id, View.BASIC)
        if after > run.sequence:
            raise ValidationFailed.of("after_sequence", f"the latest change of this run is {run.sequence}; go on after one that was seen")
        return run, self._watch.changes(run, after)

    async def decide(self, caller: Caller, run_id: UUID, task_id: str, decision: Decision, reason: str) -> Run:
        """Answers the question that a step waits with. Raises RunNotFound and ApprovalNotPending.

        A step that is approved although its run's user may not have its agent work any more fails with POLICY_DENIED.
        """
        if found := list(free_form.violations("reason", reason)):
            raise ValidationFailed.all(found)
        run = await self.run(caller, run_id, View.BASIC)
        denied = await self._denial(run, task_id) if decision is Decision.APPROVED else None
        decided = await self._runs.decide(caller.sees, run_id, task_id, decision, caller.user_id, reason, denied)
        self._administered(caller, f"decide step:{task_id} of run:{run_id}: {decision.value}", decided.user_id)
        return decided

    async def _denial(self, run: Run, task_id: str) -> Failure | None:
        """Why the step may not run; None if it may. Raises PolicyDenied if the policy cannot be evaluated: nothing is decided then."""
        step = next((step for step in run.steps if step.task_id == task_id), None)
        if step is None:
            return None
        try:
            await self._authority.check(run.principal, step.agent_id)
        except PolicyDenied as error:
            if error.details.get("cause") == UNAVAILABLE:
                raise
            return Failure(error.reason, error.message, dict(error.details), retryable=False)
        return None

    async def _made_before(self, claim: Claim | None, found: Sequence[Violation]) -> OriginalRequest:
        """What the request made when nothing was wrong with it yet: agents leave the catalogue. Raises ValidationFailed."""
        original = await self._workflows.original(claim) if claim else None
        if original is None:
            raise ValidationFailed.all(found)
        return original

    def _exists(self, agent_id: str) -> bool:
        try:
            self._registry.get(agent_id)
        except AgentNotFound:
            return False
        return True


def _bad_values(draft: Draft) -> Iterator[Violation]:
    yield from free_form.violations("name", draft.name)
    for place, task in enumerate(draft.tasks):
        yield from free_form.violations(f"tasks[{place}].input", task.input)
        yield from free_form.violations(f"tasks[{place}].context", task.context)
        if task.approval is not None:
            yield from free_form.violations(f"tasks[{place}].approval.message", task.approval.message)


def _repeated(original: OriginalRequest, claim: Claim | None) -> UUID:
    """The resource that the same request made before. Raises IdempotencyConflict if the body was another."""
    assert claim is not None  # only a claim can find another request
    original.check(claim)
    return original.resource_id


def _body(task: Task) -> dict[str, Any]:
    """The part of a task that counts for an idempotency key.

    `asdict` cannot copy the context. The default of a newer field must not change the hash of a request from before there was the field.
    """
    body = asdict(replace(task, context=None)) | {"context": task.context}
    if task.on_incomplete is OnIncomplete.FAIL:
        del body["on_incomplete"]
    return body


def _sent(details: StepDetails) -> str:
    try:
        return "" if details.waits else templates.render(details.input, details.results)
    except ValidationFailed:
        return ""  # too long: the step fails with this error, and its agent is sent nothing


def _no_workflow(workflow_id: UUID) -> WorkflowNotFound:
    message = f"Workflow '{workflow_id}' not found; GET /api/v1/workflows lists yours"
    return WorkflowNotFound(message, workflow_id=str(workflow_id))
