"""Reads executions from PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.usage import TokenUsage
from orchestrator.adapters.executions.tables import executions as t
from orchestrator.adapters.postgres import excerpts
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.executions.facts import AnswerFacts
from orchestrator.executions.model import WHOLE, Bill, Excerpt, Execution, ExecutionPage, ExecutionQuery, Failure, State, StepRef

SCANNED = 20_000
"""How many executions a page looks at when it has filters without an index: a few tens of milliseconds."""
LONGEST = timedelta(hours=1)
"""How long after its beginning an execution has ended, unless the platform was down."""
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
        """A page; see ExecutionStore. It reads one row more than fits, to know whether more follow."""
        with unavailable():
            async with self._engine.connect() as connection:
                last = await connection.scalar(_last_scanned(query)) if _has_filters_without_index(query) else None
                rows = (await connection.execute(_page(query, last))).all()
        shown = rows[: query.page_size]
        next_before = shown[-1].execution_id if len(rows) > len(shown) else last
        return ExecutionPage([_execution(row) for row in shown], next_before)

    async def of_step(self, step: StepRef) -> Sequence[Execution]:
        """The executions of a step's attempts, oldest first."""
        statement = select(*_LISTED).where(t.c.run_id == step.run_id, t.c.task_id == step.task_id).order_by(t.c.execution_id)
        with unavailable():
            async with self._engine.connect() as connection:
                return [_execution(row) for row in await connection.execute(statement)]


def _seen(statement: Select[Any], sees: int | None) -> Select[Any]:
    return statement if sees is None else statement.where(t.c.user_id == sees)


def _page(query: ExecutionQuery, last: UUID | None) -> Select[Any]:
    """The statement of a page: the executions down to `last` that match every filter."""
    statement = _indexed(select(*_LISTED), query)
    if last is not None:
        statement = statement.where(t.c.execution_id >= last)
    if query.state is not None:
        statement = statement.where(t.c.status == query.state.value)
    if query.model:
        statement = statement.where(t.c.model == query.model)
    if query.reason:
        reason = func.coalesce(t.c.failure["reason"].astext, func.upper(t.c.status))
        statement = statement.where(t.c.status.not_in((State.RUNNING.value, State.COMPLETED.value)), reason == query.reason)
    if query.begins is not None:
        statement = statement.where(t.c.finished_at >= query.begins)
    if query.ends is not None:
        statement = statement.where(t.c.finished_at < query.ends)
    return statement.limit(query.page_size + 1)


def _last_scanned(query: ExecutionQuery) -> Select[Any]:
    """The statement for the last execution that one page looks at; it returns no row if fewer are left."""
    return _indexed(select(t.c.execution_id), query).offset(SCANNED - 1).limit(1)


def _has_filters_without_index(query: ExecutionQuery) -> bool:
    return any(one is not None for one in (query.state, query.begins, query.ends)) or bool(query.model or query.reason)


def _indexed(statement: Select[Any], query: ExecutionQuery) -> Select[Any]:
    """The rest of a statement that reads executions in order, with the filters for which there is an index."""
    statement = _seen(statement, query.sees)
    if query.user_id is not None:
        statement = statement.where(t.c.user_id == query.user_id)
    if query.agent_id:
        statement = statement.where(t.c.agent_id == query.agent_id)
    if query.api_key_id is not None:
        statement = statement.where(t.c.api_key_id == query.api_key_id)
    if query.before is not None:
        statement = statement.where(t.c.execution_id < query.before)
    if query.begins is not None:
        statement = statement.where(t.c.execution_id >= first_id(query.begins - LONGEST))
    if query.ends is not None:
        statement = statement.where(t.c.execution_id < first_id(query.ends))
    return statement.order_by(t.c.execution_id.desc())


def first_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return UUID(int=milliseconds << 80)


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
        step=None if values["run_id"] is None else StepRef(values["run_id"], values["task_id"]),
        api_key_id=values["api_key_id"],
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
