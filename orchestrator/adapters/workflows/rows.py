"""Converts between rows and the domain types of runs and steps."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from uuid import UUID

from pydantic import TypeAdapter
from uuid_utils.compat import uuid7

from mesh.usage import TokenUsage
from orchestrator.adapters.postgres.documents import document
from orchestrator.executions.facts import AnswerFacts
from orchestrator.executions.model import Bill, Failure, State
from orchestrator.identity.model import Principal
from orchestrator.workflows.assignment import Assignment, LeaseId, Spent
from orchestrator.workflows.events import WorkflowEvent
from orchestrator.workflows.model import (
    Change,
    OnIncomplete,
    PendingApproval,
    Retry,
    Run,
    RunState,
    Step,
    StepApproval,
    StepState,
    StoppedStep,
)
from orchestrator.workflows.progress.step_progress import StepProgress


class Row(Protocol):
    """A row of asyncpg or SQLAlchemy."""

    def __getitem__(self, name: str, /) -> Any: ...


_BILL = TypeAdapter(Bill)
_FAILURE = TypeAdapter(Failure)
_FACTS = TypeAdapter(AnswerFacts)
_APPROVAL = TypeAdapter(StepApproval)
_STOPPED = TypeAdapter(tuple[StoppedStep, ...])
_RUN = TypeAdapter(Run)
_STEP = TypeAdapter(Step)
_OF_RUN, _OF_STEP = "run", "step"

StepId = tuple[UUID, str]
"""A run id and a task id."""


def run(row: Row, steps: Sequence[Step] = (), *, results_omitted: bool = False) -> Run:
    return Run(
        run_id=_uuid(row["run_id"]),
        workflow_id=_uuid(row["workflow_id"]),
        agent_id=row["agent_id"] or "",
        user_id=row["user_id"],
        state=RunState(row["status"]),
        sequence=row["sequence"],
        request_id=row["request_id"],
        created_at=row["created_at"],
        failure=_read(_FAILURE, row["failure"]),
        failed_task=row["failed_task"],
        cancel_requested_at=row["cancel_requested_at"],
        stopped_steps=_read(_STOPPED, row["stopped_steps"]) or (),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        api_key_id=_uuid(row["api_key_id"]),
        steps=steps,
        results_omitted=results_omitted,
    )


def step(row: Row, result: str = "") -> Step:
    return Step(
        task_id=row["task_id"],
        agent_id=row["agent_id"],
        state=StepState(row["status"]),
        attempts=row["attempts"],
        agent_revision=row["agent_revision"],
        execution_id=_uuid(row["execution_id"]),
        result=result,
        result_bytes=row["result_bytes"],
        failure=_read(_FAILURE, row["failure"]),
        bill=_read(_BILL, row["bill"]),
        facts=_read(_FACTS, row["facts"]),
        approval=_read(_APPROVAL, row["approval"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        next_attempt_at=row["next_attempt_at"] if row["attempts"] else None,
    )


def record(row: Row) -> StepProgress:
    """Converts a step for the engine. Its result is not read, because a completed step never changes."""
    return StepProgress(
        step=step(row),
        depends_on=row["depends_on"],
        retry=Retry(row["max_attempts"], row["delay_seconds"], row["backoff"]),
        waiting=row["waiting"],
        epoch=row["epoch"],
        owner=_uuid(row["owner"]),
        lease_until=row["lease_until"],
        crashes=row["crashes"],
        due_at=row["next_attempt_at"],
        missing_since=row["missing_since"],
    )


def assignment(row: Row) -> Assignment:
    return Assignment(
        lease_id=lease_id(row),
        attempt=row["attempts"],
        agent_id=row["agent_id"],
        input=row["input"],
        results=_json(row["results"]) or {},
        context=_json(row["context"]),
        timeout_seconds=row["timeout_seconds"],
        principal=Principal(row["user_id"], _uuid(row["api_key_id"])),
        request_id=row["request_id"],
        on_incomplete=OnIncomplete(row["on_incomplete"]),
        background=row["background"],
    )


def pending_approval(row: Row) -> PendingApproval:
    return PendingApproval(
        run_id=_uuid(row["run_id"]),
        task_id=row["task_id"],
        agent_id=row["agent_id"],
        user_id=row["user_id"],
        workflow_id=_uuid(row["workflow_id"]),
        workflow_name=row["name"] or "",
        approval=_read(_APPROVAL, row["approval"]),
        expires_at=row["approval_expires_at"],
        run_created_at=row["created_at"],
    )


def lease_id(row: Row) -> LeaseId:
    return LeaseId(_uuid(row["run_id"]), row["task_id"], row["epoch"])


def spent(rows: Sequence[Row]) -> Spent:
    """Sums up the executions of one step, given in order."""
    settled = [row for row in rows if State(row["status"]).final]
    running = len(settled) < len(rows)
    if not settled:
        return Spent(running=running)
    last = settled[-1]
    bills = [bill for row in settled if (bill := _bill(row)) is not None]
    answered = last["status"] == State.COMPLETED
    facts = _read(_FACTS, last["facts"])
    return Spent(_uuid(last["execution_id"]), last["agent_revision"], _sum(bills), _bill(last), facts, answered, running)


def change(row: Row, result: str = "", result_bytes: int = 0) -> Change:
    """Converts a change. The result of a step is stored with the step, not with its change, and may be left out."""
    payload = _json(row["payload"])
    if row["kind"] == _OF_STEP and payload["state"] == StepState.COMPLETED:
        payload |= {"result": result, "result_bytes": result_bytes}
    subject = _RUN.validate_python(payload) if row["kind"] == _OF_RUN else _STEP.validate_python(payload)
    return Change(_uuid(row["run_id"]), row["sequence"], subject)


def change_row(change: Change) -> dict[str, Any]:
    """Returns the row of a change. The result of a step is stored only with the step."""
    subject = change.subject
    if isinstance(subject, Run):
        kind, payload = _OF_RUN, _RUN.dump_python(subject, mode="json", exclude={"steps", "results_omitted"}, exclude_defaults=True)
    else:
        kind, payload = _OF_STEP, _STEP.dump_python(subject, mode="json", exclude={"result", "result_bytes"}, exclude_defaults=True)
    return {"run_id": change.run_id, "sequence": change.sequence, "kind": kind, "payload": payload}


def event_row(event: WorkflowEvent) -> dict[str, Any]:
    """Returns the outbox row of an event."""
    return {
        "event_id": uuid7(),
        "event_type": event.event_type,
        "aggregate_id": event.aggregate_id,
        "data": event.data,
        "metadata": {"request_id": event.run.request_id},
    }


def step_row(run_id: UUID, record: StepProgress) -> dict[str, Any]:
    """Returns the columns of a step that can change."""
    s = record.step
    return {
        "run_id": run_id,
        "task_id": s.task_id,
        "status": s.state.value,
        "waiting": record.waiting,
        "epoch": record.epoch,
        "owner": record.owner,
        "lease_until": record.lease_until,
        "attempts": s.attempts,
        "crashes": record.crashes,
        "next_attempt_at": record.due_at,
        "approval_expires_at": s.approval.expires_at if s.approval and s.state is StepState.WAITING_APPROVAL else None,
        "agent_revision": s.agent_revision,
        "execution_id": s.execution_id,
        "result": s.result,
        "failure": _written(_FAILURE, s.failure),
        "bill": _written(_BILL, s.bill),
        "facts": _written(_FACTS, s.facts),
        "missing_since": record.missing_since,
        "approval": approval_json(s.approval),
        "started_at": s.started_at,
        "finished_at": s.finished_at,
    }


def run_row(run: Run) -> dict[str, Any]:
    """Returns the columns of a run that can change."""
    return {
        "run_id": run.run_id,
        "status": run.state.value,
        "sequence": run.sequence,
        "failure": _written(_FAILURE, run.failure),
        "failed_task": run.failed_task,
        "cancel_requested_at": run.cancel_requested_at,
        "stopped_steps": _written(_STOPPED, tuple(run.stopped_steps)),
        "started_at": run.started_at,
        "finished_at": run.finished_at,
    }


def approval_json(approval: StepApproval | None) -> Any:
    """Returns the approval of a step as the JSON of its column."""
    return _written(_APPROVAL, approval)


def step_ids(steps: Iterable[StepId]) -> str:
    """Returns the JSON document that lists steps."""
    return document([{"run_id": run_id, "task_id": task_id} for run_id, task_id in steps])


def _sum(bills: Sequence[Bill]) -> Bill | None:
    if not bills:
        return None
    usages = [bill.usage for bill in bills]
    usage = TokenUsage(
        usages[-1].model,
        sum(u.input_tokens for u in usages),
        sum(u.output_tokens for u in usages),
        sum(u.cache_read_tokens for u in usages),
        sum(u.cache_write_tokens for u in usages),
        any(u.estimated for u in usages),
    )
    return Bill(usage, sum(bill.cost_micro_usd for bill in bills), bills[-1].price_table)


def _bill(row: Row) -> Bill | None:
    if row["model"] is None:
        return None
    tokens = (row["input_tokens"], row["output_tokens"], row["cache_read_tokens"], row["cache_write_tokens"])
    return Bill(TokenUsage(row["model"], *tokens, row["usage_estimated"]), row["cost_micro_usd"], row["price_table"])


def _read(kind: TypeAdapter[Any], value: Any) -> Any:
    return None if value is None else kind.validate_python(_json(value))


def _written(kind: TypeAdapter[Any], value: Any) -> Any:
    return None if value is None else kind.dump_python(value, mode="json")


def _json(value: Any) -> Any:
    # asyncpg returns JSON as text and SQLAlchemy decodes it. No column holds a bare JSON string.
    return json.loads(value) if isinstance(value, str) else value


def _uuid(value: Any) -> Any:
    # asyncpg returns a subclass of UUID, which not every serializer accepts.
    return None if value is None else UUID(int=value.int)
