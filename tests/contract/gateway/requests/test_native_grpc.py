"""Native gRPC and gRPC-Web on the same port: calls pass unchanged, and Envoy's own answers are gRPC statuses."""

import base64
from typing import Any

import grpc
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mesh.errors import RemoteError
from mesh.rpc.status import TABLE, error_of
from tests.contract.gateway.backend import AGENT_ID, SERVICES, Backend
from tests.contract.gateway.running import Gateway
from tests.contract.gateway.wire import REQUEST_ID, frame, web_frames

GET_AGENT = "/agentmesh.registry.v1.RegistryService/GetAgent"
ASK = registry.GetAgentRequest(agent_id=AGENT_ID)


def _failing(error: Exception) -> Any:
    async def fail(request: Any, context: Any) -> Any:
        raise error

    return fail


async def test_a_native_call_succeeds_and_returns_its_request_id(gateway: Gateway) -> None:
    call = RegistryServiceStub(gateway.channel).GetAgent(ASK, timeout=10)
    assert (await call).agent.agent_id == AGENT_ID
    assert REQUEST_ID.fullmatch(str(dict(await call.initial_metadata())["x-request-id"]))


async def test_a_native_stream_is_complete(gateway: Gateway) -> None:
    call = ExecutionServiceStub(gateway.channel).StreamAgent(execution.StreamAgentRequest(agent_id=AGENT_ID, input="x"), timeout=10)
    assert [event.sequence async for event in call] == [1, 2]


@pytest.mark.parametrize("reason", TABLE)
async def test_every_row_of_the_error_table_arrives_with_its_details(gateway: Gateway, backend: Backend, reason: str) -> None:
    backend.script.answer = _failing(RemoteError(reason, "what «happened»", details={"agent_id": AGENT_ID}))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await RegistryServiceStub(gateway.channel).GetAgent(ASK, timeout=10)
    error = error_of(failure.value)
    assert error is not None
    assert (failure.value.code(), error.reason, error.message) == (TABLE[reason].code, reason, "what «happened»")
    assert error.details == {"agent_id": AGENT_ID}
    assert not [key for key, _ in failure.value.trailing_metadata() or () if key.startswith("x-mesh")]


async def test_a_deadline_is_forwarded_to_the_service(gateway: Gateway, backend: Backend) -> None:
    remaining: list[float] = []

    async def look(request: Any, context: Any) -> Any:
        remaining.append(context.time_remaining())
        return registry.GetAgentResponse()

    backend.script.answer = look
    await RegistryServiceStub(gateway.channel).GetAgent(ASK, timeout=7)
    assert 5 < remaining[0] < 7.1  # gRPC rounds it up


async def test_compressed_messages_pass(gateway: Gateway) -> None:
    answer = await ExecutionServiceStub(gateway.channel).ExecuteAgent(
        execution.ExecuteAgentRequest(agent_id=AGENT_ID, input="x" * 10_000), timeout=10, compression=grpc.Compression.Gzip
    )
    assert answer.result == "x" * 10_000


async def test_a_message_over_the_limit_is_resource_exhausted(gateway: Gateway) -> None:
    request = execution.ExecuteAgentRequest(agent_id=AGENT_ID, input="x" * 5_000_000)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await ExecutionServiceStub(gateway.channel).ExecuteAgent(request, timeout=10)
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "path", ["/agentmesh.registry.v1.RegistryService/Nope", "/agentmesh.agent.v1.AgentService/Execute", "/api/v1/agents"]
)
async def test_an_rpc_that_is_not_public_is_unimplemented(gateway: Gateway, path: str) -> None:
    rpc: Any = gateway.channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await rpc(b"", timeout=10)
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
    error = error_of(failure.value)
    assert error is not None
    assert error.reason == "ROUTE_NOT_FOUND"
    assert "x-request-id" in dict(failure.value.trailing_metadata() or ())


async def test_reflection_answers_before_its_caller_has_finished(gateway: Gateway) -> None:
    call = reflection_pb2_grpc.ServerReflectionStub(gateway.channel).ServerReflectionInfo(timeout=10)
    for _ in range(2):
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer: Any = await call.read()
        assert {service.name for service in answer.list_services_response.service} >= set(SERVICES)
    await call.done_writing()


@pytest.mark.parametrize("request_id", ["req_mine", "not mine"])
async def test_an_invalid_path_is_an_invalid_argument(gateway: Gateway, request_id: str) -> None:
    headers = {"content-type": "application/grpc", "x-request-id": request_id}
    response = await gateway.http.post("/agentmesh%2fRpc", headers=headers)
    assert (response.status_code, response.headers["grpc-status"], response.content) == (200, "3", b"")
    assert "cannot accept this HTTP request" in response.headers["grpc-message"]
    assert REQUEST_ID.fullmatch(response.headers["x-request-id"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_only_a_post_is_a_grpc_call(gateway: Gateway, backend: Backend, method: str) -> None:
    response = await gateway.http.request(method, GET_AGENT, headers={"content-type": "application/grpc"})
    assert (response.status_code, response.headers["grpc-status"]) == (200, "12")
    assert backend.script.requests == []


async def test_the_health_service_answers(gateway: Gateway) -> None:
    answer = await health_pb2_grpc.HealthStub(gateway.channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
async def test_grpc_web_succeeds(gateway: Gateway, text: bool) -> None:
    body = frame(ASK.SerializeToString())
    kind = "application/grpc-web-text+proto" if text else "application/grpc-web+proto"
    headers = {"content-type": kind, "accept": kind, "origin": "http://localhost:5173"}
    response = await gateway.http.post(GET_AGENT, content=base64.b64encode(body) if text else body, headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    assert response.headers["access-control-allow-origin"] == "http://localhost:5173"
    messages, trailers = web_frames(_decoded(response.content) if text else response.content)
    assert registry.GetAgentResponse.FromString(messages[0]).agent.agent_id == AGENT_ID
    assert trailers["grpc-status"] == "0"


async def test_grpc_web_errors_keep_status_and_details(gateway: Gateway, backend: Backend) -> None:
    backend.script.answer = _failing(RemoteError("AGENT_NOT_FOUND", "no such agent"))
    headers = {"content-type": "application/grpc-web+proto"}
    response = await gateway.http.post(GET_AGENT, content=frame(ASK.SerializeToString()), headers=headers)
    assert response.status_code == 200
    assert (response.headers["grpc-status"], response.headers["grpc-message"]) == ("5", "no such agent")
    assert "grpc-status-details-bin" in response.headers
    assert not [name for name in response.headers if name.startswith("x-mesh")]


async def test_envoys_own_answers_to_grpc_web_are_grpc_statuses(gateway: Gateway) -> None:
    response = await gateway.http.post(
        "/agentmesh.no.Service/Rpc", content=frame(b""), headers={"content-type": "application/grpc-web+proto"}
    )
    assert (response.status_code, response.headers["grpc-status"], response.content) == (200, "12", b"")
    assert response.headers["content-type"].startswith("application/grpc-web")
    assert "does not exist" in response.headers["grpc-message"]


async def test_json_sent_to_an_rpc_path_is_route_not_found(gateway: Gateway) -> None:
    response = await gateway.http.post(GET_AGENT, json={})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "ROUTE_NOT_FOUND")


def _decoded(content: bytes) -> bytes:
    # Each base64 piece may have its own padding.
    pieces = content.replace(b"=", b"= ").split(b" ")
    joined, whole = b"", b""
    for piece in pieces:
        joined += piece
        if len(joined) % 4 == 0:
            whole, joined = whole + base64.b64decode(joined), b""
    return whole
