"""What workflows need of the world."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol
from uuid import UUID

from orchestrator.executions.model import Failure
from orchestrator.idempotency.model import Claim, OriginalRequest
from orchestrator.workflows.assignment import Assignment, Claimed, LeaseId, Report, Reported
from orchestrator.workflows.model import (
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
    """Keeps workflows. `user_id` says whose objects are seen, None for everybody's. Raises ServiceUnavailable."""

    async def create(self, workflow: NewWorkflow, claim: Claim | None) -> Workflow | OriginalRequest:
        """Creates a workflow, or returns the request that holds the key."""
        ...

    async def original(self, claim: Claim) -> OriginalRequest | None:
        """The request that holds the key, of any of these rpcs; None while the key is free."""
        ...

    async def get(self, user_id: int | None, workflow_id: UUID, view: View = View.FITTING) -> Workflow | None:
        """A workflow with its tasks and, as the view says, the results of its latest run. Raises ResultsTooLarge."""
        ...

    async def list(self, query: WorkflowQuery) -> WorkflowPage:
        """A page, newest first."""
        ...

    async def delete(self, user_id: int | None, workflow_id: UUID) -> bool:
        """Deletes a workflow with its runs; False when there is none. Raises WorkflowAlreadyRunning."""
        ...


class RunStore(Protocol):
    """Starts, changes and reads runs. `user_id` says whose objects are seen, None for everybody's. Raises ServiceUnavailable.

    A change and its events are one commit. After it, the watchers of the run and the workers are notified. Commands return the run as it
    was committed, without results, and read nothing afterwards that could fail.
    """

    async def start(self, run: NewRun, claim: Claim | None) -> Run | OriginalRequest:
        """Starts a run, or returns the request that holds the key.

        Raises WorkflowNotFound when the workflow is gone, and WorkflowAlreadyRunning.
        """
        ...

    async def cancel(self, user_id: int | None, workflow_id: UUID) -> Run:
        """Asks to cancel the active run: its steps are fenced off, and what runs will be stopped.

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
        """Answers the question of a step. Raises RunNotFound and ApprovalNotPending.

        `denied` is the reason why the step may not run although it is approved: it then fails, and so does its run.
        """
        ...

    async def cancel_run(self, user_id: int | None, run_id: UUID) -> Run:
        """The same for a run by its id. Raises RunNotFound and RunNotActive."""
        ...

    async def get(self, user_id: int | None, run_id: UUID, view: View = View.FITTING) -> Run | None:
        """A run with its steps and, as the view says, their results. Raises ResultsTooLarge."""
        ...

    async def step(self, user_id: int | None, run_id: UUID, task_id: str) -> StepDetails | None:
        """One step; None if the run has no such step. Raises RunNotFound."""
        ...

    async def list(self, query: RunQuery) -> RunPage:
        """A page of runs, newest first."""
        ...

    async def changes(self, run_id: UUID, after_sequence: int, limit: int) -> Sequence[Change]:
        """The changes of a run that come after one, in order."""
        ...

    async def sequences(self, run_ids: Sequence[UUID]) -> Sequence[tuple[UUID, int]]:
        """The sequence of the latest change of each of these runs that there are."""
        ...


class RunNotifier(Protocol):
    """Tells watchers, in whatever process they are, that runs have changed. What is lost they find within a second."""

    def changed(self, run_ids: Sequence[UUID]) -> None:
        """Notifications for these runs. Waits for nothing and never raises."""
        ...


class Subscription(Protocol):
    def notify(self) -> None:
        """Ends the wait, or the next one."""
        ...

    async def wait(self, seconds: float) -> bool:
        """Whether the notifier has notified since the last wait, or does so within `seconds`."""
        ...


class RunSubscriptions(Protocol):
    """Hears that a run has changed, in whatever process. A notify may be missed: whoever waits looks by himself once in a while."""

    def subscribe(self, run_id: UUID) -> AbstractContextManager[Subscription]:
        """A subscription for a run, for as long as the context lasts."""
        ...


class WorkerWakeup(Protocol):
    """Tells a worker that a step may be ready. What is lost it finds within a second."""

    def notify(self, run_id: UUID) -> None:
        """Notifications for this run. Waits for nothing and never raises."""
        ...


class StepStore(Protocol):
    """Gives steps to this worker, and takes its word about them.

    Raises ServiceUnavailable when the database is gone; whether it did what it was asked to is then not known.
    """

    async def claim(self, limit: int) -> Claimed:
        """Takes steps that are ready, at most so many."""
        ...

    async def report(self, report: Report) -> Reported:
        """Takes the worker's word about a step. Raises ReportRefused."""
        ...

    async def renew(self, lease_ids: Collection[LeaseId]) -> Collection[LeaseId]:
        """Prolongs the leases; returns the lease_ids that still count."""
        ...

    async def forgotten(self, lease_ids: Collection[LeaseId]) -> Sequence[Assignment]:
        """The steps that this worker has been given without learning of it, because the commit was not confirmed."""
        ...

    async def recover(self) -> int:
        """Frees the steps of dead workers and closes questions that nobody answered in time; returns how many there were."""
        ...

    async def queue_age(self) -> float:
        """For how many seconds the step that waits longest could have begun; 0 when none waits."""
        ...
