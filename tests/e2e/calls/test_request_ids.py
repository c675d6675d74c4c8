"""One id per request: in the response, in every log on its path and in the books. Also the headers that callers cannot set."""

import json
import secrets
from typing import Any

import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from tests.contract.gateway.wire import REQUEST_ID, assert_clean, error_of
from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question
from tests.e2e.provocations import SECONDS, UNDEFINED_AGENT
from tests.support.waiting import eventually

HONEST = "req_honest-caller_1"


@pytest.fixture
def request_id() -> str:
    """An id in the form that callers may choose."""
    return f"req_e2e-{secrets.token_hex(8)}"


async def _logged(platform: Platform, process: str, request_id: str) -> list[dict[str, Any]]:
    async def lines() -> list[dict[str, Any]]:
        return [line for line in platform.log_lines(process, request_id) if line.get("event") == "call"]

    return await eventually(lines)


async def test_a_callers_id_is_logged_everywhere_and_returned(platform: Platform, request_id: str) -> None:
    response = await platform.execute(question(), headers={"x-request-id": request_id})
    assert response.headers.get_list("x-request-id") == [request_id]
    assert (await platform.execution(response.json()["execution_id"]))["request_id"] == request_id
    for process, service, rpc in (
        ("orchestrator", "orchestrator", "/agentmesh.execution.v1.ExecutionService/ExecuteAgent"),
        ("agents-0", "agent_server", "/agentmesh.agent.v1.AgentService/Execute"),
    ):
        (line,) = await _logged(platform, process, request_id)
        assert (line["service"], line["rpc"], line["code"], line["request_id"]) == (service, rpc, "OK", request_id)
    await _in_the_access_log(platform, request_id)


async def _in_the_access_log(platform: Platform, request_id: str) -> None:
    async def line() -> dict[str, Any] | None:
        # Envoy writes every ten seconds, or on request.
        await platform.http.post(f"http://127.0.0.1:{platform.stack.ports.envoy_admin}/reopen_logs")
        lines = platform.stack.state.log("envoy.access").read_text().splitlines()
        return next((json.loads(line) for line in lines if request_id in line), None)

    logged = await eventually(line)
    assert logged is not None
    assert (logged["request_id"], logged["path"], logged["status"]) == (request_id, f"/api/v1/agents/{AGENT}/execute", 200)


async def test_an_error_has_the_request_id(platform: Platform, request_id: str) -> None:
    error = error_of(
        await platform.http.get(f"/api/v1/agents/{UNDEFINED_AGENT}", headers={"x-request-id": request_id}), 404, "AGENT_NOT_FOUND"
    )
    assert error["request_id"] == request_id
    (line,) = await _logged(platform, "orchestrator", request_id)
    assert line["code"] == "NOT_FOUND"


async def test_an_error_of_the_gateway_has_the_request_id(platform: Platform, request_id: str) -> None:
    headers = {"x-request-id": request_id}
    assert error_of(await platform.http.get("/nonsense", headers=headers), 404, "ROUTE_NOT_FOUND")["request_id"] == request_id
    answer = await platform.http.get("/api/v1/agents?nonsense=1", headers=headers)
    assert error_of(answer, 422, "VALIDATION_ERROR")["request_id"] == request_id


async def test_a_failed_stream_has_the_request_id_in_its_last_event(platform: Platform, request_id: str) -> None:
    text = question()
    await platform.provider.fault("cut", text)
    response = await platform.http.post(f"/api/v1/agents/{AGENT}/stream", json={"input": text}, headers={"x-request-id": request_id})
    last = json.loads(response.text.strip().split("\n")[-1].removeprefix("data: "))
    assert last["error"]["request_id"] == request_id


async def test_a_native_callers_id_is_logged_everywhere_and_returned(platform: Platform, request_id: str) -> None:
    request = execution.ExecuteAgentRequest(agent_id=AGENT, input=question())
    for channel in (platform.gateway, platform.orchestrator):
        call = ExecutionServiceStub(channel).ExecuteAgent(request, timeout=SECONDS, metadata=(("x-request-id", request_id),))
        execution_id = (await call).execution_id
        assert dict(await call.trailing_metadata())["x-request-id"] == request_id
        assert (await platform.execution(execution_id))["request_id"] == request_id
    assert len(await _logged(platform, "agents-0", request_id)) == 2


@pytest.mark.parametrize(
    "pretended",
    [b"", b"x", b"req_", b"req_" + b"x" * 61, b"REQ_1", b"req_a b", b"req_a\tb", b"req_<script>", b'req_"', b"req_\xfc", b"x" * 8_000],
    ids=lambda value: repr(value)[2:16],
)
async def test_a_malformed_id_is_replaced_by_a_new_one(platform: Platform, pretended: bytes) -> None:
    response = await platform.http.get("/health", headers=[(b"x-request-id", pretended)])
    assert response.status_code == 200
    (request_id,) = response.headers.get_list("x-request-id")
    assert REQUEST_ID.fullmatch(request_id)
    assert request_id.encode() != pretended


@pytest.mark.parametrize(
    "headers",
    [
        {"x-mesh-envelope": '{"error": {"code": "FORGED"}}', "x-mesh-status": "200"},
        {"x-envoy-original-path": "/api/v1/categories", "x-envoy-original-method": "DELETE"},
        {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-max-retries": "9", "x-envoy-retry-on": "5xx"},
        {"x-envoy-decorator-operation": "forged", "x-envoy-internal": "true", "x-forwarded-for": "10.0.0.1"},
        {"x-user-id": "1", "x-user-role": "admin", "x-mesh-user": "1"},
        {"x-mesh-accepted": "1", "x-mesh-method": "GET", "x-mesh-timeout": "1n", "x-mesh-complaint": "1"},
        {"grpc-timeout": "soon", "grpc-encoding": "snappy", "grpc-accept-encoding": "x", "grpc-status": "0"},
        {"te": "trailers", "x-http-method-override": "DELETE", "content-encoding": "identity"},
        {"x!#$%&'*+^`|~": "HTTP allows this name and gRPC does not"},
        {"x-long": "x" * 20_000},
    ],
    ids=lambda headers: next(iter(headers)),
)
async def test_unusual_and_internal_headers_change_nothing(platform: Platform, headers: dict[str, str]) -> None:
    sent = {**headers, "x-request-id": HONEST}
    found = await platform.http.get(f"/api/v1/agents/{AGENT}", headers=sent)
    assert (found.status_code, found.json()["agent"]["agent_id"]) == (200, AGENT)
    text = question()
    done = await platform.execute(text, headers=sent)
    assert done.status_code == 200, done.text
    assert (await platform.execution(done.json()["execution_id"]))["input"] == text
    refused = await platform.http.get(f"/api/v1/agents/{UNDEFINED_AGENT}", headers=sent)
    assert error_of(refused, 404, "AGENT_NOT_FOUND")["request_id"] == HONEST
    for response in (found, done, refused):
        assert_clean(response)


async def test_a_native_caller_cannot_pose_as_a_rest_caller(platform: Platform) -> None:
    request = execution.ExecuteAgentRequest(agent_id=UNDEFINED_AGENT, input=question())
    forged = (("x-envoy-original-path", "/api/v1/agents"), ("x-mesh-envelope", "forged"), ("x-mesh-status", "200"))
    call = ExecutionServiceStub(platform.gateway).ExecuteAgent(request, timeout=SECONDS, metadata=forged)
    assert (await call.code()).name == "NOT_FOUND"
    assert not [key for key in dict(await call.trailing_metadata()) if key.startswith("x-mesh")]


async def test_a_header_that_is_not_text_is_not_logged(platform: Platform, request_id: str) -> None:
    response = await platform.http.get("/api/v1/categories", headers=[(b"x-note", b"\x84"), (b"x-request-id", request_id.encode())])
    assert response.status_code == 200
    await _logged(platform, "orchestrator", request_id)
    assert "Invalid encoding" not in platform.stack.state.log("orchestrator").read_text()
