import asyncio
import base64
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from agentmesh.execution.v1 import execution_pb2
from agentmesh.execution.v1 import execution_service_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ValidationFailed
from mesh.rpc.convert import struct
from orchestrator.executions import convert
from orchestrator.executions.books import new_id
from orchestrator.executions.model import Execution, ExecutionPage, Failure, State
from tests.unit.orchestrator.making import AGENT_ID, BILL

THEN = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
RECORD = Execution(
    execution_id=new_id(),
    user_id=7,
    agent_id=AGENT_ID,
    agent_name="SEO Strategist 1",
    agent_revision="0123456789ab",
    state=State.COMPLETED,
    input="How do we rank?",
    context={"market": "DE", "budget": 3},
    result="Write better.",
    metadata={"provider": "simulator"},
    failure=None,
    bill=BILL,
    streamed=True,
    request_id="req_1",
    seconds=1.5,
    created_at=THEN,
    finished_at=THEN,
)


def test_every_state_has_one_status_and_every_status_one_state() -> None:
    names = {state: f"EXECUTION_STATUS_{state.name}" for state in State}
    shown = {state: convert.execution(replace(RECORD, state=state)).status for state in State}
    assert {state: execution_pb2.ExecutionStatus.Name(status) for state, status in shown.items()} == names
    assert set(shown.values()) == set(execution_pb2.ExecutionStatus.values()) - {0}


@pytest.mark.parametrize("state", State)
def test_a_list_can_be_filtered_by_each_status(state: State) -> None:
    request = pb.ListExecutionsRequest(status=execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{state.name}"))
    assert convert.query(request, 7).state is state


def test_a_list_defaults_to_the_standard_page_size_and_no_filters() -> None:
    query = convert.query(pb.ListExecutionsRequest(), 7)
    assert (query.sees, query.page_size, query.before, query.agent_id, query.state) == (7, 50, None, "", None)


def test_a_completed_execution_is_converted_completely() -> None:
    message = convert.execution(RECORD)
    assert (message.execution_id, message.input, message.result, message.streamed) == (
        str(RECORD.execution_id),
        RECORD.input,
        RECORD.result,
        True,
    )
    assert message.context == struct({"market": "DE", "budget": 3})
    assert (message.usage.input_tokens, message.usage.cost_micro_usd, message.usage.price_table) == (100, 700, "2026-11-01")
    assert message.created_at.ToDatetime(UTC) == THEN
    assert not message.HasField("failure")


def test_a_running_execution_has_neither_usage_nor_end() -> None:
    message = convert.execution(replace(RECORD, state=State.RUNNING, bill=None, finished_at=None, context=None))
    assert not message.HasField("usage")
    assert not message.HasField("finished_at")
    assert not message.HasField("context")


def test_a_stored_failure_is_converted_as_it_was_returned() -> None:
    stored = Failure("LLM_API_ERROR", "overloaded", {"provider_status": "529"}, retryable=True)
    error = convert.execution(replace(RECORD, state=State.FAILED, failure=stored)).failure
    assert (error.code, error.message, error.request_id, error.timestamp) == (
        "LLM_API_ERROR",
        "overloaded",
        "req_1",
        "2026-11-22T10:30:00Z",
    )
    assert dict(error.details.items()) == {"provider_status": "529", "retryable": True}


def test_a_page_token_leads_to_the_next_page() -> None:
    answer = convert.list_response(ExecutionPage([RECORD], RECORD.execution_id))
    assert convert.query(pb.ListExecutionsRequest(page_token=answer.next_page_token), 7).before == RECORD.execution_id


def test_the_last_page_has_no_token() -> None:
    assert convert.list_response(ExecutionPage([RECORD], None)).next_page_token == ""


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "AAAA",
        "%%%%",
        "ÿ" * 24,
        "A" * 24,
        "A" * 200,
        "\x00" * 24,
        pytest.param(str(RECORD.execution_id), id="an execution id"),
        "=" * 24,
    ],
)
def test_an_invalid_page_token_is_refused_with_its_field(token: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        convert.query(pb.ListExecutionsRequest(page_token=token), 7)
    assert refused.value.violations[0].field == "page_token"


@given(st.text(min_size=1, max_size=200))
def test_no_text_breaks_the_parsing_of_page_tokens(token: str) -> None:
    try:
        before = convert.query(pb.ListExecutionsRequest(page_token=token), 7).before
    except ValidationFailed:
        return
    assert before is not None
    assert before.bytes == base64.urlsafe_b64decode(token)


def test_an_empty_context_differs_from_no_context() -> None:
    absent = asyncio.run(convert.work(pb.ExecuteAgentRequest(agent_id=AGENT_ID, input="x"), 7, "req_1"))
    empty = asyncio.run(convert.work(pb.ExecuteAgentRequest(agent_id=AGENT_ID, input="x", context=struct({})), 7, "req_1"))
    assert (absent.context, empty.context) == (None, {})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_context_with_a_number_without_a_json_form_is_refused(number: float) -> None:
    request = pb.ExecuteAgentRequest(agent_id=AGENT_ID, input="x", context=struct({"deep": [{"down": number}]}))
    with pytest.raises(ValidationFailed) as refused:
        asyncio.run(convert.work(request, 7, "req_1"))
    assert refused.value.violations[0].field == "context"


def test_whole_numbers_of_a_context_stay_whole_numbers() -> None:
    request = pb.ExecuteAgentRequest(agent_id=AGENT_ID, input="x", context=struct({"a": 3, "b": [1.0, 1.5], "c": {"d": -2}}))
    context = asyncio.run(convert.work(request, 7, "req_1")).context
    assert json.dumps(context, sort_keys=True) == '{"a": 3, "b": [1, 1.5], "c": {"d": -2}}'
