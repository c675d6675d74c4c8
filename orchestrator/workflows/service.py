"""Creates, runs and shows workflows."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from catalogue.errors import AgentNotFound
from mesh.documents import free_form
from mesh.errors import ValidationFailed, Violation
from mesh.rpc.requests.paging import LARGEST_PAGE
from mesh.security.caller import Caller
from orchestrator.executions.books import new_id
from orchestrator.executions.model import WHOLE, Excerpt, Execution, Failure, StepRef
from orchestrator.executions.ports import ExecutionStore
from orchestrator.idempotency.model import Claim, Operation, OriginalRequest
from orchestrator.idempotency.model import claim as claim_of
from orchestrator.policy.errors import PolicyDenied
from orchestrator.policy.service import UNAVAILABLE
from orchestrator.registry.service import RegistryService
from orchestrator.workflows.authority import RunAuthority
from orchestrator.workflows.errors import RunNotFound, StepNotFound, WorkflowNotFound
from orchestrator.workflows.live.model import LivePosition
from orchestrator.workflows.model import (
    ApprovalPage,
    ApprovalQuery,
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
from orchestrator.workflows.tasks import graph, templates
from orchestrator.workflows.watch import Ended, Heartbeat, Live, RunWatch


@dataclass(frozen=True, slots=True)
class Draft:
    """A workflow as a user describes it. An empty `idempotency_key` means none."""

    name: str
    tasks: Sequence[Task]
    idempotency_key: str = ""


Administered = Callable[[Caller, str, int], None]
"""Audits an action: the caller, what the caller did, and the owner of the object."""


def _ignore(caller: Caller, what: str, owner_id: int) -> None: ...


class WorkflowService:
    """Manages the workflows and runs of the caller. Admins see those of every user."""

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
        """Creates a workflow, or returns the one that the same request created before.

        Raises IdempotencyConflict, and ValidationFailed with every violation.
        """
        claim = claim_of(
            caller.user_id, Operation.CREATE_WORKFLOW, draft.idempotency_key, [draft.name, [_body(task) for task in draft.tasks]]
        )
        created: Workflow | OriginalRequest
        if found := [*_bad_values(draft), *graph.violations(draft.tasks, self._exists)]:
            created = await self._created_before(claim, found)
        else:
            created = await self._workflows.create(NewWorkflow(new_id(), caller.user_id, draft.name, draft.tasks), claim)
        if isinstance(created, Workflow):
            return created
        earlier = await self._workflows.get(caller.user_id, _repeated(created, claim), View.BASIC)
        if earlier is None:
            message = "the workflow that was created with this idempotency key has been deleted; use a new key to create another"
            raise WorkflowNotFound(message, workflow_id=str(created.resource_id))
        return earlier

    async def list(self, query: WorkflowQuery) -> WorkflowPage:
        """Returns a page of at most 200 workflows, newest first."""
        return await self._workflows.list(replace(query, page_size=min(query.page_size, LARGEST_PAGE)))

    async def get(self, caller: Caller, workflow_id: UUID, view: View = View.FITTING) -> Workflow:
        """Returns one workflow. Raises WorkflowNotFound and ResultsTooLarge."""
        workflow = await self._workflows.get(caller.sees, workflow_id, view)
        if workflow is None:
            raise _no_workflow(workflow_id)
        return workflow

    async def delete(self, caller: Caller, workflow_id: UUID) -> None:
        """Deletes a workflow and its runs. Raises WorkflowNotFound, and WorkflowAlreadyRunning while a run is active."""
        owner_id = (await self.get(caller, workflow_id)).user_id if caller.sees is None else caller.user_id
        if not await self._workflows.delete(caller.sees, workflow_id):
            raise _no_workflow(workflow_id)
        self._administered(caller, f"delete workflow:{workflow_id}", owner_id)

    async def execute(self, caller: Caller, workflow_id: UUID, request_id: str, idempotency_key: str) -> Run:
        """Starts a run, or returns the one that the same request started before.

        Only the owner can run a workflow, because its steps are charged to the caller. Raises WorkflowNotFound, WorkflowAlreadyRunning,
        IdempotencyConflict, and ValidationFailed if an agent has been removed from the catalogue.
        """
        workflow = await self.get(caller, workflow_id, View.BASIC)
        if workflow.user_id != caller.user_id:
            message = f"Workflow '{workflow_id}' belongs to another user; only its owner can run it"
            raise WorkflowNotFound(message, workflow_id=str(workflow_id))
        claim = claim_of(caller.user_id, Operation.EXECUTE_WORKFLOW, idempotency_key, str(workflow_id))
        started: Run | OriginalRequest
        if broken := graph.violations(workflow.tasks, self._exists):
            started = await self._created_before(claim, broken)
        else:
            before = graph.predecessors(workflow.tasks)
            tasks = [replace(task, depends_on=before[task.id]) for task in workflow.tasks]
            run = NewRun(new_id(), workflow_id, caller.user_id, caller.username, caller.role.value, request_id, tasks, caller.api_key_id)
            started = await self._runs.start(run, claim)
        return started if isinstance(started, Run) else await self.run(caller, _repeated(started, claim), View.BASIC)

    async def cancel(self, caller: Caller, workflow_id: UUID) -> Run:
        """Requests cancellation of the active run. Raises WorkflowNotFound and WorkflowNotRunning."""
        run = await self._runs.cancel(caller.sees, workflow_id)
        self._administered(caller, f"cancel run:{run.run_id}", run.user_id)
        return run

    async def cancel_run(self, caller: Caller, run_id: UUID) -> Run:
        """Requests cancellation of a run. Raises RunNotFound and RunNotActive."""
        run = await self._runs.cancel_run(caller.sees, run_id)
        self._administered(caller, f"cancel run:{run_id}", run.user_id)
        return run

    async def runs(self, caller: Caller, query: RunQuery) -> RunPage:
        """Returns a page of at most 200 runs, newest first. Raises WorkflowNotFound if the query names a workflow that does not exist."""
        if query.workflow_id is not None:
            await self.get(caller, query.workflow_id, View.BASIC)
        return await self._runs.list(replace(query, page_size=min(query.page_size, LARGEST_PAGE)))

    async def approvals(self, query: ApprovalQuery) -> ApprovalPage:
        """Returns a page of at most 200 steps that wait for a decision, the one whose time runs out first at the top."""
        return await self._runs.approvals(replace(query, page_size=min(query.page_size, LARGEST_PAGE)))

    async def run(self, caller: Caller, run_id: UUID, view: View = View.FITTING) -> Run:
        """Returns one run with its steps. Raises RunNotFound and ResultsTooLarge."""
        run = await self._runs.get(caller.sees, run_id, view)
        if run is None:
            raise RunNotFound(f"Run '{run_id}' not found; GET /api/v1/runs lists yours", run_id=str(run_id))
        return run

    async def step(
        self, caller: Caller, run_id: UUID, task_id: str, excerpt: Excerpt = WHOLE
    ) -> tuple[StepDetails, str, Sequence[Execution]]:
        """Returns a step, the input of its agent ("" until the earlier steps complete), and the executions of its attempts, oldest first.

        The step has this part of its result. Raises RunNotFound, StepNotFound and AnswerTooLarge.
        """
        details = await self._runs.step(caller.sees, run_id, task_id, excerpt)
        if details is None:
            message = f"run '{run_id}' has no step '{task_id}'; GET /api/v1/runs/{run_id}?view=VIEW_BASIC lists its steps"
            raise StepNotFound(message, run_id=str(run_id), step_id=task_id)
        return details, _sent(details), await self._executions.of_step(StepRef(run_id, task_id))

    async def watch(
        self, caller: Caller, run_id: UUID, after: int, read: LivePosition | None = None
    ) -> tuple[Run, AsyncIterator[Change | Live | Heartbeat | Ended]]:
        """Returns a run and its changes after sequence `after`, each once and in order until the run is final.

        In between, the iterator yields the text of a background execution after the position `read`, as it grows. It yields a Heartbeat
        after 15 s without either and raises ServiceUnavailable if this process stops. Raises
        RunNotFound, and ValidationFailed if `after` is larger than the latest sequence.
        """
        run = await self.run(caller, run_id, View.BASIC)
        if after > run.sequence:
            description = f"must be at most {run.sequence}, the sequence of this run's latest change; use a sequence that you received"
            raise ValidationFailed.of("after_sequence", description)
        return run, self._watch.changes(run, after, read)

    async def decide(self, caller: Caller, run_id: UUID, task_id: str, decision: Decision, reason: str) -> Run:
        """Decides a pending approval. Raises RunNotFound and ApprovalNotPending.

        An approved step fails with POLICY_DENIED if the run's user may no longer call its agent.
        """
        if found := list(free_form.violations("reason", reason)):
            raise ValidationFailed.all(found)
        run = await self.run(caller, run_id, View.BASIC)
        denied = await self._denial(run, task_id) if decision is Decision.APPROVED else None
        decided = await self._runs.decide(caller.sees, run_id, task_id, decision, caller.user_id, reason, denied)
        self._administered(caller, f"decide step:{task_id} of run:{run_id}: {decision.value}", decided.user_id)
        return decided

    async def _denial(self, run: Run, task_id: str) -> Failure | None:
        """Returns why the step may not run; None if it may. Raises PolicyDenied, and nothing is decided, if the policy is unavailable."""
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

    async def _created_before(self, claim: Claim | None, found: Sequence[Violation]) -> OriginalRequest:
        """Returns what the same request created while it was still valid: agents can be removed later. Raises ValidationFailed."""
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
    """Returns the id of the resource that the same request created. Raises IdempotencyConflict if the body differs."""
    assert claim is not None  # only a claim can match an earlier request
    original.check(claim)
    return original.resource_id


def _body(task: Task) -> dict[str, Any]:
    """Returns the part of a task that is hashed for an idempotency key.

    `asdict` cannot copy the context. The default of a newer field must not change the hash of a request from before that field existed.
    """
    body = asdict(replace(task, context=None)) | {"context": task.context}
    if task.on_incomplete is OnIncomplete.FAIL:
        del body["on_incomplete"]
    return body


def _sent(details: StepDetails) -> str:
    try:
        if details.waits:
            return ""
        return details.input if details.run.workflow_id is None else templates.render(details.input, details.results)
    except ValidationFailed:
        return ""  # the input is too long: the step fails with this error and its agent is not called


def _no_workflow(workflow_id: UUID) -> WorkflowNotFound:
    message = f"Workflow '{workflow_id}' not found; GET /api/v1/workflows lists yours"
    return WorkflowNotFound(message, workflow_id=str(workflow_id))
