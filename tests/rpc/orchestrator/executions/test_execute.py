import asyncio
import json
from uuid import UUID

import pytest
from agentmesh.execution.v1 import execution_pb2
from agentmesh.execution.v1 import execution_service_pb2 as pb
from google.protobuf.json_format import MessageToDict

from mesh.rpc.convert import struct
from tests.adapters.agent_host.running import CHECKED, FIRST, SECOND, agent_id
from tests.rpc.orchestrator.running import Call, Mesh, failure_of


async def test_an_answer_has_every_field_that_the_contract_promises(call: Call) -> None:
    answer = await call.execute()
    assert answer.agent_name == "Helper 1"
    assert len(answer.result) > 20
    assert 0 < answer.execution_time < 10
    metadata = MessageToDict(answer.metadata)
    assert (metadata["provider"], metadata["model"], metadata["stop_reason"]) == ("simulator", "claude-sonnet-5-5", "end_turn")
    assert UUID(answer.execution_id).version == 7
    assert (answer.usage.model, answer.usage.price_table, answer.usage.estimated) == ("claude-sonnet-5-5", "2026-11-01", False)
    assert answer.usage.cost_micro_usd == answer.usage.input_tokens * 2 + answer.usage.output_tokens * 10


async def test_the_books_have_the_answer_and_what_the_provider_billed(call: Call) -> None:
    answer = await call.execute()
    row, (purchase,) = await call.settled(), await call.purchases()
    assert (row["status"], row["result"], row["input"]) == ("completed", answer.result, call.input)
    assert (row["input_tokens"], row["output_tokens"], row["usage_estimated"]) == (
        *(purchase["input_tokens"], purchase["output_tokens"], False),
    )
    assert (row["agent_name"], row["user_id"], row["streamed"]) == ("Helper 1", call.mesh.orchestrator.user_id, False)
    assert json.loads(row["metadata"])["agent_revision"] == row["agent_revision"]


async def test_an_execution_can_be_read_back(call: Call) -> None:
    answer = await call.execute(context=struct({"market": "DE", "budget": 3}))
    record = await call.record(answer.execution_id)
    assert (record.status, record.input, record.result) == (execution_pb2.EXECUTION_STATUS_COMPLETED, call.input, answer.result)
    assert MessageToDict(record.context) == {"market": "DE", "budget": 3}
    assert (record.usage, record.metadata, record.request_id) == (answer.usage, answer.metadata, call.request_id)
    assert record.finished_at.ToMicroseconds() > record.created_at.ToMicroseconds()
    assert not record.HasField("failure")


async def test_executions_are_listed_newest_first_and_without_their_texts(mesh: Mesh) -> None:
    ids = [(await mesh.call(FIRST).execute()).execution_id for _ in range(3)]
    stub = mesh.orchestrator.executions
    first = await stub.ListExecutions(pb.ListExecutionsRequest(page_size=2, agent_id=agent_id(FIRST)))
    second = await stub.ListExecutions(pb.ListExecutionsRequest(page_size=2, agent_id=agent_id(FIRST), page_token=first.next_page_token))
    listed = [*first.executions, *second.executions]
    assert [record.execution_id for record in listed][:3] == ids[::-1]
    assert {(record.input, record.result, record.HasField("context"), len(record.metadata)) for record in listed} == {("", "", False, 0)}


async def test_two_agents_that_share_a_port_are_distinguished(mesh: Mesh) -> None:
    names = [(await mesh.call(number).execute()).agent_name for number in (FIRST, SECOND)]
    assert names == [f"Helper {FIRST}", f"Helper {SECOND}"]


async def test_the_callers_request_id_appears_everywhere(call: Call) -> None:
    rpc = call.execute()
    answer = await rpc
    assert dict(await rpc.trailing_metadata())["x-request-id"] == call.request_id
    assert (await call.record(answer.execution_id)).request_id == call.request_id
    logs = [*call.mesh.orchestrator.logged("call"), *(line for line in call.mesh.host.logged() if line["event"] == "call")]
    assert {line["service"] for line in logs if line.get("request_id") == call.request_id} == {"orchestrator", "agent_server"}


async def test_the_context_reaches_the_model(mesh: Mesh) -> None:
    short, long = [await mesh.call(CHECKED).execute(context=struct({"market": "DE" * length})) for length in (1, 500)]
    assert long.usage.input_tokens > short.usage.input_tokens + 200


@pytest.mark.parametrize("size", [1, 200_000])
async def test_the_shortest_and_the_longest_input_are_answered(call: Call, size: int) -> None:
    answer = await call.execute(input="ä" * size)
    assert answer.result
    row = await call.settled()
    assert row["input"] == "ä" * size


async def test_an_answer_with_a_secret_is_stored_redacted(call: Call) -> None:
    await call.fault("secret")
    answer = await call.execute()
    assert "[redacted" in answer.result
    assert (await call.settled())["result"] == answer.result
    assert "guardrails" in MessageToDict(answer.metadata)


async def test_concurrent_calls_are_all_answered_and_recorded(mesh: Mesh) -> None:
    calls = [mesh.call() for _ in range(100)]
    answers = await asyncio.gather(*(call.execute() for call in calls))
    assert len({answer.execution_id for answer in answers}) == 100
    rows = [await call.settled() for call in calls]
    assert {row["status"] for row in rows} == {"completed"}
    assert [str(row["execution_id"]) for row in rows] == [answer.execution_id for answer in answers]


async def test_a_missing_execution_is_not_found(mesh: Mesh) -> None:
    request = pb.GetExecutionRequest(execution_id="0192f0c1-0000-7000-8000-000000000000")
    error = await failure_of(mesh.orchestrator.executions.GetExecution(request))
    assert (error.reason, error.details) == ("EXECUTION_NOT_FOUND", {"execution_id": request.execution_id})


async def test_another_users_execution_is_not_found(call: Call) -> None:
    answer = await call.execute()
    await call.mesh.db.execute("UPDATE executions SET user_id = 8 WHERE request_id = $1", call.request_id)
    error = await failure_of(call.record(answer.execution_id))
    assert error.reason == "EXECUTION_NOT_FOUND"
    listed = await call.mesh.orchestrator.executions.ListExecutions(pb.ListExecutionsRequest(page_size=200))
    assert answer.execution_id not in {record.execution_id for record in listed.executions}
