"""The store of runs on PostgreSQL."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Self
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import MeshError
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.postgres.connection import Connection
from orchestrator.adapters.postgres.engine import CONNECTION_LOST, database_unavailable, unavailable
from orchestrator.adapters.postgres.group_commit import GroupCommit
from orchestrator.adapters.workflows import ledger
from orchestrator.adapters.workflows.commit_notifier import CommitNotifier
from orchestrator.adapters.workflows.run_reads import RunReads, run_not_found
from orchestrator.adapters.workflows.starts.starts import Start, Started, write_starts
from orchestrator.adapters.workflows.states import FINAL
from orchestrator.adapters.workflows.tables import runs, workflows
from orchestrator.executions.model import Failure
from orchestrator.idempotency.model import Claim, OriginalRequest
from orchestrator.workflows import failpoints
from orchestrator.workflows.errors import (
    ApprovalNotPending,
    RunNotActive,
    WorkflowAlreadyRunning,
    WorkflowNotFound,
    WorkflowNotRunning,
)
from orchestrator.workflows.model import Decision, NewRun, Run, View
from orchestrator.workflows.ports import WorkerWakeup
from orchestrator.workflows.progress.progress import Progress


@dataclass(frozen=True, slots=True)
class _Command:
    """A requested change of a run. `apply` returns False if there is nothing to do."""

    run_id: UUID
    apply: Callable[[Progress], bool]


class PostgresRunStore(RunReads):
    """See the port. An async context manager. Changes are written in group commits."""

    def __init__(
        self, database_url: str, engine: AsyncEngine, commits: CommitNotifier, wakeup: WorkerWakeup, tasks: BackgroundTasks
    ) -> None:
        super().__init__(engine)
        self._commits = commits
        self._wakeup = wakeup
        self._starts: GroupCommit[Start, Started] = GroupCommit(database_url, write_starts, tasks)
        self._commands: GroupCommit[_Command, Run | None] = GroupCommit(database_url, self._write_commands, tasks)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._starts)
            await stack.enter_async_context(self._commands)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self, run: NewRun, claim: Claim | None) -> Run | OriginalRequest:
        """Starts a run; see the port."""
        try:
            started = await self._starts.submit(Start(run, claim))
        except CONNECTION_LOST as error:
            raise database_unavailable() from error
        if isinstance(started, WorkflowAlreadyRunning) and run.workflow_id and (active := (await self._active(None, run.workflow_id))[1]):
            started.details["run_id"] = str(active)
        if isinstance(started, MeshError):
            raise started
        if isinstance(started, Run):
            if self._commits.traces is not None:
                self._commits.traces.started(started)
            self._wakeup.notify(started.run_id)
            self._commits.notifier.changed([started.run_id])
            self._commits.outbox()
        return started

    async def cancel(self, user_id: int | None, workflow_id: UUID) -> Run:
        """Requests cancellation of the active run; see the port."""
        known, active = await self._active(user_id, workflow_id)
        if not known:
            raise WorkflowNotFound(f"Workflow '{workflow_id}' not found; GET /api/v1/workflows lists yours", workflow_id=str(workflow_id))
        cancelled = None if active is None else await self._command(_Command(active, _cancel))
        if cancelled is None:
            message = f"workflow '{workflow_id}' has no active run; POST /api/v1/workflows/{workflow_id}/execute starts one"
            raise WorkflowNotRunning(message, workflow_id=str(workflow_id))
        return cancelled

    async def cancel_run(self, user_id: int | None, run_id: UUID) -> Run:
        """Requests cancellation of a run; see the port."""
        run = await self.get(user_id, run_id, View.BASIC)
        if run is None:
            raise run_not_found(run_id)
        cancelled = await self._command(_Command(run_id, _cancel))
        if cancelled is None:
            ended = await self.get(user_id, run_id, View.BASIC) or run
            message = f"run '{run_id}' has ended ({ended.state.value}) and cannot be cancelled"
            raise RunNotActive(message, run_id=str(run_id), status=ended.state.value)
        return cancelled

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
        """Decides a pending approval; see the port."""
        await self._check_known(user_id, run_id)
        decided = await self._command(_Command(run_id, lambda progress: progress.decide(task_id, decision, decided_by, reason, denied)))
        if decided is None:
            message = f"step '{task_id}' of run '{run_id}' does not wait for a decision; GET /api/v1/runs/{run_id} shows its status"
            raise ApprovalNotPending(message, run_id=str(run_id), step_id=task_id)
        self._wakeup.notify(run_id)
        return decided

    async def _active(self, user_id: int | None, workflow_id: UUID) -> tuple[bool, UUID | None]:
        """Returns whether the user has this workflow, and the id of its active run."""
        active = (runs.c.workflow_id == workflows.c.workflow_id) & runs.c.status.not_in(FINAL)
        statement = select(runs.c.run_id).select_from(workflows.outerjoin(runs, active)).where(workflows.c.workflow_id == workflow_id)
        if user_id is not None:
            statement = statement.where(workflows.c.user_id == user_id)
        with unavailable():
            async with self._engine.connect() as connection:
                found = (await connection.execute(statement)).one_or_none()
        return found is not None, found.run_id if found else None

    async def _check_known(self, user_id: int | None, run_id: UUID) -> None:
        if await self.get(user_id, run_id, View.BASIC) is None:
            raise run_not_found(run_id)

    async def _command(self, command: _Command) -> Run | None:
        """Applies a command. Returns the run after the change, or None if there was nothing to do."""
        try:
            return await self._commands.submit(command)
        except CONNECTION_LOST as error:
            raise database_unavailable() from error

    async def _write_commands(self, connection: Connection, commands: Sequence[_Command]) -> Sequence[Run | None]:
        async with connection.transaction():
            locked = await ledger.lock(connection, {command.run_id for command in commands})
            done = [command.run_id in locked and command.apply(locked[command.run_id]) for command in commands]
            changed = await ledger.write(connection, locked.values())
            failpoints.BEFORE_COMMAND.hit()
        failpoints.AFTER_COMMAND.hit()
        self._commits.notify(changed)
        return [_run(locked[command.run_id]) if applied else None for command, applied in zip(commands, done, strict=True)]


def _run(progress: Progress) -> Run:
    """Returns the run as it was committed, without the results of its steps."""
    steps = tuple(record.step for record in progress.records.values())
    return replace(progress.run, steps=steps, results_omitted=any(step.result_bytes for step in steps))


def _cancel(progress: Progress) -> bool:
    active = not progress.run.state.final
    progress.cancel()
    return active
