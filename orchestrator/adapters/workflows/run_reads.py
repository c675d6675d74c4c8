"""Reads runs, their steps and their changes from PostgreSQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, case, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.postgres import excerpts
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.adapters.workflows import rows, views
from orchestrator.adapters.workflows.tables import run_events, runs, steps, workflows
from orchestrator.executions.model import WHOLE, Excerpt
from orchestrator.workflows.errors import RunNotFound
from orchestrator.workflows.model import ApprovalPage, ApprovalQuery, Change, Run, RunPage, RunQuery, StepDetails, View
from orchestrator.workflows.tasks.templates import LONGEST_INPUT, references

_BYTES = func.octet_length(steps.c.result).label("result_bytes")
_STEP: list[Any] = [*(column for column in steps.c if column.name not in ("input", "context", "result")), _BYTES]


class RunReads:
    """The reading half of the port RunStore."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, user_id: int | None, run_id: UUID, view: View = View.FITTING) -> Run | None:
        """Returns a run with its steps; see the port."""
        of_run = steps.c.run_id == run_id
        with unavailable():
            async with self._engine.connect() as connection:
                # One snapshot for all statements, so that the steps match the run.
                await connection.execution_options(isolation_level="REPEATABLE READ")
                found = (await connection.execute(_visible(user_id, run_id))).one_or_none()
                if found is None:
                    return None
                shown = (await connection.execute(select(*_STEP).where(of_run).order_by(steps.c.position))).all()
                total, results = sum(row.result_bytes for row in shown), {}
                if with_results := views.shows_results(view, total, run_id):
                    texts = select(steps.c.task_id, steps.c.result).where(of_run, steps.c.status == "completed")
                    results = {row.task_id: row.result for row in await connection.execute(texts)}
        read = [rows.step(row._mapping, results.get(row.task_id, "")) for row in shown]
        return rows.run(found._mapping, read, results_omitted=total > 0 and not with_results)

    async def step(self, user_id: int | None, run_id: UUID, task_id: str, excerpt: Excerpt = WHOLE) -> StepDetails | None:
        """Returns one step; see the port."""
        columns = [*(column for column in steps.c if column is not steps.c.result), *excerpts.result_columns(steps.c.result, excerpt)]
        statement = select(*columns).where(steps.c.run_id == run_id, steps.c.task_id == task_id)
        with unavailable():
            async with self._engine.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                run = (await connection.execute(_visible(user_id, run_id))).one_or_none()
                if run is None:
                    raise run_not_found(run_id)
                row = (await connection.execute(statement)).one_or_none()
                if row is None:
                    return None
                excerpts.check(row, excerpt)
                # One character more than an input can have, so that a text that is too long stays too long.
                text = func.substr(steps.c.result, 1, LONGEST_INPUT + 1).label("result")
                used = select(steps.c.task_id, text).where(
                    steps.c.run_id == run_id, steps.c.task_id.in_(references(row.input)), steps.c.status == "completed"
                )
                results = {one.task_id: one.result for one in await connection.execute(used)}
        step = rows.step(row._mapping, row.result)
        return StepDetails(rows.run(run._mapping), step, row.input, row.context, row.waiting > 0, results, row.result_characters)

    async def list(self, query: RunQuery) -> RunPage:
        # Reads one row more than fits, to learn whether there is another page.
        with unavailable():
            async with self._engine.connect() as connection:
                found = (await connection.execute(_page(query))).all()
        return RunPage([rows.run(row._mapping) for row in found[: query.page_size]], more=len(found) > query.page_size)

    async def approvals(self, query: ApprovalQuery) -> ApprovalPage:
        """Returns a page of the steps that wait for a decision; see the port."""
        # Reads one row more than fits, to learn whether there is another page.
        with unavailable():
            async with self._engine.connect() as connection:
                found = (await connection.execute(_approvals(query))).all()
        return ApprovalPage([rows.pending_approval(row._mapping) for row in found[: query.page_size]], more=len(found) > query.page_size)

    async def changes(self, run_id: UUID, after_sequence: int, limit: int) -> Sequence[Change]:
        """Returns the changes of a run after `after_sequence`, in order; see the port."""
        t = run_events.c
        of_step = and_(steps.c.run_id == t.run_id, steps.c.task_id == t.payload["task_id"].astext)
        size = func.octet_length(steps.c.result)
        result = case((size <= views.MOST_BYTES_BY_DEFAULT, steps.c.result), else_="")
        statement = (
            select(run_events, func.coalesce(result, "").label("result"), func.coalesce(size, 0).label("result_bytes"))
            .select_from(run_events.outerjoin(steps, of_step))
            .where(t.run_id == run_id, t.sequence > after_sequence)
            .order_by(t.sequence)
            .limit(limit)
        )
        with unavailable():
            async with self._engine.connect() as connection:
                return [rows.change(row._mapping, row.result, row.result_bytes) for row in await connection.execute(statement)]

    async def sequences(self, run_ids: Sequence[UUID]) -> Sequence[tuple[UUID, int]]:
        """Returns the sequence of the latest change of each run that exists."""
        with unavailable():
            async with self._engine.connect() as connection:
                found = await connection.execute(select(runs.c.run_id, runs.c.sequence).where(runs.c.run_id.in_(run_ids)))
                return [(row.run_id, row.sequence) for row in found]


def run_not_found(run_id: UUID) -> RunNotFound:
    """Returns the error for a run that does not exist or that belongs to another user."""
    return RunNotFound(f"Run '{run_id}' not found; GET /api/v1/runs lists yours", run_id=str(run_id))


def _visible(user_id: int | None, run_id: UUID) -> Select[Any]:
    statement = select(runs).where(runs.c.run_id == run_id)
    return statement if user_id is None else statement.where(runs.c.user_id == user_id)


def _approvals(query: ApprovalQuery) -> Select[Any]:
    t = steps.c
    of_workflow = steps.join(runs, runs.c.run_id == t.run_id).outerjoin(workflows, workflows.c.workflow_id == runs.c.workflow_id)
    shown = (t.run_id, t.task_id, t.agent_id, t.user_id, t.approval, t.approval_expires_at, runs.c.workflow_id, runs.c.created_at)
    statement = select(*shown, workflows.c.name).select_from(of_workflow).where(t.status == "waiting_approval")
    order = (t.approval_expires_at, t.run_id, t.task_id)
    if query.user_id is not None:
        statement = statement.where(t.user_id == query.user_id)
    if query.after is not None:
        statement = statement.where(tuple_(*order) > tuple_(*query.after))
    return statement.order_by(*order).limit(query.page_size + 1)


def _page(query: RunQuery) -> Select[Any]:
    statement = select(runs)
    if query.user_id is not None:
        statement = statement.where(runs.c.user_id == query.user_id)
    if query.workflow_id is not None:
        statement = statement.where(runs.c.workflow_id == query.workflow_id)
    if query.state is not None:
        statement = statement.where(runs.c.status == query.state.value)
    if query.agent_id:
        statement = statement.where(exists().where(steps.c.run_id == runs.c.run_id, steps.c.agent_id == query.agent_id))
    if query.before is not None:
        statement = statement.where(runs.c.run_id < query.before)
    return statement.order_by(runs.c.run_id.desc()).limit(query.page_size + 1)
