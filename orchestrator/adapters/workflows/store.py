"""The store of workflows on PostgreSQL."""

from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Row, Select, delete, func, insert, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.idempotency import keys
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.adapters.workflows import views
from orchestrator.adapters.workflows.states import FINAL
from orchestrator.adapters.workflows.tables import runs, steps, workflows
from orchestrator.idempotency.model import Claim, OriginalRequest
from orchestrator.workflows.errors import WorkflowAlreadyRunning
from orchestrator.workflows.model import (
    NewWorkflow,
    RunState,
    Task,
    TaskResult,
    View,
    Workflow,
    WorkflowPage,
    WorkflowQuery,
)

_TASKS = TypeAdapter(tuple[Task, ...])
_RESULTS = (
    select(func.jsonb_agg(aggregate_order_by(func.jsonb_build_array(steps.c.task_id, steps.c.result), steps.c.position)))
    .where(steps.c.run_id == workflows.c.latest_run_id, steps.c.status == "completed")
    .scalar_subquery()
)
_RESULT_BYTES = (
    select(func.coalesce(func.sum(func.octet_length(steps.c.result)), 0))
    .where(steps.c.run_id == workflows.c.latest_run_id, steps.c.status == "completed")
    .scalar_subquery()
)
_LISTED = [column for column in workflows.c if column.name != "tasks"]


class PostgresWorkflowStore:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(self, workflow: NewWorkflow, claim: Claim | None) -> Workflow | OriginalRequest:
        """Creates a workflow, or returns the request that holds the key."""
        values = {
            "workflow_id": workflow.workflow_id,
            "user_id": workflow.user_id,
            "name": workflow.name,
            "tasks": _TASKS.dump_python(tuple(workflow.tasks), mode="json"),
            "task_count": len(workflow.tasks),
        }
        with unavailable():
            async with self._engine.begin() as connection:
                if claim is not None and (original := await keys.claim_one(connection, workflow.workflow_id, claim)):
                    return original
                row = (await connection.execute(insert(workflows).values(**values).returning(workflows))).one()
        return _workflow(row)

    async def original(self, claim: Claim) -> OriginalRequest | None:
        """Returns the request that holds the key; None if the key is free."""
        with unavailable():
            async with self._engine.connect() as connection:
                return await keys.find(connection, claim)

    async def get(self, user_id: int | None, workflow_id: UUID, view: View = View.FITTING) -> Workflow | None:
        """Returns a workflow; see the port."""
        statement = _visible(select(workflows, _RESULT_BYTES.label("result_bytes")), user_id, workflow_id)
        with unavailable():
            async with self._engine.connect() as connection:
                row = (await connection.execute(statement)).one_or_none()
                if row is None:
                    return None
                results: Any = None
                if shown := views.shows_results(view, row.result_bytes, row.latest_run_id):
                    results = await connection.scalar(select(_RESULTS).where(workflows.c.workflow_id == workflow_id))
        return _workflow(row, results, omitted=not shown and row.result_bytes > 0)

    async def list(self, query: WorkflowQuery) -> WorkflowPage:
        # Reads one row more than fits, to learn whether there is another page.
        statement = select(*_LISTED)
        if query.user_id is not None:
            statement = statement.where(workflows.c.user_id == query.user_id)
        if query.state is not None:
            statement = statement.where(workflows.c.status == query.state.value)
        if query.before is not None:
            statement = statement.where(workflows.c.workflow_id < query.before)
        with unavailable():
            async with self._engine.connect() as connection:
                found = (await connection.execute(statement.order_by(workflows.c.workflow_id.desc()).limit(query.page_size + 1))).all()
        return WorkflowPage([_workflow(row) for row in found[: query.page_size]], more=len(found) > query.page_size)

    async def delete(self, user_id: int | None, workflow_id: UUID) -> bool:
        """Deletes a workflow and its runs; see the port."""
        active = select(runs.c.run_id).where(runs.c.workflow_id == workflow_id, runs.c.status.not_in(FINAL))
        with unavailable():
            async with self._engine.begin() as connection:
                # Locks the workflow so that no run can start, and then looks for an active run.
                locked = _visible(select(workflows.c.workflow_id), user_id, workflow_id).with_for_update()
                if (await connection.execute(locked)).one_or_none() is None:
                    return False
                if (run_id := await connection.scalar(active)) is not None:
                    message = f"Workflow '{workflow_id}' has an active run; cancel it before you delete the workflow"
                    raise WorkflowAlreadyRunning(message, workflow_id=str(workflow_id), run_id=str(run_id))
                await connection.execute(delete(workflows).where(workflows.c.workflow_id == workflow_id))
        return True


def _visible(statement: Select[Any], user_id: int | None, workflow_id: UUID) -> Select[Any]:
    statement = statement.where(workflows.c.workflow_id == workflow_id)
    return statement if user_id is None else statement.where(workflows.c.user_id == user_id)


def _workflow(row: Row[Any], results: Any = None, *, omitted: bool = False) -> Workflow:
    values = row._mapping
    return Workflow(
        workflow_id=values["workflow_id"],
        user_id=values["user_id"],
        name=values["name"],
        state=RunState(values["status"]),
        task_count=values["task_count"],
        created_at=values["created_at"],
        latest_run_id=values["latest_run_id"],
        tasks=_TASKS.validate_python(values.get("tasks", ())),
        results=[TaskResult(*pair) for pair in results or ()],
        results_omitted=omitted,
    )
