"""Starts, cancels, decides and reads runs on PostgreSQL."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import MeshError
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.postgres.connection import Connection
from orchestrator.adapters.postgres.engine import CONNECTION_LOST, database_unavailable, unavailable
from orchestrator.adapters.postgres.group_commit import GroupCommit
from orchestrator.adapters.workflows import ledger, rows
from orchestrator.adapters.workflows.commit_notifier import CommitNotifier
from orchestrator.adapters.workflows.starts import Start, Started, write_starts
from orchestrator.adapters.workflows.tables import run_events, runs, steps, workflows
from orchestrator.executions.model import Failure
from orchestrator.idempotency.model import Claim, OriginalRequest
from orchestrator.workflows import failpoints
from orchestrator.workflows.errors import (
    ApprovalNotPending,
    RunNotFound,
    WorkflowAlreadyRunning,
    WorkflowNotFound,
    WorkflowNotRunning,
)
from orchestrator.workflows.model import Change, Decision, NewRun, Run, RunPage
from orchestrator.workflows.ports import WorkerWakeup
from orchestrator.workflows.progress import Progress

_FINAL = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class _Command:
    """A change that somebody asks of a run; `apply` says whether there was anything to do."""

    run_id: UUID
    apply: Callable[[Progress], bool]


class PostgresRunStore:
    """See the port. An async context manager: changes go through lanes of group commits."""

    def __init__(
        self, database_url: str, engine: AsyncEngine, commits: CommitNotifier, wakeup: WorkerWakeup, tasks: BackgroundTasks
    ) -> None:
        self._engine = engine
        self._commits = commits
        self._wakeup = wakeup
        self._starts: GroupCommit[Start, Started] = GroupCommit(database_url, write_starts, tasks)
        self._commands: GroupCommit[_Command, bool] = GroupCommit(database_url, self._write_commands, tasks)

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
        if isinstance(started, WorkflowAlreadyRunning) and (active := (await self._active(None, run.workflow_id))[1]):
            started.details["run_id"] = str(active)
        if isinstance(started, MeshError):
            raise started
        if isinstance(started, Run):
            self._wakeup.notify(started.run_id)
            self._commits.notifier.changed([started.run_id])
            self._commits.outbox()
        return started

    async def cancel(self, user_id: int | None, workflow_id: UUID) -> Run:
        """Asks to cancel the active run; see the port."""
        known, active = await self._active(user_id, workflow_id)
        if not known:
            raise WorkflowNotFound(f"Workflow '{workflow_id}' not found; GET /api/v1/workflows lists yours", workflow_id=str(workflow_id))
        if active is None or not await self._command(_Command(active, _cancel)):
            message = f"no run of workflow '{workflow_id}' is active; POST /api/v1/workflows/{workflow_id}/execute starts one"
            raise WorkflowNotRunning(message, workflow_id=str(workflow_id))
        return await self._known(user_id, active)

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
        """Answers the question of a step; see the port."""
        await self._known(user_id, run_id)
        if not await self._command(_Command(run_id, lambda progress: progress.decide(task_id, decision, decided_by, reason, denied))):
            message = f"step '{task_id}' of run '{run_id}' does not wait for a decision; GET /api/v1/runs/{run_id} shows where it stands"
            raise ApprovalNotPending(message, run_id=str(run_id), step_id=task_id)
        self._wakeup.notify(run_id)
        return await self._known(user_id, run_id)

    async def get(self, user_id: int | None, run_id: UUID) -> Run | None:
        """A run with its steps."""
        statement = select(runs).where(runs.c.run_id == run_id)
        if user_id is not None:
            statement = statement.where(runs.c.user_id == user_id)
        with unavailable():
            async with self._engine.connect() as connection:
                # One snapshot for both: the steps are those of the run as it is shown.
                await connection.execution_options(isolation_level="REPEATABLE READ")
                found = (await connection.execute(statement)).one_or_none()
                if found is None:
                    return None
                shown = select(*_STEP_COLUMNS).where(steps.c.run_id == run_id).order_by(steps.c.position)
                of_run = [rows.step(row._mapping, row.result) for row in await connection.execute(shown)]
        return rows.run(found._mapping, of_run)

    async def list(self, workflow_id: UUID, page_size: int, before: UUID | None) -> RunPage:
        """A page of a workflow's runs; one row more than it lease_ids tells whether there are more."""
        statement = select(runs).where(runs.c.workflow_id == workflow_id)
        if before is not None:
            statement = statement.where(runs.c.run_id < before)
        with unavailable():
            async with self._engine.connect() as connection:
                found = (await connection.execute(statement.order_by(runs.c.run_id.desc()).limit(page_size + 1))).all()
        return RunPage([rows.run(row._mapping) for row in found[:page_size]], more=len(found) > page_size)

    async def changes(self, run_id: UUID, after_sequence: int, limit: int) -> Sequence[Change]:
        """The changes of a run that come after one, in order."""
        t = run_events.c
        result = select(steps.c.result).where(steps.c.run_id == t.run_id, steps.c.task_id == t.payload["task_id"].astext)
        statement = (
            select(run_events, func.coalesce(result.scalar_subquery(), "").label("result"))
            .where(t.run_id == run_id, t.sequence > after_sequence)
            .order_by(t.sequence)
            .limit(limit)
        )
        with unavailable():
            async with self._engine.connect() as connection:
                return [rows.change(row._mapping, row.result) for row in await connection.execute(statement)]

    async def sequences(self, run_ids: Sequence[UUID]) -> Sequence[tuple[UUID, int]]:
        """The sequence of the latest change of each of these runs that there are."""
        with unavailable():
            async with self._engine.connect() as connection:
                found = await connection.execute(select(runs.c.run_id, runs.c.sequence).where(runs.c.run_id.in_(run_ids)))
                return [(row.run_id, row.sequence) for row in found]

    async def _active(self, user_id: int | None, workflow_id: UUID) -> tuple[bool, UUID | None]:
        """Whether the user has this workflow, and its active run."""
        active = (runs.c.workflow_id == workflows.c.workflow_id) & runs.c.status.not_in(_FINAL)
        statement = select(runs.c.run_id).select_from(workflows.outerjoin(runs, active)).where(workflows.c.workflow_id == workflow_id)
        if user_id is not None:
            statement = statement.where(workflows.c.user_id == user_id)
        with unavailable():
            async with self._engine.connect() as connection:
                found = (await connection.execute(statement)).one_or_none()
        return found is not None, found.run_id if found else None

    async def _known(self, user_id: int | None, run_id: UUID) -> Run:
        run = await self.get(user_id, run_id)
        if run is None:
            raise RunNotFound(
                f"Run '{run_id}' not found; GET /api/v1/workflows/{{workflow_id}}/runs lists a workflow's", run_id=str(run_id)
            )
        return run

    async def _command(self, command: _Command) -> bool:
        """Whether there was anything to do."""
        try:
            return await self._commands.submit(command)
        except CONNECTION_LOST as error:
            raise database_unavailable() from error

    async def _write_commands(self, connection: Connection, commands: Sequence[_Command]) -> Sequence[bool]:
        async with connection.transaction():
            locked = await ledger.lock(connection, {command.run_id for command in commands})
            done = [command.run_id in locked and command.apply(locked[command.run_id]) for command in commands]
            changed = await ledger.write(connection, locked.values())
            failpoints.BEFORE_COMMAND.hit()
        failpoints.AFTER_COMMAND.hit()
        self._commits.tell(changed)
        return done


_STEP_COLUMNS: list[Any] = [column for column in steps.c if column.name not in ("input", "context")]


def _cancel(progress: Progress) -> bool:
    active = not progress.run.state.final
    progress.cancel()
    return active
