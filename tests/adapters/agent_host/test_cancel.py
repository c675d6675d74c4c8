"""Cancel, and callers that disconnect: the provider's request ends within a second, and the tokens spent are reported."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub

from mesh.usage import TokenUsage
from tests.adapters.agent_host.conftest import Call, documented_error, failure_of, read
from tests.adapters.agent_host.running import ALONE, agent_id
from tests.support.call_tokens import call_token_interceptors
from tests.support.waiting import eventually

SECONDS = 1.0


async def ended_in_time(call: Call, left: datetime) -> dict[str, Any]:
    """The provider's last log entry of the call; its timestamp shows whether the request ended soon enough."""
    ended = await call.simulator.ended(call.id)
    assert ended["outcome"] == "client_gone"
    assert (datetime.fromisoformat(ended["at"]) - left).total_seconds() < SECONDS
    await eventually(call.simulator.idle, within=SECONDS)
    return ended


@pytest.mark.parametrize("fault", ["hang", "delay"])
async def test_cancel_ends_a_unary_call_with_cancelled_and_its_worst_case(call: Call, fault: str) -> None:
    await call.fault(fault, 60_000 if fault == "delay" else None)
    execute = asyncio.ensure_future(call.execute())
    await eventually(call.asked)
    left = datetime.now(UTC)
    assert await call.cancel()
    error = await failure_of(execute)
    assert (error.reason, error.retryable) == ("CANCELLED", None)
    usage = TokenUsage.from_details(error.details)
    assert usage is not None
    assert usage.estimated
    logged = await ended_in_time(call, left)
    assert usage.input_tokens >= logged["input_tokens"]


async def test_cancel_ends_a_stream_with_an_error_event_and_the_usage_so_far(call: Call) -> None:
    await call.fault("trickle", 100)
    frames = aiter(call.stream())
    for _ in range(3):
        assert (await anext(frames)).WhichOneof("event") == "delta"
    left = datetime.now(UTC)
    assert await call.cancel()
    streamed = await read(frames)
    assert streamed.events[-1] == "error"
    error = documented_error(streamed.failure)
    assert error.reason == "CANCELLED"
    assert streamed.failure is not None
    assert streamed.failure.code() is grpc.StatusCode.CANCELLED
    usage = TokenUsage.from_details(error.details)
    assert usage is not None
    logged = await ended_in_time(call, left)
    assert usage.input_tokens == logged["input_tokens"]
    assert 0 < usage.output_tokens < 4096


async def test_cancel_works_from_another_connection_and_on_any_port_of_the_host(call: Call) -> None:
    await call.fault("hang")
    execute = asyncio.ensure_future(call.execute())
    await eventually(call.asked)
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{call.host.port(20)}", interceptors=call_token_interceptors(agent_id(ALONE))
    ) as channel:
        assert (await AgentServiceStub(channel).Cancel(pb.CancelRequest(execution_id=call.id))).found
    assert (await failure_of(execute)).reason == "CANCELLED"


async def test_cancel_of_an_unknown_call_finds_nothing_and_is_not_an_error(call: Call) -> None:
    assert not await call.cancel()
    await call.execute()
    assert not await call.cancel()


async def test_cancel_without_an_id_is_refused(call: Call) -> None:
    error = await failure_of(call.host.stub(ALONE).Cancel(pb.CancelRequest()))
    assert [violation.field for violation in error.violations] == ["execution_id"]


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
async def test_a_caller_that_cancels_its_rpc_ends_the_provider_request(call: Call, streaming: bool) -> None:
    await call.fault("hang")
    rpc = call.stream() if streaming else call.execute()
    waiting = asyncio.ensure_future(rpc.read() if streaming else rpc)
    await eventually(call.asked)
    left = datetime.now(UTC)
    rpc.cancel()
    await asyncio.wait([waiting])
    await ended_in_time(call, left)
    assert not await call.cancel()


async def test_a_caller_that_loses_its_connection_ends_the_provider_request(call: Call) -> None:
    await call.fault("trickle", 100)
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{call.host.port(ALONE)}", interceptors=call_token_interceptors(agent_id(ALONE)))
    request = pb.StreamExecuteRequest(agent_id=agent_id(ALONE), input=call.input, execution_id=call.id)
    stream = AgentServiceStub(channel).StreamExecute(request)
    await stream.read()
    left = datetime.now(UTC)
    await channel.close(None)
    logged = await ended_in_time(call, left)
    assert logged["output_tokens"] > 0


async def test_a_cancel_while_the_host_waits_to_retry_buys_nothing(call: Call) -> None:
    await call.fault("429", 5)
    execute = asyncio.ensure_future(call.execute())
    await call.simulator.ended(call.id)
    assert await eventually(call.cancel)
    error = await failure_of(execute)
    assert error.reason == "CANCELLED"
    assert TokenUsage.from_details(error.details) is None
    assert await call.purchases() == 1
