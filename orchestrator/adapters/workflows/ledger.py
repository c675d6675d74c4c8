"""Changes runs: lock, load, apply the rules, write. All of it in the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import asyncpg

from orchestrator.adapters.postgres.group_commit import Connection
from orchestrator.adapters.workflows import rows, sql
from orchestrator.workflows.assignment import Assignment, Spent
from orchestrator.workflows.model import Run
from orchestrator.workflows.progress import Progress

STOP_CHANNEL = "agentmesh_stop"
"""PostgreSQL tells here, at once, of runs whose steps must stop."""

StepId = tuple[UUID, str]


async def lock(connection: Connection, run_ids: Iterable[UUID]) -> dict[UUID, Progress]:
    """The runs there are of these, locked."""
    return await load(connection, await connection.fetch(sql.LOCK, list(run_ids)))


async def load(connection: Connection, locked: Sequence[asyncpg.Record]) -> dict[UUID, Progress]:
    """The runs of rows that have just been locked."""
    if not locked:
        return {}
    runs = {run.run_id: (run, row["now"]) for row in locked for run in (rows.run(row),)}
    records: dict[UUID, list[asyncpg.Record]] = {run_id: [] for run_id in runs}
    for row in await connection.fetch(sql.LOAD, list(runs)):
        records[row["run_id"]].append(row)
    return {run_id: Progress(run, map(rows.record, records[run_id]), now) for run_id, (run, now) in runs.items()}


async def spent(connection: Connection, steps: Sequence[StepId]) -> Mapping[StepId, Spent]:
    """What the books say of these steps. Nothing of a step that has no execution."""
    found: dict[StepId, list[asyncpg.Record]] = {}
    for row in await connection.fetch(sql.SPENT, *rows.columns(steps, 2)):
        found.setdefault((row["run_id"], row["task_id"]), []).append(row)
    return {step: rows.spent(of_step) for step, of_step in found.items()}


async def write(connection: Connection, progresses: Iterable[Progress]) -> list[Progress]:
    """Writes what has changed; returns the runs that have."""
    changed = [p for p in progresses if p.changes or p.touched]
    if not changed:
        return []
    steps = [rows.step_columns(p.run.run_id, record) for p in changed for record in p.touched.values()]
    states = {p.run.workflow_id: p.run.state.value for p in changed if any(isinstance(c.subject, Run) for c in p.changes)}
    await connection.execute(
        sql.WRITE,
        *notes(changed),
        *rows.columns(steps, 19),
        *rows.columns([rows.run_columns(p.run) for p in changed], 9),
        list(states),
        list(states.values()),
        [p.run.run_id for p in changed if p.stops_steps],
        STOP_CHANNEL,
    )
    return changed


def notes(progresses: Sequence[Progress]) -> list[list[object]]:
    """The first parameters of a statement that changes runs: changes and events."""
    changes = [rows.change_columns(change) for p in progresses for change in p.changes]
    events = [rows.event_columns(event) for p in progresses for event in p.events]
    return [*rows.columns(changes, 4), *rows.columns(events, 5)]


async def assignments(connection: Connection, steps: Sequence[StepId]) -> dict[StepId, Assignment]:
    """What there is to do in steps that a worker has been given."""
    found = await connection.fetch(sql.WORK, *rows.columns(steps, 2)) if steps else []
    return {(a.lease_id.run_id, a.lease_id.task_id): a for a in map(rows.assignment, found)}
