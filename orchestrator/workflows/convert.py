"""Converts between workflows and the messages of agentmesh.workflow.v1."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from agentmesh.workflow.v1 import workflow_pb2 as wf
from agentmesh.workflow.v1 import workflow_service_pb2 as pb
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from mesh.errors import ValidationFailed
from mesh.rpc.convert import given_values, struct
from mesh.rpc.requests.paging import invalid_page_token, page_size, page_token, read_page_token, read_text_token, text_token
from mesh.security.caller import Caller
from orchestrator.executions.convert import bill, execution, facts_to_proto, failure
from orchestrator.executions.model import Execution
from orchestrator.workflows.background import AgentWork
from orchestrator.workflows.live.model import LivePiece, LivePosition
from orchestrator.workflows.model import (
    Approval,
    ApprovalPage,
    ApprovalPlace,
    ApprovalQuery,
    Change,
    Decision,
    OnIncomplete,
    PendingApproval,
    Retry,
    Run,
    RunPage,
    RunQuery,
    RunState,
    Step,
    StepApproval,
    StepDetails,
    StepState,
    StoppedStep,
    Task,
    View,
    Workflow,
    WorkflowPage,
    WorkflowQuery,
)
from orchestrator.workflows.service import Draft
from orchestrator.workflows.watch import Ended, Heartbeat, Live

MOST_DEFINITION_BYTES = 3_000_000
"""Of the tasks of a workflow: with the megabyte of results that an answer has by default, they fit into 4 MiB."""
_WORKFLOW_STATUS = {state: wf.WorkflowStatus.Value(f"WORKFLOW_STATUS_{state.name}") for state in RunState}
_RUN_STATUS = {state: wf.RunStatus.Value(f"RUN_STATUS_{state.name}") for state in RunState}
_STEP_STATUS = {state: wf.StepStatus.Value(f"STEP_STATUS_{state.name}") for state in StepState}
_DECISION = {one: wf.ApprovalDecision.Value(f"APPROVAL_DECISION_{one.name}") for one in Decision}
_STATE = {status: state for state, status in _WORKFLOW_STATUS.items()}
_RUN_STATE = {status: state for state, status in _RUN_STATUS.items()}
_ON_INCOMPLETE = {wf.ON_INCOMPLETE_FAIL: OnIncomplete.FAIL, wf.ON_INCOMPLETE_USE: OnIncomplete.USE}
_VIEW = {wf.VIEW_UNSPECIFIED: View.FITTING, wf.VIEW_BASIC: View.BASIC, wf.VIEW_FULL: View.FULL}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECIDED = {status: one for one, status in _DECISION.items()}


async def draft(request: pb.CreateWorkflowRequest, idempotency_key: str) -> Draft:
    """Converts the request. Raises ValidationFailed for a workflow that would not fit into an answer."""
    if (size := request.ByteSize()) > MOST_DEFINITION_BYTES:
        description = f"must not exceed {MOST_DEFINITION_BYTES:,} bytes in protobuf encoding, and have {size:,}; split the workflow"
        raise ValidationFailed.of("tasks", description)
    return Draft(request.name, [await _task(place, task) for place, task in enumerate(request.tasks)], idempotency_key)


def query(request: pb.ListWorkflowsRequest, sees: int | None) -> WorkflowQuery:
    """Converts the request. Raises ValidationFailed for a page token that this service did not issue."""
    return WorkflowQuery(sees, page_size(request), read_page_token(request.page_token), _STATE.get(request.status))


def run_query(request: pb.ListRunsRequest, sees: int | None) -> RunQuery:
    """Converts the request. Raises ValidationFailed for a page token that this service did not issue."""
    return RunQuery(
        sees,
        page_size(request),
        read_page_token(request.page_token),
        UUID(request.workflow_id) if request.workflow_id else None,
        _RUN_STATE.get(request.status),
        request.agent_id,
    )


async def agent_work(request: pb.StartAgentRequest, idempotency_key: str) -> AgentWork:
    return AgentWork(
        request.agent_id,
        request.input,
        context=dict(await given_values(request.context, "context")) if request.HasField("context") else None,
        retry=Retry(**_given(request.retry, "max_attempts", "delay_seconds", "backoff")),
        idempotency_key=idempotency_key,
        **_given(request, "timeout_seconds"),
    )


def approval_query(request: pb.ListApprovalsRequest, caller: Caller) -> ApprovalQuery:
    """Converts the request. Raises ValidationFailed for a page token that this service did not issue."""
    after = None
    if (text := read_text_token(request.page_token)) is not None:
        try:
            micros, run_id, task_id = text.split(":", 2)
            after = ApprovalPlace(_EPOCH + timedelta(microseconds=int(micros)), UUID(run_id), task_id)
        except (ValueError, OverflowError):
            raise invalid_page_token() from None
    return ApprovalQuery(caller.sees if request.all_users else caller.user_id, page_size(request), after)


def approval_page(page: ApprovalPage) -> pb.ListApprovalsResponse:
    token = ""
    if page.more:
        last = page.approvals[-1].place
        token = text_token(f"{(last.expires_at - _EPOCH) // timedelta(microseconds=1)}:{last.run_id}:{last.task_id}")
    return pb.ListApprovalsResponse(approvals=map(_pending_approval, page.approvals), next_page_token=token)


def view(request: pb.GetRunRequest | pb.GetWorkflowRequest) -> View:
    return _VIEW[request.view]


def decision(request: pb.DecideApprovalRequest) -> Decision:
    return _DECIDED[request.decision]


def workflow_page(page: WorkflowPage) -> pb.ListWorkflowsResponse:
    token = page_token(page.workflows[-1].workflow_id) if page.more else ""
    return pb.ListWorkflowsResponse(workflows=map(workflow, page.workflows), next_page_token=token)


def run_page(page: RunPage) -> pb.ListRunsResponse:
    token = page_token(page.runs[-1].run_id) if page.more else ""
    return pb.ListRunsResponse(runs=map(run, page.runs), next_page_token=token)


def workflow(workflow: Workflow) -> wf.Workflow:
    return wf.Workflow(
        workflow_id=str(workflow.workflow_id),
        name=workflow.name,
        status=_WORKFLOW_STATUS[workflow.state],
        tasks=map(task, workflow.tasks),
        results=[wf.TaskResult(task_id=one.task_id, result=one.result) for one in workflow.results],
        latest_run_id=_id(workflow.latest_run_id),
        user_id=workflow.user_id,
        task_count=workflow.task_count,
        created_at=_time(workflow.created_at),
        results_omitted=workflow.results_omitted,
    )


def task(task: Task) -> wf.Task:
    """Converts a task, with defaults for the fields that the user did not set."""
    return wf.Task(
        id=task.id,
        agent_id=task.agent_id,
        input=task.input,
        context=None if task.context is None else struct(task.context),
        depends_on=task.depends_on,
        retry=wf.RetryPolicy(max_attempts=task.retry.max_attempts, delay_seconds=task.retry.delay_seconds, backoff=task.retry.backoff),
        timeout_seconds=task.timeout_seconds,
        approval=None if task.approval is None else _approval_to_proto(task.approval),
        on_incomplete=wf.ON_INCOMPLETE_USE if task.on_incomplete is OnIncomplete.USE else wf.ON_INCOMPLETE_FAIL,
    )


def run(run: Run) -> wf.Run:
    return wf.Run(
        run_id=str(run.run_id),
        workflow_id=_id(run.workflow_id),
        agent_id=run.agent_id,
        status=_RUN_STATUS[run.state],
        steps=[step(one, run.request_id) for one in run.steps],
        failure=None if run.failure is None else failure(run.failure, run.request_id, run.finished_at),
        failed_step_id=run.failed_task,
        cancellation=_cancellation(run),
        sequence=run.sequence,
        user_id=run.user_id,
        request_id=run.request_id,
        created_at=_time(run.created_at),
        started_at=_time(run.started_at),
        finished_at=_time(run.finished_at),
        results_omitted=run.results_omitted,
    )


def step_response(details: StepDetails, sent: str, attempts: Sequence[Execution]) -> pb.GetStepResponse:
    return pb.GetStepResponse(
        step=step(details.step, details.run.request_id),
        input=sent,
        context=None if details.context is None else struct(details.context),
        attempts=map(execution, attempts),
        result_characters=details.result_characters,
    )


def step(step: Step, request_id: str) -> wf.Step:
    """Converts a step. `request_id` is that of the request that started the run."""
    return wf.Step(
        task_id=step.task_id,
        agent_id=step.agent_id,
        agent_revision=step.agent_revision,
        status=_STEP_STATUS[step.state],
        attempts=step.attempts,
        result=step.result,
        failure=None if step.failure is None else failure(step.failure, request_id, step.finished_at),
        usage=None if step.bill is None else bill(step.bill),
        execution_id=_id(step.execution_id),
        approval=None if step.approval is None else _step_approval(step.approval),
        started_at=_time(step.started_at),
        finished_at=_time(step.finished_at),
        next_attempt_at=_time(step.next_attempt_at),
        result_bytes=step.result_bytes,
        facts=facts_to_proto(step.facts),
    )


def watch_position(request: pb.WatchRunRequest) -> tuple[int, LivePosition | None]:
    """The last sequence that a watcher has seen, and how far it has read the live text."""
    read = LivePosition(UUID(request.live_execution_id), request.live_offset) if request.live_execution_id else None
    return request.after_sequence, read


def watched(item: Change | Live | Heartbeat | Ended, request_id: str) -> pb.WatchRunResponse:
    """Converts one message of a watch. `request_id` is that of the request that started the run."""
    if isinstance(item, Heartbeat):
        return pb.WatchRunResponse(sequence=item.sequence, heartbeat=pb.WatchHeartbeat())
    if isinstance(item, Live):
        return pb.WatchRunResponse(sequence=item.sequence, live=_live(item.piece))
    if isinstance(item, Ended):
        return pb.WatchRunResponse(sequence=item.sequence, done=pb.WatchDone(status=_RUN_STATUS[item.state]))
    if isinstance(item.subject, Run):
        return pb.WatchRunResponse(sequence=item.sequence, run=pb.RunChange(run=run(item.subject)))
    return pb.WatchRunResponse(sequence=item.sequence, step=pb.StepChange(step=step(item.subject, request_id)))


def _live(piece: LivePiece) -> pb.StepLive:
    text = pb.LiveText(offset=piece.offset, text=piece.text, next_offset=piece.position.offset, truncated=piece.truncated)
    return pb.StepLive(step_id=piece.task_id, execution_id=str(piece.execution_id), attempt=piece.attempt, text=text)


async def _task(place: int, task: wf.Task) -> Task:
    return Task(
        task.id,
        task.agent_id,
        task.input,
        context=dict(await given_values(task.context, f"tasks[{place}].context")) if task.HasField("context") else None,
        depends_on=tuple(task.depends_on),
        retry=Retry(**_given(task.retry, "max_attempts", "delay_seconds", "backoff")),
        approval=_approval(task.approval) if task.HasField("approval") else None,
        on_incomplete=_ON_INCOMPLETE.get(task.on_incomplete, OnIncomplete.FAIL),
        **_given(task, "timeout_seconds"),
    )


def _approval(approval: wf.Approval) -> Approval:
    default = _DECIDED.get(approval.default_decision, Decision.REJECTED)
    return Approval(approval.message, default=default, **_given(approval, "timeout_seconds"))


def _given(message: Message, *names: str) -> dict[str, Any]:
    """Returns the optional fields that are set. The others get the defaults of the domain type."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def _approval_to_proto(approval: Approval) -> wf.Approval:
    return wf.Approval(message=approval.message, timeout_seconds=approval.timeout_seconds, default_decision=_DECISION[approval.default])


def _step_approval(approval: StepApproval) -> wf.StepApproval:
    return wf.StepApproval(
        message=approval.message,
        decision=wf.APPROVAL_DECISION_UNSPECIFIED if approval.decision is None else _DECISION[approval.decision],
        decided_by=approval.decided_by,
        decided_at=_time(approval.decided_at),
        expires_at=_time(approval.expires_at),
        reason=approval.reason,
    )


def _pending_approval(pending: PendingApproval) -> pb.PendingApproval:
    return pb.PendingApproval(
        run_id=str(pending.run_id),
        step_id=pending.task_id,
        agent_id=pending.agent_id,
        workflow_id=_id(pending.workflow_id),
        workflow_name=pending.workflow_name,
        user_id=pending.user_id,
        approval=_step_approval(pending.approval),
        run_created_at=_time(pending.run_created_at),
    )


def _cancellation(run: Run) -> wf.Cancellation | None:
    if run.cancel_requested_at is None:
        return None
    return wf.Cancellation(
        requested_at=_time(run.cancel_requested_at),
        stopped_steps=map(_stopped, run.stopped_steps),
        finished_at=_time(run.finished_at),
    )


def _stopped(step: StoppedStep) -> wf.StoppedStep:
    return wf.StoppedStep(
        task_id=step.task_id,
        execution_id=_id(step.execution_id),
        usage=None if step.bill is None else bill(step.bill),
        output_tokens_after_request=step.output_tokens_after_request,
    )


def _id(value: UUID | None) -> str:
    return "" if value is None else str(value)


def _time(moment: datetime | None) -> timestamp_pb2.Timestamp | None:
    if moment is None:
        return None
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message
