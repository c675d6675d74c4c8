"""The port of an agent: a caller without a valid token is refused before anything else is checked or bought."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mesh.clock import SYSTEM_CLOCK
from mesh.security import keys
from mesh.security.call_tokens import CALL_TOKEN_KEY, HOST_START, CallTokenSigner
from mesh.security.identities import GATEWAY, ORCHESTRATOR
from tests.adapters.agent_host.conftest import Call, failure_of
from tests.adapters.agent_host.running import ALONE, FIRST, SECOND, Host, agent_id
from tests.support.call_tokens import PRIVATE_KEY, call_token
from tests.support.clock import SetClock
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

FORGER = CallTokenSigner(keys.read_private(keys.make_pair()[0]), ORCHESTRATOR)
FOREIGNER = CallTokenSigner(keys.read_private(PRIVATE_KEY), GATEWAY)


@pytest.fixture
async def without_token(host: Host) -> AsyncIterator["AgentServiceAsyncStub"]:
    """A client that can reach the port but has no token."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{host.port(ALONE)}") as channel:
        yield AgentServiceStub(channel)


def send(stub: "AgentServiceAsyncStub", rpc: str, call_id: str, metadata: Any, **fields: Any) -> Any:
    """One call to the rpc with this name."""
    if rpc == "Cancel":
        return stub.Cancel(pb.CancelRequest(execution_id=call_id), metadata=metadata)
    known = {"agent_id": agent_id(ALONE), "input": call_id, "execution_id": call_id, **fields}
    if rpc == "Execute":
        return stub.Execute(pb.ExecuteRequest(**known), metadata=metadata)
    return stub.StreamExecute(pb.StreamExecuteRequest(**known), metadata=metadata).read()


@pytest.mark.parametrize("rpc", ["Execute", "StreamExecute", "Cancel"])
async def test_a_call_without_a_valid_token_is_refused_and_buys_nothing(
    call: Call, without_token: "AgentServiceAsyncStub", rpc: str
) -> None:
    agent = agent_id(ALONE)
    cases = [
        ((), "must carry a call token"),
        (((CALL_TOKEN_KEY, "nonsense"),), "malformed"),
        ((("authorization", f"Bearer {call_token(agent, call.id)[0][1]}"),), "must carry a call token"),
        (call_token(agent, call.id, FORGER), "key that this host does not know"),
        (call_token(agent, call.id, FOREIGNER), "by a service that may not call agents"),
        (call_token(agent, uuid.uuid4().hex), "for another execution"),
    ]
    for metadata, message in cases:
        error = await failure_of(send(without_token, rpc, call.id, metadata))
        assert error.reason == "AUTH_INVALID_CREDENTIALS"
        assert message in error.message
    assert await call.purchases() == 0


@pytest.mark.parametrize("rpc", ["Execute", "StreamExecute"])
async def test_a_token_for_another_agent_is_refused_even_if_the_request_names_none(
    call: Call, without_token: "AgentServiceAsyncStub", rpc: str
) -> None:
    for fields in ({}, {"agent_id": ""}):
        error = await failure_of(send(without_token, rpc, call.id, call_token(agent_id(FIRST), call.id), **fields))
        assert (error.reason, error.details["agent_id"]) == ("AUTH_INVALID_CREDENTIALS", agent_id(ALONE))
        assert "another agent" in error.message
    assert await call.purchases() == 0


async def test_on_a_shared_port_the_token_must_be_for_the_called_agent(host: Host, call: Call) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{host.port(FIRST)}") as channel:
        stub = AgentServiceStub(channel)
        other = await failure_of(send(stub, "Execute", call.id, call_token(agent_id(SECOND), call.id), agent_id=agent_id(FIRST)))
        assert other.reason == "AUTH_INVALID_CREDENTIALS"
        unnamed = await failure_of(send(stub, "Execute", call.id, call_token(agent_id(SECOND), call.id), agent_id=""))
        assert unnamed.reason == "VALIDATION_ERROR"
        assert await call.purchases() == 0
        assert (await send(stub, "Execute", call.id, call_token(agent_id(SECOND), call.id), agent_id=agent_id(SECOND))).agent_name


@pytest.mark.parametrize("rpc", ["Execute", "StreamExecute", "Cancel"])
async def test_a_token_admits_only_one_call_whatever_its_outcome(call: Call, without_token: "AgentServiceAsyncStub", rpc: str) -> None:
    token = call_token(agent_id(ALONE), call.id)
    await send(without_token, rpc, call.id, token)
    bought = await call.purchases()
    for again in ("Execute", "StreamExecute", "Cancel"):
        error = await failure_of(send(without_token, again, call.id, token))
        assert (error.reason, "has been used" in error.message) == ("AUTH_INVALID_CREDENTIALS", True)
    assert await call.purchases() == bought


async def test_only_a_token_for_the_same_agent_cancels_its_call(call: Call, without_token: "AgentServiceAsyncStub") -> None:
    await call.fault("hang")
    execute = asyncio.ensure_future(call.execute())
    await eventually(call.asked)
    error = await failure_of(send(without_token, "Cancel", call.id, call_token(agent_id(FIRST), call.id)))
    assert (error.reason, "another agent" in error.message) == ("AUTH_INVALID_CREDENTIALS", True)
    assert not execute.done()
    assert (await send(without_token, "Cancel", call.id, call_token(agent_id(ALONE), call.id))).found
    assert (await failure_of(execute)).reason == "CANCELLED"


async def test_the_caller_is_authenticated_before_its_request_is_validated(call: Call, without_token: "AgentServiceAsyncStub") -> None:
    for fields in ({"input": ""}, {"agent_id": "No Agent"}, {"input": "x" * 200_001}, {"execution_id": "e" * 65}):
        assert (await failure_of(send(without_token, "Execute", call.id, (), **fields))).reason == "AUTH_INVALID_CREDENTIALS"


async def test_describe_health_and_reflection_need_no_token(host: Host, without_token: "AgentServiceAsyncStub") -> None:
    assert (await without_token.Describe(pb.DescribeRequest())).agent.agent_id == agent_id(ALONE)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{host.port(ALONE)}") as channel:
        answer = await HealthStub(channel).Check(HealthCheckRequest(service=agent_id(ALONE)))
        assert answer.status == HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        listed = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        names = [service.name async for answer in listed for service in answer.list_services_response.service]
        assert "agentmesh.agent.v1.AgentService" in names


@pytest.mark.parametrize("rpc", ["Execute", "StreamExecute", "Cancel"])
async def test_a_token_for_another_start_of_the_host_is_refused_with_the_current_start(
    call: Call, without_token: "AgentServiceAsyncStub", rpc: str
) -> None:
    for other in ("", "an earlier start"):
        error = await failure_of(send(without_token, rpc, call.id, call_token(agent_id(ALONE), call.id, host_start=other)))
        assert (error.reason, "earlier start of this host" in error.message) == ("AUTH_INVALID_CREDENTIALS", True)
    assert await call.purchases() == 0
    await send(without_token, rpc, call.id, call_token(agent_id(ALONE), call.id, host_start=error.details[HOST_START]))


async def test_an_expired_token_has_its_own_reason(call: Call, without_token: "AgentServiceAsyncStub") -> None:
    two_minutes_ago = SetClock(SYSTEM_CLOCK.time() - 120)
    token = call_token(agent_id(ALONE), call.id, CallTokenSigner(keys.read_private(PRIVATE_KEY), ORCHESTRATOR, two_minutes_ago))
    for rpc in ("Execute", "StreamExecute", "Cancel"):
        assert (await failure_of(send(without_token, rpc, call.id, token))).reason == "AUTH_TOKEN_EXPIRED"
    assert await call.purchases() == 0
