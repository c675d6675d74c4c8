"""Reads executions from PostgreSQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.usage import TokenUsage
from orchestrator.adapters.executions.tables import executions as t
from orchestrator.adapters.postgres import excerpts
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.executions.facts import AnswerFacts
from orchestrator.executions.model import WHOLE, Bill, Excerpt, Execution, ExecutionPage, ExecutionQuery, Failure, State, StepRef

_TEXTS = ("input", "context", "result", "metadata")
_FACTS = TypeAdapter(AnswerFacts)
_LISTED = [column for column in t.c if column.name not in _TEXTS]


class PostgresExecutionStore:
    """Reads the executions of one user, to whom those of other users are invisible, or of all users."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, sees: int | None, execution_id: UUID, excerpt: Excerpt = WHOLE) -> Execution | None:
        """An execution; see ExecutionStore."""
        columns = [*(column for column in t.c if column is not t.c.result), *excerpts.result_columns(t.c.result, excerpt)]
        statement = _seen(select(*columns).where(t.c.execution_id == execution_id), sees)
        with unavailable():
            async with self._engine.connect() as connection:
                row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        excerpts.check(row, excerpt)
        return _execution(row)

    async def list(self, query: ExecutionQuery) -> ExecutionPage:
        """A page. It reads one row more than fits, to know whether more follow."""
        with unavailable():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_page(query))).all()
        shown = rows[: query.page_size]
        return ExecutionPage([_execution(row) for row in shown], more=len(rows) > len(shown))

    async def of_step(self, step: StepRef) -> Sequence[Execution]:
        """The executions of a step's attempts, oldest first."""
        statement = select(*_LISTED).where(t.c.run_id == step.run_id, t.c.task_id == step.task_id).order_by(t.c.execution_id)
        with unavailable():
            async with self._engine.connect() as connection:
                return [_execution(row) for row in await connection.execute(statement)]


def _seen(statement: Select[Any], sees: int | None) -> Select[Any]:
    return statement if sees is None else statement.where(t.c.user_id == sees)


def _page(query: ExecutionQuery) -> Select[Any]:
    statement = _seen(select(*_LISTED), query.sees)
    if query.agent_id:
        statement = statement.where(t.c.agent_id == query.agent_id)
    if query.state is not None:
        statement = statement.where(t.c.status == query.state.value)
    if query.before is not None:
        statement = statement.where(t.c.execution_id < query.before)
    return statement.order_by(t.c.execution_id.desc()).limit(query.page_size + 1)


def _execution(row: Row[Any]) -> Execution:
    values = row._mapping
    return Execution(
        execution_id=values["execution_id"],
        user_id=values["user_id"],
        agent_id=values["agent_id"],
        agent_name=values["agent_name"],
        agent_revision=values["agent_revision"],
        state=State(values["status"]),
        input=values.get("input", ""),
        context=values.get("context"),
        result=values.get("result", ""),
        metadata=values.get("metadata", {}),
        failure=None if values["failure"] is None else Failure(**values["failure"]),
        bill=_bill(values),
        streamed=values["streamed"],
        request_id=values["request_id"],
        seconds=values["seconds"],
        created_at=values["created_at"],
        finished_at=values["finished_at"],
        facts=None if values["facts"] is None else _FACTS.validate_python(values["facts"]),
        result_characters=values.get("result_characters", 0),
    )


def _bill(values: Any) -> Bill | None:
    if values["model"] is None or values["status"] == State.RUNNING.value:
        return None
    usage = TokenUsage(
        values["model"],
        values["input_tokens"],
        values["output_tokens"],
        values["cache_read_tokens"],
        values["cache_write_tokens"],
        values["usage_estimated"],
    )
    return Bill(usage, values["cost_micro_usd"], values["price_table"])
