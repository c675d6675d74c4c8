"""The ports of workflows."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol
from uuid import UUID

from orchestrator.executions.model import WHOLE, Excerpt, Failure, StepRef
from orchestrator.idempotency.model import Claim, OriginalRequest
from orchestrator.workflows.assignment import Assignment, Claimed, LeaseId, Report, Reported
from orchestrator.workflows.live.model import LiveHead, LiveNews
from orchestrator.workflows.model import (
    ApprovalPage,
    ApprovalQuery,
    Change,
    Decision,
    NewRun,
    NewWorkflow,
    Run,
    RunPage,
    RunQuery,
    StepDetails,
    View,
    Workflow,
    WorkflowPage,
    WorkflowQuery,
)


class WorkflowStore(Protocol):
    """Stores workflows. `user_id` limits calls to the objects of one user; None means all users. Raises ServiceUnavailable."""

    async def create(self, workflow: NewWorkflow, claim: Claim | None) -> Workflow | OriginalRequest:
        """Creates a workflow, or returns the request that holds the key."""
        ...

    async def original(self, claim: Claim) -> OriginalRequest | None:
        """Returns the request, of any of these rpcs, that holds the key; None if the key is free."""
        ...

    async def get(self, user_id: int | None, workflow_id: UUID, view: View = View.FITTING) -> Workflow | None:
        """Returns a workflow with its tasks and, depending on the view, the results of its latest run. Raises ResultsTooLarge."""
        ...

    async def list(self, query: WorkflowQuery) -> WorkflowPage:
        """Returns a page, newest first."""
        ...

    async def delete(self, user_id: int | None, workflow_id: UUID) -> bool:
        """Deletes a workflow and its runs; returns False if it does not exist. Raises WorkflowAlreadyRunning."""
        ...


class RunStore(Protocol):
    """Starts, changes and reads runs. `user_id` limits calls to the objects of one user; None means all users. Raises ServiceUnavailable.

    A change and its events are committed together; then the watchers of the run and the workers are notified. Commands return the run as
    it was committed, without results. They read nothing after the commit, so they cannot fail once it is done.
    """

    async def start(self, run: NewRun, claim: Claim | None) -> Run | OriginalRequest:
        """Starts a run, or returns the request that holds the key.

        Raises WorkflowNotFound if the workflow was deleted, and WorkflowAlreadyRunning.
        """
        ...

    async def cancel(self, user_id: int | None, workflow_id: UUID) -> Run:
        """Requests cancellation of the active run: its steps are fenced off and workers stop those that run.

        Raises WorkflowNotFound and WorkflowNotRunning.
        """
        ...

    async def decide(
        self,
        user_id: int | None,
        run_id: UUID,
        task_id: str,
        decision: Decision,
        decided_by: int,
        reason: str,
        denied: Failure | None = None,
    ) -> Run:
        """Decides a pending approval. Raises RunNotFound and ApprovalNotPending.

        `denied` is why an approved step may not run; the step and its run then fail.
        """
        ...

    async def cancel_run(self, user_id: int | None, run_id: UUID) -> Run:
        """Requests cancellation of a run by its id. Raises RunNotFound and RunNotActive."""
        ...

    async def get(self, user_id: int | None, run_id: UUID, view: View = View.FITTING) -> Run | None:
        """Returns a run with its steps and, depending on the view, their results. Raises ResultsTooLarge."""
        ...

    async def step(self, user_id: int | None, run_id: UUID, task_id: str, excerpt: Excerpt = WHOLE) -> StepDetails | None:
        """Returns one step with this part of its result, or None if the run has no such step.

        Raises RunNotFound, and AnswerTooLarge if the result does not fit into a response.
        """
        ...

    async def list(self, query: RunQuery) -> RunPage:
        """Returns a page of runs, newest first."""
        ...

    async def approvals(self, query: ApprovalQuery) -> ApprovalPage:
        """Returns a page of the steps that wait for a decision, in the order of their expiry."""
        ...

    async def changes(self, run_id: UUID, after_sequence: int, limit: int) -> Sequence[Change]:
        """Returns the changes of a run after `after_sequence`, in order, without results of more than 1 MiB."""
        ...

    async def sequences(self, run_ids: Sequence[UUID]) -> Sequence[tuple[UUID, int]]:
        """Returns the sequence of the latest change of each run; leaves out runs that do not exist."""
        ...


class RunNotifier(Protocol):
    """Notifies the watchers in every process that runs have changed. If a notification is lost, they find the change within a second."""

    def changed(self, run_ids: Sequence[UUID]) -> None:
        """Notifies the watchers of these runs. Never blocks and never raises."""
        ...


class Subscription(Protocol):
    def notify(self) -> None:
        """Ends the current wait, or else the next one."""
        ...

    async def wait(self, seconds: float) -> bool:
        """Waits up to `seconds` for a notification. Returns True at once if one arrived since the last call."""
        ...


class RunSubscriptions(Protocol):
    """Receives the notifications of runs from every process. A notification can be lost, so subscribers also poll."""

    def subscribe(self, run_id: UUID) -> AbstractContextManager[Subscription]:
        """Returns a subscription to a run that ends with the context."""
        ...


class WorkerWakeup(Protocol):
    """Wakes a worker because a step may be ready. If a wakeup is lost, a worker finds the step within a second."""

    def notify(self, run_id: UUID) -> None:
        """Wakes a worker for this run. Never blocks and never raises."""
        ...


class StepStore(Protocol):
    """Assigns steps to this worker and receives its reports.

    Raises ServiceUnavailable if the database is unavailable. Whether the call took effect is then unknown.
    """

    async def claim(self, limit: int) -> Claimed:
        """Claims at most `limit` steps that are ready."""
        ...

    async def report(self, report: Report) -> Reported:
        """Applies a report of the worker. Raises ReportRefused."""
        ...

    async def renew(self, lease_ids: Collection[LeaseId]) -> Collection[LeaseId]:
        """Renews the leases and returns those that are still valid."""
        ...

    async def unconfirmed(self, lease_ids: Collection[LeaseId]) -> Sequence[Assignment]:
        """Returns the steps assigned to this worker that are not in `lease_ids`: the commit of their claim was not confirmed."""
        ...

    async def recover(self) -> int:
        """Releases the steps of dead workers, decides expired approvals and cancels the runs of disabled and deleted users.

        Returns the number of changed steps and runs.
        """
        ...

    async def queue_age(self) -> float:
        """Returns for how many seconds the oldest ready step has been due; 0 if none is waiting."""
        ...


class LiveTextWriter(Protocol):
    """Shows the text of running background executions to their watchers. Its methods never block and never raise; a text can be lost."""

    def grow(self, step: StepRef, head: LiveHead, piece: str) -> None:
        """Adds a piece to the text of an attempt; the first piece of an attempt, which may be empty, replaces the text of earlier ones."""
        ...

    def end(self, step: StepRef, epoch: int) -> None:
        """Discards the text of an attempt, because its outcome is recorded or the attempt has no more text."""
        ...


class LiveTextReader(Protocol):
    async def read(self, known: Sequence[tuple[StepRef, LiveHead | None, int]]) -> Sequence[LiveNews | None]:
        """Returns, for each text, what follows the attempt and the number of bytes that are known of it; None if nothing does.

        Raises ServiceUnavailable.
        """
        ...
