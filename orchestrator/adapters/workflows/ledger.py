"""The steps of changing runs: lock, load, write. All run in the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from orchestrator.adapters.postgres.connection import Connection
from orchestrator.adapters.postgres.documents import storable_document
from orchestrator.adapters.workflows import rows, sql
from orchestrator.adapters.workflows.rows import StepId
from orchestrator.workflows.assignment import Assignment, Spent
from orchestrator.workflows.model import Run
from orchestrator.workflows.progress.progress import Progress

STOP_CHANNEL = "agentmesh_stop"
"""The PostgreSQL notification channel for runs whose steps must stop."""


async def lock(connection: Connection, run_ids: Iterable[UUID]) -> dict[UUID, Progress]:
    """Locks and loads the runs; leaves out those that do not exist."""
    return await load(connection, await connection.fetch(sql.LOCK, list(run_ids)))


async def load(connection: Connection, locked: Sequence[asyncpg.Record]) -> dict[UUID, Progress]:
    """Loads the runs of rows that the caller has just locked."""
    if not locked:
        return {}
    runs = {run.run_id: (run, row["now"]) for row in locked for run in (rows.run(row),)}
    records: dict[UUID, list[asyncpg.Record]] = {run_id: [] for run_id in runs}
    for row in await connection.fetch(sql.LOAD, list(runs)):
        records[row["run_id"]].append(row)
    return {run_id: Progress(run, map(rows.record, records[run_id]), now) for run_id, (run, now) in runs.items()}


async def spent(connection: Connection, steps: Sequence[StepId]) -> Mapping[StepId, Spent]:
    """Reads what the steps spent from the books; leaves out steps without an execution."""
    found: dict[StepId, list[asyncpg.Record]] = {}
    for row in await connection.fetch(sql.SPENT, rows.step_ids(steps)):
        found.setdefault((row["run_id"], row["task_id"]), []).append(row)
    return {step: rows.spent(of_step) for step, of_step in found.items()}


async def write(connection: Connection, progresses: Iterable[Progress]) -> list[Progress]:
    """Writes the changed runs and returns them."""
    changed = [p for p in progresses if p.changes or p.touched]
    if not changed:
        return []
    rewritten = {
        "steps": [rows.step_row(p.run.run_id, record) for p in changed for record in p.touched.values()],
        "runs": [rows.run_row(p.run) for p in changed],
        "workflows": [
            {"workflow_id": p.run.workflow_id, "status": p.run.state.value}
            for p in changed
            if p.run.workflow_id is not None and any(isinstance(c.subject, Run) for c in p.changes)
        ],
        "stopping": [{"run_id": p.run.run_id} for p in changed if p.stops_steps],
    }
    await connection.execute(sql.WRITE, storable_document(history(changed) | rewritten), STOP_CHANNEL)
    return changed


def history(progresses: Sequence[Progress]) -> dict[str, list[dict[str, Any]]]:
    """Returns the changes and events, which are part of the document of every statement that changes runs."""
    return {
        "changes": [rows.change_row(change) for p in progresses for change in p.changes],
        "events": [rows.event_row(event) for p in progresses for event in p.events],
    }


async def assignments(connection: Connection, steps: Sequence[StepId]) -> dict[StepId, Assignment]:
    """Reads the assignments of steps that a worker has claimed."""
    found = await connection.fetch(sql.WORK, rows.step_ids(steps)) if steps else []
    return {(a.lease_id.run_id, a.lease_id.task_id): a for a in map(rows.assignment, found)}
