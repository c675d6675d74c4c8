"""An answer of 14 MB, about the largest that can be stored, can be read by a gRPC client with its default limit of 4 MiB."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as pb
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from mesh.rpc.interceptors.errors import TRANSCODED_KEY
from tests.rpc.orchestrator.running import Call, Mesh, failure_of
from tests.support.credentials import authorized

LARGEST = 14_000_000
PIECE = 500_000


@pytest.fixture
async def default_client(mesh: Mesh) -> AsyncIterator[Any]:
    """The execution service through a channel without options."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh.orchestrator.port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield ExecutionServiceStub(authorized(channel, mesh.orchestrator.token))


async def ask(call: Call, client: Any, characters: int, **fields: Any) -> pb.ExecuteAgentResponse:
    await call.fault("big", characters, count=1)
    request = pb.ExecuteAgentRequest(agent_id="own_helper_agent_1_1", input=call.input, **fields)
    answer: pb.ExecuteAgentResponse = await client.ExecuteAgent(request, timeout=60)
    return answer


@pytest.mark.parametrize(("characters", "omitted"), [(3_900_000, False), (4_100_000, True), (LARGEST, True)])
async def test_a_result_over_4_mb_is_left_out_of_the_answer_and_can_be_read_in_pieces(
    call: Call, default_client: Any, characters: int, omitted: bool
) -> None:
    answer = await ask(call, default_client, characters)
    assert (answer.HasField("result_omitted"), answer.result_omitted, len(answer.result) >= characters) == (omitted, omitted, not omitted)
    whole: str = await call.mesh.db.fetchval("SELECT result FROM executions WHERE execution_id = $1", answer.execution_id)
    for offset in (0, PIECE, len(whole) - 100_000):
        request = pb.GetExecutionRequest(execution_id=answer.execution_id, result_offset=offset, result_limit=PIECE)
        found = await default_client.GetExecution(request)
        assert found.execution.result == whole[offset : offset + PIECE]
        assert found.result_characters == len(whole) >= characters


async def test_the_whole_of_a_large_result_is_refused_with_the_way_to_read_it(call: Call, default_client: Any) -> None:
    answer = await ask(call, default_client, LARGEST)
    error = await failure_of(default_client.GetExecution(pb.GetExecutionRequest(execution_id=answer.execution_id)))
    assert error.reason == "PAYLOAD_TOO_LARGE"
    assert error.message.endswith("read it in pieces with result_offset and result_limit")
    assert int(error.details["result_bytes"]) >= LARGEST
    listed = await default_client.ListExecutions(pb.ListExecutionsRequest())
    assert answer.execution_id in {one.execution_id for one in listed.executions}


async def test_a_result_that_only_fits_without_the_input_is_refused_in_the_same_way(call: Call, default_client: Any) -> None:
    await call.fault("big", 3_900_000, count=1)
    request = pb.ExecuteAgentRequest(agent_id="own_helper_agent_1_1", input=call.input + "😀" * 199_000)
    answer = await default_client.ExecuteAgent(request, timeout=60)
    error = await failure_of(default_client.GetExecution(pb.GetExecutionRequest(execution_id=answer.execution_id)))
    assert (error.reason, error.details["limit_bytes"]) == ("PAYLOAD_TOO_LARGE", str(4 * 1024 * 1024))
    assert "result_limit" in error.message


async def test_a_repeated_streamed_call_replays_a_large_answer_in_deltas_that_fit(call: Call, default_client: Any) -> None:
    key = uuid4().hex
    await ask(call, default_client, LARGEST, idempotency_key=key)
    request = pb.StreamAgentRequest(agent_id="own_helper_agent_1_1", input=call.input, idempotency_key=key)
    deltas = [event.delta.text async for event in default_client.StreamAgent(request, timeout=60) if event.HasField("delta")]
    assert len("".join(deltas)) >= LARGEST
    assert max(len(delta.encode()) for delta in deltas) < 1024 * 1024


async def test_over_rest_the_result_is_complete(call: Call) -> None:
    await call.fault("big", 5_000_000, count=1)
    answer = await call.execute(metadata=((TRANSCODED_KEY, "/api/v1/agents/own_helper_agent_1_1/execute"),))
    assert (len(answer.result) >= 5_000_000, answer.HasField("result_omitted")) == (True, False)


@pytest.mark.parametrize(("offset", "limit", "shown"), [(0, 5, "01234"), (3, 4, "3456"), (8, 5, "89"), (10, 5, ""), (3, None, "3456789")])
async def test_a_piece_is_counted_in_characters(call: Call, offset: int, limit: int | None, shown: str) -> None:
    answer = await call.execute()
    await call.mesh.db.execute("UPDATE executions SET result = $2 WHERE execution_id = $1", answer.execution_id, "😀123456789")
    request = pb.GetExecutionRequest(execution_id=answer.execution_id, result_offset=offset, result_limit=limit)
    found = await call.mesh.orchestrator.executions.GetExecution(request)
    assert (found.execution.result, found.result_characters) == (shown.replace("0", "😀"), 10)
