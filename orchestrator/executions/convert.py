"""Converts between the domain types and the messages of agentmesh.execution.v1."""

from datetime import datetime
from typing import Any
from uuid import UUID

from agentmesh.common.v1 import answer_pb2, error_pb2, usage_pb2
from agentmesh.execution.v1 import execution_pb2
from agentmesh.execution.v1 import execution_service_pb2 as pb

from mesh.rpc.convert import FreeForm, given_values, struct, usage_to_proto
from mesh.rpc.envelope import timestamp
from mesh.rpc.requests.paging import page_size, page_token, read_page_token
from mesh.rpc.requests.times import times
from orchestrator.executions.estimates import Estimate
from orchestrator.executions.facts import AnswerFacts, StopReason
from orchestrator.executions.model import Bill, Excerpt, Execution, ExecutionPage, ExecutionQuery, Failure, State, Work
from orchestrator.executions.service import Answered

MOST_RESULT_BYTES = 4_000_000
"""Of an answer to ExecuteAgent over gRPC: leaves room for the other fields below the 4 MiB that clients accept by default."""
SMALL_CHARACTERS = MOST_RESULT_BYTES // 4
"""A result of so few characters has no more bytes."""
DELTA_CHARACTERS = 250_000
_STATUS = {
    State.RUNNING: execution_pb2.EXECUTION_STATUS_RUNNING,
    State.COMPLETED: execution_pb2.EXECUTION_STATUS_COMPLETED,
    State.FAILED: execution_pb2.EXECUTION_STATUS_FAILED,
    State.CANCELLED: execution_pb2.EXECUTION_STATUS_CANCELLED,
    State.OUTCOME_UNKNOWN: execution_pb2.EXECUTION_STATUS_OUTCOME_UNKNOWN,
}
_STOP_REASONS = {reason: answer_pb2.StopReason.Value(f"STOP_REASON_{reason.name}") for reason in StopReason}
_STOP_REASON = {number: reason for reason, number in _STOP_REASONS.items()}
_STATE = {status: state for state, status in _STATUS.items()}


async def context_of(request: pb.ExecuteAgentRequest | pb.StreamAgentRequest | pb.EstimateExecutionRequest) -> FreeForm | None:
    """The request's context as plain values, or None if it has none."""
    return await given_values(request.context, "context") if request.HasField("context") else None


async def work(request: pb.ExecuteAgentRequest | pb.StreamAgentRequest, user_id: int, request_id: str, idempotency_key: str = "") -> Work:
    context = await context_of(request)
    return Work(user_id, request.agent_id, request.input, context, request_id, idempotency_key)


def excerpt(request: Any) -> Excerpt:
    """The part of a result that a request for an execution or a step asks for."""
    return Excerpt(request.result_offset, request.result_limit if request.HasField("result_limit") else None)


def execute_response(answered: Answered, *, omit_large: bool = False) -> pb.ExecuteAgentResponse:
    """The answer as a message; `omit_large` leaves out a result that default gRPC clients would refuse after it has been paid for."""
    omitted = omit_large and len(answered.result) > SMALL_CHARACTERS and len(answered.result.encode()) > MOST_RESULT_BYTES
    return pb.ExecuteAgentResponse(
        agent_name=answered.agent_name,
        result="" if omitted else answered.result,
        result_omitted=True if omitted else None,
        execution_time=answered.seconds,
        metadata=struct(answered.metadata),
        execution_id=str(answered.execution_id),
        usage=bill(answered.bill),
        facts=facts_to_proto(answered.facts),
    )


def estimate_response(estimate: Estimate) -> pb.EstimateExecutionResponse:
    typical = estimate.typical
    return pb.EstimateExecutionResponse(
        input_tokens=estimate.input_tokens,
        worst_case_micro_usd=estimate.worst_case_micro_usd,
        typical_micro_usd=pb.TypicalCost(p50=typical.micro_usd_p50, p90=typical.micro_usd_p90),
        typical_seconds=pb.TypicalSeconds(p50=typical.seconds_p50, p90=typical.seconds_p90),
        samples=typical.samples,
    )


def done(answered: Answered) -> pb.Done:
    """The last message of a streamed answer."""
    return pb.Done(
        execution_id=str(answered.execution_id),
        agent_name=answered.agent_name,
        execution_time=answered.seconds,
        metadata=struct(answered.metadata),
        facts=facts_to_proto(answered.facts),
    )


def facts_to_proto(facts: AnswerFacts | None) -> answer_pb2.AnswerFacts | None:
    """The facts of an answer as a message. None leaves the field unset."""
    if facts is None:
        return None
    return answer_pb2.AnswerFacts(
        provider=facts.provider,
        model=facts.model,
        stop_reason=_STOP_REASONS[facts.stop_reason],
        stop_detail=facts.stop_detail,
        agent_revision=facts.agent_revision,
        turns=facts.turns,
        redacted=facts.redacted,
    )


def answer_facts(message: answer_pb2.AnswerFacts) -> AnswerFacts:
    """The facts in an agent's answer. A stop reason that only a later release knows becomes UNSPECIFIED."""
    return AnswerFacts(
        provider=message.provider,
        model=message.model,
        stop_reason=_STOP_REASON.get(message.stop_reason, StopReason.UNSPECIFIED),
        stop_detail=message.stop_detail,
        agent_revision=message.agent_revision,
        turns=message.turns,
        redacted=dict(message.redacted),
    )


def bill(bill: Bill) -> usage_pb2.Usage:
    return usage_to_proto(bill.usage, bill.cost_micro_usd, bill.price_table)


def execution(record: Execution) -> execution_pb2.Execution:
    """An execution as a message. Texts that the store left out are empty."""
    message = execution_pb2.Execution(
        execution_id=str(record.execution_id),
        agent_id=record.agent_id,
        agent_name=record.agent_name,
        agent_revision=record.agent_revision,
        status=_STATUS[record.state],
        input=record.input,
        context=None if record.context is None else struct(record.context),
        result=record.result,
        failure=None if record.failure is None else failure(record.failure, record.request_id, record.finished_at),
        usage=None if record.bill is None else bill(record.bill),
        metadata=struct(record.metadata),
        streamed=record.streamed,
        request_id=record.request_id,
        facts=facts_to_proto(record.facts),
        run_id=str(record.step.run_id) if record.step else "",
        step_id=record.step.task_id if record.step else "",
        api_key_id=str(record.api_key_id or ""),
        user_id=record.user_id,
    )
    message.created_at.FromDatetime(record.created_at)
    if record.finished_at is not None:
        message.finished_at.FromDatetime(record.finished_at)
    return message


def failure(failure: Failure, request_id: str, at: datetime | None) -> error_pb2.Error:
    """A stored failure as the error that the caller got. `at` is when it happened; None if that is unknown."""
    return error_pb2.Error(
        code=failure.reason,
        message=failure.message,
        details=struct({**failure.details, "retryable": failure.retryable}),
        request_id=request_id,
        timestamp="" if at is None else timestamp(at),
    )


def query(request: pb.ListExecutionsRequest, sees: int | None) -> ExecutionQuery:
    """The query of a list request. Raises ValidationFailed for a page token that this service did not issue, and for a bad time."""
    moments = times(request, "start_time", "end_time")
    return ExecutionQuery(
        sees,
        page_size(request),
        before=read_page_token(request.page_token),
        agent_id=request.agent_id,
        state=_STATE.get(request.status),
        user_id=request.user_id or None,
        api_key_id=UUID(request.api_key_id) if request.api_key_id else None,
        model=request.model,
        reason=request.reason,
        begins=moments.get("start_time"),
        ends=moments.get("end_time"),
    )


def list_response(page: ExecutionPage) -> pb.ListExecutionsResponse:
    token = page_token(page.next_before) if page.next_before else ""
    return pb.ListExecutionsResponse(executions=map(execution, page.executions), next_page_token=token)
