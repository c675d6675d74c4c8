"""Starts many runs in one commit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.adapters.idempotency import keys
from orchestrator.adapters.postgres.connection import Connection
from orchestrator.adapters.postgres.documents import document
from orchestrator.adapters.workflows import ledger, rows
from orchestrator.adapters.workflows.starts import start_sql as sql
from orchestrator.idempotency.model import Claim, OriginalRequest
from orchestrator.workflows import failpoints
from orchestrator.workflows.errors import WorkflowAlreadyRunning, WorkflowNotFound
from orchestrator.workflows.model import NewRun, Run, RunState, Step, StepApproval, StepState, Task
from orchestrator.workflows.progress.progress import Progress
from orchestrator.workflows.progress.step_progress import StepProgress


@dataclass(frozen=True, slots=True)
class Start:
    """A run to start, and the idempotency key of its request."""

    run: NewRun
    claim: Claim | None


Started = Run | OriginalRequest | WorkflowNotFound | WorkflowAlreadyRunning


async def write_starts(connection: Connection, starts: Sequence[Start]) -> Sequence[Started]:
    """Starts the runs that can start, with their first changes, and returns the outcome of each."""
    async with connection.transaction():
        originals = await keys.claim(connection, [(s.run.run_id, s.claim) for s in starts if s.claim])
        fresh = [start.run for start in starts if start.run.run_id not in originals]
        found = await connection.fetch(sql.WORKFLOWS, [run.workflow_id for run in fresh])
        now = {row["workflow_id"]: row["now"] for row in found if row["found"] or row["workflow_id"] is None}
        progresses = {run.run_id: _begun(run, now[run.workflow_id]) for run in fresh if run.workflow_id in now}
        begun = await _insert(connection, [(run, progresses[run.run_id]) for run in fresh if run.run_id in progresses])
        late = [run.workflow_id for run in fresh if run.run_id in progresses and run.run_id not in begun]
        active = {row["workflow_id"]: row["run_id"] for row in await connection.fetch(sql.ACTIVE, late)} if late else {}
        if refused := [start.run.run_id for start in starts if start.claim and start.run.run_id not in begun]:
            await keys.release(connection, refused)
        failpoints.BEFORE_START.hit()
    failpoints.AFTER_START.hit()
    return [originals.get(s.run.run_id) or _outcome(s.run, progresses.get(s.run.run_id), begun, active) for s in starts]


def _begun(new: NewRun, now: datetime) -> Progress:
    run = Run(
        run_id=new.run_id,
        workflow_id=new.workflow_id,
        user_id=new.user_id,
        state=RunState.PENDING,
        sequence=0,
        request_id=new.request_id,
        created_at=now,
        api_key_id=new.api_key_id,
        agent_id=new.agent_id,
    )
    progress = Progress(run, map(_record, new.tasks), now)
    progress.start()
    return progress


def _record(task: Task) -> StepProgress:
    asked = task.approval
    approval = StepApproval(asked.message, asked.timeout_seconds, asked.default) if asked else None
    step = Step(task.id, task.agent_id, StepState.PENDING, approval=approval)
    return StepProgress(step, task.depends_on, task.retry, waiting=len(task.depends_on))


async def _insert(connection: Connection, new: Sequence[tuple[NewRun, Progress]]) -> set[UUID]:
    """Inserts background executions, and the runs of workflows without an active run, with their steps; returns the ids of the runs."""
    if not new:
        return set()
    inserted: set[UUID] = set()
    if of_workflows := [_run_row(run, progress) for run, progress in new if run.workflow_id is not None]:
        inserted = {row["run_id"] for row in await connection.fetch(sql.INSERT_RUNS, document(of_workflows))}
    if background := [_run_row(run, progress) for run, progress in new if run.workflow_id is None]:
        await connection.execute(sql.INSERT_BACKGROUND, document(background))
        inserted |= {row["run_id"] for row in background}
    begun = [(run, progress) for run, progress in new if run.run_id in inserted]
    if begun:
        inserting = {
            "workflows": [_workflow_row(run, progress) for run, progress in begun if run.workflow_id is not None],
            "steps": [row for run, progress in begun for row in _step_rows(run, progress)],
        }
        await connection.execute(sql.INSERT_STEPS, document(ledger.history([progress for _, progress in begun]) | inserting))
    return inserted


def _run_row(new: NewRun, progress: Progress) -> dict[str, Any]:
    return {
        "run_id": new.run_id,
        "workflow_id": new.workflow_id,
        "agent_id": new.agent_id,
        "user_id": new.user_id,
        "username": new.username,
        "role": new.role,
        "status": progress.run.state.value,
        "sequence": progress.run.sequence,
        "request_id": new.request_id,
        "api_key_id": new.api_key_id,
        "created_at": progress.run.created_at,
    }


def _workflow_row(new: NewRun, progress: Progress) -> dict[str, Any]:
    return {"workflow_id": new.workflow_id, "run_id": new.run_id, "status": progress.run.state.value}


def _step_rows(run: NewRun, progress: Progress) -> Iterator[dict[str, Any]]:
    for position, task in enumerate(run.tasks):
        record = progress.records[task.id]
        approval = record.step.approval
        yield {
            "run_id": run.run_id,
            "task_id": task.id,
            "position": position,
            "agent_id": task.agent_id,
            "input": task.input,
            "context": task.context,
            "depends_on": list(task.depends_on),
            "max_attempts": task.retry.max_attempts,
            "delay_seconds": task.retry.delay_seconds,
            "backoff": task.retry.backoff,
            "timeout_seconds": float(task.timeout_seconds),
            "approval": rows.approval_json(approval),
            "status": record.step.state.value,
            "waiting": record.waiting,
            "next_attempt_at": record.due_at,
            "approval_expires_at": approval.expires_at if approval else None,
            "user_id": run.user_id,
            "on_incomplete": task.on_incomplete.value,
        }


def _outcome(new: NewRun, progress: Progress | None, begun: set[UUID], active: Mapping[UUID | None, UUID]) -> Started:
    workflow_id = str(new.workflow_id)
    if progress is None:
        return WorkflowNotFound(f"Workflow '{workflow_id}' not found; GET /api/v1/workflows lists yours", workflow_id=workflow_id)
    if new.run_id not in begun:
        message = f"Workflow '{workflow_id}' has an active run; wait until it ends, or cancel it"
        return WorkflowAlreadyRunning(message, workflow_id=workflow_id, run_id=str(active.get(new.workflow_id, "")))
    return replace(progress.run, steps=tuple(record.step for record in progress.records.values()))
