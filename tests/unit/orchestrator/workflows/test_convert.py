import asyncio
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from agentmesh.workflow.v1 import workflow_pb2 as wf
from agentmesh.workflow.v1 import workflow_service_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ValidationFailed
from mesh.rpc.convert import struct, values
from mesh.rpc.interceptors.validation import check
from mesh.rpc.requests.paging import text_token
from mesh.security.caller import Caller, Role
from orchestrator.executions.books import new_id
from orchestrator.executions.model import Failure
from orchestrator.workflows import convert
from orchestrator.workflows.background import AgentWork
from orchestrator.workflows.model import (
    Approval,
    ApprovalPage,
    Decision,
    PendingApproval,
    Retry,
    Run,
    RunPage,
    RunState,
    Step,
    StepApproval,
    StepState,
    StoppedStep,
    Task,
    TaskResult,
    Workflow,
    WorkflowPage,
)
from orchestrator.workflows.service import _body
from tests.unit.orchestrator.making import AGENT_ID, BILL

THEN = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
TASK = Task("write", AGENT_ID, "Write it.")
STEP = Step("write", AGENT_ID, StepState.COMPLETED)
RUN = Run(new_id(), new_id(), 7, RunState.RUNNING, 3, "req_1", THEN)
CALLER = Caller(7, "ada")
WORKFLOW = Workflow(new_id(), 7, "Launch", RunState.PENDING, 1, THEN, tasks=[TASK])


def drafted(**fields: Any) -> Task:
    """A task as converted from a request."""
    given_task = wf.Task(**({"id": "write", "agent_id": AGENT_ID, "input": "Write it."} | fields))
    request = pb.CreateWorkflowRequest(name="Launch", tasks=[given_task])
    check(request)
    (task,) = asyncio.run(convert.draft(request, "key-1")).tasks
    return task


def test_omitted_fields_have_the_documented_defaults() -> None:
    assert drafted() == TASK
    assert (TASK.retry, TASK.timeout_seconds, TASK.approval) == (Retry(4, 30.0, 1.0), 120, None)
    assert drafted(retry=wf.RetryPolicy(), approval=wf.Approval()) == replace(TASK, approval=Approval("", 86_400, Decision.REJECTED))


def test_a_task_with_a_context_can_be_hashed_as_a_plain_value() -> None:
    """The idempotency claim copies the task with `asdict`, which cannot copy a dict subclass with arguments of its own."""
    assert asdict(drafted(context=struct({"audience": {"age": [1]}})))["context"] == {"audience": {"age": [1]}}


def test_defaults_are_returned_as_effective_values() -> None:
    shown = convert.task(replace(TASK, approval=Approval("Go?")))
    assert (shown.retry.max_attempts, shown.retry.delay_seconds, shown.retry.backoff, shown.timeout_seconds) == (4, 30, 1, 120)
    assert shown.approval == wf.Approval(message="Go?", timeout_seconds=86_400, default_decision=wf.APPROVAL_DECISION_REJECTED)


retries = st.builds(Retry, st.integers(1, 20), st.floats(0, 3600), st.floats(1, 10))
approvals = st.builds(Approval, st.text(max_size=20), st.integers(1, 604_800), st.sampled_from(Decision))
tasks = st.builds(
    Task,
    st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,63}", fullmatch=True),
    st.just(AGENT_ID),
    st.text(min_size=1, max_size=40),
    context=st.none() | st.dictionaries(st.text(max_size=5), st.integers(-100, 100) | st.text(max_size=5), max_size=3),
    depends_on=st.lists(st.text("abc", min_size=1, max_size=3), max_size=4, unique=True).map(tuple),
    retry=retries,
    timeout_seconds=st.integers(1, 600),
    approval=st.none() | approvals,
)


@given(st.lists(tasks, min_size=1, max_size=4))
def test_tasks_survive_conversion_in_both_directions(given_tasks: list[Task]) -> None:
    request = pb.CreateWorkflowRequest(name="Launch", tasks=map(convert.task, given_tasks))
    check(request)
    assert asyncio.run(convert.draft(request, "")).tasks == given_tasks


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"id": ""}, "tasks[0].id"),
        ({"id": "1st"}, "tasks[0].id"),
        ({"id": "a" * 65}, "tasks[0].id"),
        ({"id": "a.b"}, "tasks[0].id"),
        ({"input": ""}, "tasks[0].input"),
        ({"input": "x" * 200_001}, "tasks[0].input"),
        ({"depends_on": ["a", "a"]}, "tasks[0].depends_on"),
        ({"timeout_seconds": 0}, "tasks[0].timeout_seconds"),
        ({"timeout_seconds": 601}, "tasks[0].timeout_seconds"),
        ({"retry": wf.RetryPolicy(max_attempts=0)}, "tasks[0].retry.max_attempts"),
        ({"retry": wf.RetryPolicy(delay_seconds=-1)}, "tasks[0].retry.delay_seconds"),
        ({"retry": wf.RetryPolicy(delay_seconds=float("nan"))}, "tasks[0].retry.delay_seconds"),
        ({"retry": wf.RetryPolicy(backoff=0.5)}, "tasks[0].retry.backoff"),
        ({"approval": wf.Approval(timeout_seconds=0)}, "tasks[0].approval.timeout_seconds"),
        ({"approval": wf.Approval(message="x" * 2001)}, "tasks[0].approval.message"),
        ({"context": struct({"a": float("inf")})}, "tasks[0].context"),
    ],
)
def test_an_invalid_task_is_refused_with_its_path(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        drafted(**fields)
    assert [one.field for one in refused.value.violations] == [path]


@pytest.mark.parametrize("state", RunState)
def test_every_state_of_a_run_is_shown_and_can_be_filtered_by(state: RunState) -> None:
    shown = convert.workflow(replace(WORKFLOW, state=state)).status
    assert wf.WorkflowStatus.Name(shown) == f"WORKFLOW_STATUS_{state.name}"
    assert convert.query(pb.ListWorkflowsRequest(status=shown), 7).state is state
    assert wf.RunStatus.Name(convert.run(replace(RUN, state=state)).status) == f"RUN_STATUS_{state.name}"


@pytest.mark.parametrize("state", StepState)
def test_every_state_of_a_step_is_shown(state: StepState) -> None:
    assert wf.StepStatus.Name(convert.step(replace(STEP, state=state), "req_1").status) == f"STEP_STATUS_{state.name}"


def test_every_status_is_used_by_a_state() -> None:
    assert len(wf.WorkflowStatus.values()) == len(wf.RunStatus.values()) == len(RunState) + 1
    assert len(wf.StepStatus.values()) == len(StepState) + 1
    assert len(wf.ApprovalDecision.values()) == len(Decision) + 1


def test_a_list_defaults_to_the_standard_page_size_and_no_filters() -> None:
    query = convert.query(pb.ListWorkflowsRequest(), None)
    assert (query.user_id, query.page_size, query.before, query.state) == (None, 50, None, None)


def test_a_page_token_leads_to_the_next_page_and_the_last_page_has_none() -> None:
    answer = convert.workflow_page(WorkflowPage([WORKFLOW], more=True))
    assert convert.query(pb.ListWorkflowsRequest(page_token=answer.next_page_token), 7).before == WORKFLOW.workflow_id
    assert convert.workflow_page(WorkflowPage([WORKFLOW], more=False)).next_page_token == ""
    assert convert.run_page(RunPage([RUN], more=True)).next_page_token
    assert convert.run_page(RunPage()).next_page_token == ""


def test_a_workflow_shows_the_results_of_its_latest_run() -> None:
    shown = convert.workflow(replace(WORKFLOW, latest_run_id=RUN.run_id, results=[TaskResult("write", "Done.")]))
    assert shown.latest_run_id == str(RUN.run_id)
    assert shown.results == [wf.TaskResult(task_id="write", result="Done.")]
    assert shown.created_at.ToDatetime(tzinfo=UTC) == THEN


def test_a_run_that_has_not_begun_omits_absent_fields() -> None:
    shown = convert.run(replace(RUN, steps=[replace(STEP, state=StepState.PENDING)]))
    (step,) = shown.steps
    assert {field.name for field, _ in shown.ListFields()} == {
        *("run_id", "workflow_id", "status", "steps", "sequence", "user_id", "request_id", "created_at")
    }
    assert {field.name for field, _ in step.ListFields()} == {"task_id", "agent_id", "status"}


def test_a_failed_attempt_shows_its_error_and_the_time_of_the_next() -> None:
    failed = Failure("LLM_API_ERROR", "overloaded", {"provider_status": "529"}, retryable=True)
    waiting = replace(STEP, state=StepState.READY, attempts=2, failure=failed, bill=BILL, next_attempt_at=THEN)
    shown = convert.step(waiting, "req_1")
    assert (shown.failure.code, shown.failure.request_id, shown.failure.timestamp) == ("LLM_API_ERROR", "req_1", "")
    assert values(shown.failure.details, "details") == {"provider_status": "529", "retryable": True}
    assert shown.usage.cost_micro_usd == BILL.cost_micro_usd
    assert shown.next_attempt_at.ToDatetime(tzinfo=UTC) == THEN


def test_the_receipt_of_a_cancellation_is_complete_once_the_run_is_final() -> None:
    stopped = StoppedStep("write", new_id(), BILL, 12)
    asked = replace(RUN, state=RunState.CANCELLING, cancel_requested_at=THEN, stopped_steps=[stopped])
    receipt = convert.run(asked).cancellation
    assert not receipt.HasField("finished_at")
    assert [(one.task_id, one.output_tokens_after_request) for one in receipt.stopped_steps] == [("write", 12)]
    ended = convert.run(replace(asked, state=RunState.CANCELLED, finished_at=THEN + timedelta(seconds=1)))
    assert ended.cancellation.finished_at == ended.finished_at


def test_an_approval_shows_the_question_and_the_answer() -> None:
    waiting = StepApproval("Go?", 60, Decision.REJECTED, expires_at=THEN)
    shown = convert.step(replace(STEP, approval=waiting), "req_1").approval
    assert (shown.message, shown.decision, shown.decided_by) == ("Go?", wf.APPROVAL_DECISION_UNSPECIFIED, 0)
    decided = replace(waiting, decision=Decision.APPROVED, decided_by=7, decided_at=THEN, reason="fine")
    shown = convert.step(replace(STEP, approval=decided), "req_1").approval
    assert (shown.decision, shown.decided_by, shown.reason) == (wf.APPROVAL_DECISION_APPROVED, 7, "fine")


@pytest.mark.parametrize("decision", Decision)
def test_a_decision_is_converted(decision: Decision) -> None:
    request = pb.DecideApprovalRequest(decision=wf.ApprovalDecision.Value(f"APPROVAL_DECISION_{decision.name}"))
    assert convert.decision(request) is decision


def test_a_workflow_with_a_context_has_a_body_that_can_be_hashed() -> None:
    request = pb.CreateWorkflowRequest(name="x", tasks=[wf.Task(id="a", agent_id="b", input="x", context=struct({"tone": ["dry"]}))])
    (task,) = asyncio.run(convert.draft(request, "key")).tasks
    assert _body(task)["context"] == {"tone": ["dry"]}


def test_omitted_fields_of_a_background_execution_have_the_documented_defaults() -> None:
    request = pb.StartAgentRequest(agent_id=AGENT_ID, input="Do it.")
    check(request)
    assert asyncio.run(convert.agent_work(request, "")) == AgentWork(AGENT_ID, "Do it.")
    retry = wf.RetryPolicy(max_attempts=1, delay_seconds=0, backoff=2)
    request = pb.StartAgentRequest(agent_id=AGENT_ID, input="Do it.", context=struct({"a": [1]}), retry=retry, timeout_seconds=600)
    check(request)
    assert asyncio.run(convert.agent_work(request, "k")) == AgentWork(AGENT_ID, "Do it.", {"a": [1]}, Retry(1, 0.0, 2.0), 600, "k")


@pytest.mark.parametrize(
    "bad", [{"input": ""}, {"input": "x" * 200_001}, {"timeout_seconds": 601}, {"timeout_seconds": 0}, {"agent_id": ""}]
)
def test_a_background_execution_has_the_limits_of_a_task(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed):
        check(pb.StartAgentRequest(**({"agent_id": AGENT_ID, "input": "Do it."} | bad)))


def test_a_background_execution_shows_its_agent_and_no_workflow() -> None:
    shown = convert.run(replace(RUN, workflow_id=None, agent_id=AGENT_ID))
    assert (shown.workflow_id, shown.agent_id) == ("", AGENT_ID)


PENDING = PendingApproval(
    RUN.run_id, "a:b", AGENT_ID, 7, RUN.workflow_id, "Launch", StepApproval("Go?", 60, Decision.REJECTED, expires_at=THEN), THEN, THEN
)


def test_a_page_token_of_approvals_leads_to_the_next_page() -> None:
    answer = convert.approval_page(ApprovalPage([replace(PENDING, expires_at=THEN + timedelta(microseconds=1))], more=True))
    after = convert.approval_query(pb.ListApprovalsRequest(page_token=answer.next_page_token), CALLER).after
    assert after == (THEN + timedelta(microseconds=1), RUN.run_id, "a:b")
    assert convert.approval_page(ApprovalPage([PENDING], more=False)).next_page_token == ""


@pytest.mark.parametrize("text", ["x", "1:2:3", f"x:{UUID(int=1)}:a", f"{10**30}:{UUID(int=1)}:a"])
def test_an_invalid_page_token_of_approvals_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed, match="next_page_token"):
        convert.approval_query(pb.ListApprovalsRequest(page_token=text_token(text)), CALLER)


def test_only_administrators_list_the_approvals_of_all_users() -> None:
    admin = replace(CALLER, role=Role.ADMIN)
    for caller, everybody, user_id in ((CALLER, False, 7), (CALLER, True, 7), (admin, False, 7), (admin, True, None)):
        assert convert.approval_query(pb.ListApprovalsRequest(all_users=everybody), caller).user_id == user_id


def test_a_pending_approval_shows_the_question_and_the_owner() -> None:
    (shown,) = convert.approval_page(ApprovalPage([PENDING], more=False)).approvals
    assert (shown.run_id, shown.step_id, shown.user_id, shown.workflow_name) == (str(RUN.run_id), "a:b", 7, "Launch")
    assert (shown.approval.message, shown.approval.expires_at.ToDatetime(tzinfo=UTC)) == ("Go?", THEN)
