"""How the gateway changes request headers, and what it logs."""

import asyncio
import json
from typing import Any

import grpc
import pytest
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

from deploy.local.supervision.waiting import holds_within
from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.running import ALLOWED_ORIGIN, Gateway
from tests.contract.gateway.wire import REQUEST_ID, error_of, exchange, frame

AGENT = f"/api/v1/agents/{AGENT_ID}"
ASK = registry.GetAgentRequest(agent_id=AGENT_ID)
GET_AGENT = "/agentmesh.registry.v1.RegistryService/GetAgent"

GOOD_IDS = ["req_a", "req_" + "Z" * 60, "req_0197f3c2-7d1e_x"]
BAD_IDS = ["", "req_", "req_" + "a" * 61, "abc", 'req_"x', "req_a b", "req_a,req_b", "REQ_a", "req_ü", "req_%41"]


@pytest.mark.parametrize("given", GOOD_IDS)
async def test_a_well_formed_request_id_is_kept(gateway: Gateway, backend: Backend, given: str) -> None:
    response = await gateway.http.get(AGENT, headers={"x-request-id": given})
    assert (response.status_code, response.headers.get_list("x-request-id")) == (200, [given])
    assert backend.script.metadata[-1]["x-request-id"] == given
    assert error_of(await gateway.http.get("/nope", headers={"x-request-id": given}), 404, "ROUTE_NOT_FOUND")["request_id"] == given
    assert error_of(await gateway.http.get("/a%2fb", headers={"x-request-id": given}), 400, "BAD_REQUEST")["request_id"] == given


@pytest.mark.parametrize("given", BAD_IDS)
async def test_a_malformed_request_id_is_replaced(gateway: Gateway, backend: Backend, given: str) -> None:
    asked = {b"x-request-id": given.encode()}
    response = await gateway.http.get(AGENT, headers=asked)
    made = response.headers["x-request-id"]
    assert made != given
    assert REQUEST_ID.fullmatch(made)
    assert backend.script.metadata[-1]["x-request-id"] == made
    for path in ("/nope", "/api/v1/agents?nope=1", "/api/v1/agents/a%2fb"):
        refused = await gateway.http.get(path, headers=asked)
        error_of(refused, refused.status_code, refused.json()["error"]["code"])
        assert given not in (refused.headers["x-request-id"], refused.json()["error"]["request_id"])


async def test_every_request_has_its_own_id(gateway: Gateway) -> None:
    responses = await asyncio.gather(*(gateway.http.get(AGENT) for _ in range(20)))
    assert len({response.headers["x-request-id"] for response in responses}) == 20


async def test_internal_headers_from_callers_are_removed(gateway: Gateway, backend: Backend) -> None:
    forged = {
        "x-user-id": "admin",
        "x-user-roles": "admin",
        "x-mesh-envelope": "{}",
        "x-envoy-retry-on": "5xx",
        "cookie": "a=b",
        "trace-bin": "YQ",
    }
    await gateway.http.get(AGENT, headers=forged | {"x-envoy-original-path": "/forged", "x-envoy-upstream-rq-timeout-ms": "1"})
    metadata = backend.script.metadata[-1]
    assert metadata["x-envoy-original-path"] == AGENT
    assert not set(forged) & set(metadata)


async def test_a_native_caller_cannot_pose_as_a_rest_caller(gateway: Gateway, backend: Backend) -> None:
    forged = (("x-envoy-original-path", "/forged"), ("x-user-id", "admin"))
    await RegistryServiceStub(gateway.channel).GetAgent(ASK, metadata=forged, timeout=10)
    assert not {"x-envoy-original-path", "x-user-id"} & set(backend.script.metadata[-1])


async def test_headers_that_the_service_reads_pass(gateway: Gateway, backend: Backend) -> None:
    sent = {
        "authorization": "Bearer token",
        "x-api-key": "amk_key",
        "idempotency-key": "once",
    }
    await gateway.http.get(AGENT, headers=sent)
    assert sent.items() <= backend.script.metadata[-1].items()


async def test_a_caller_does_not_decide_what_is_traced(gateway: Gateway, backend: Backend) -> None:
    sent = {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01", "tracestate": "a=b", "baggage": "a=b"}
    await gateway.http.get(AGENT, headers=sent)
    assert not set(sent) & set(backend.script.metadata[-1])


SPOILERS = [
    {"grpc-timeout": "banana"},
    {"grpc-timeout": "123456789S"},
    {"grpc-encoding": "banana"},
    {"grpc-previous-rpc-attempts": "banana"},
    {"grpc-retry-pushback-ms": "banana"},
    {"grpc-trace-bin": "!!!"},
    {"any-bin": "!!!"},
    {"grpc-status-details-bin": "!!!"},
    {"te": "banana"},
    {"x-forwarded-proto": "banana"},
    {"content-type": "application/grpc"},
    {"content-type": "application/grpc-web"},
    {"content-type": "application/grpcbanana"},
]


@pytest.mark.parametrize("headers", SPOILERS, ids=str)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
async def test_no_caller_can_break_the_shared_upstream_connection(
    gateway: Gateway, backend: Backend, method: str, headers: dict[str, str]
) -> None:
    """After gRPC has received a header, method or scheme that it cannot parse, it refuses valid ones on the same connection."""
    for path in (AGENT, GET_AGENT, "/nope"):
        asked = headers | {"origin": "http://localhost:1", "access-control-request-method": "GET"}
        response = await gateway.http.request(method, path, headers=asked, content=frame(b""))
        assert response.status_code < 500, response.text
    answer = await RegistryServiceStub(gateway.channel).GetAgent(ASK, timeout=9.5, compression=grpc.Compression.Gzip)
    assert answer.agent.agent_id == AGENT_ID


async def test_headers_of_many_kilobytes_pass_every_time(gateway: Gateway) -> None:
    """gRPC randomly refuses headers between its soft and its hard limit (8 and 16 KiB by default; our servers raise both)."""
    for _ in range(20):
        assert (await gateway.http.get(AGENT, headers={"authorization": "a" * 20_000})).status_code == 200


async def test_pages_of_an_allowed_origin_may_call_and_others_may_not(gateway: Gateway) -> None:
    for origin in (ALLOWED_ORIGIN,):
        asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        preflight = await gateway.http.options(f"{AGENT}/execute", headers=asked)
        assert preflight.status_code == 200
        assert REQUEST_ID.fullmatch(preflight.headers["x-request-id"])
        assert preflight.headers["access-control-allow-origin"] == origin
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "idempotency-key" in preflight.headers["access-control-allow-headers"]
        for path in (AGENT, "/nope", "/api/v1/agents?nope=1"):
            response = await gateway.http.get(path, headers={"origin": origin})
            assert response.headers["access-control-allow-origin"] == origin
            assert "x-request-id" in response.headers["access-control-expose-headers"]
    for origin in ("http://evil.example", "http://localhost", f"{ALLOWED_ORIGIN}.evil.example", "https://localhost:5173", "null"):
        asked = {"origin": origin, "access-control-request-method": "POST"}
        preflight = await gateway.http.options(AGENT, headers=asked)
        assert preflight.status_code == 204
        assert "access-control-allow-origin" not in preflight.headers
        assert "access-control-allow-origin" not in (await gateway.http.get(AGENT, headers={"origin": origin})).headers


async def test_the_root_path_links_to_the_entry_points(gateway: Gateway) -> None:
    response = await gateway.http.get("/")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    for link in ("agents", "categories", "health"):
        assert (await gateway.http.get(response.json()[link])).status_code == 200


async def test_the_openapi_document_is_served(gateway: Gateway) -> None:
    response = await gateway.http.get("/openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json()["openapi"].startswith("3.")


async def test_http_1_1_requests_can_share_a_connection(gateway: Gateway) -> None:
    first = f"GET {AGENT} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert (await exchange(gateway.port, first * 3)).status_code == 200


async def test_the_access_log_has_one_json_line_per_request_without_queries_and_secrets(gateway: Gateway) -> None:
    marks = {"x-request-id": "req_access-log-1", "authorization": "Bearer secret-token"}
    await gateway.http.get("/api/v1/agents?search=secret-words", headers=marks)
    await gateway.http.get("/api/v1/agents?nope=secret-words", headers={"x-request-id": "req_access-log-2"})
    call = RegistryServiceStub(gateway.channel).GetAgent(ASK, metadata=(("x-request-id", "req_access-log-3"),), timeout=10)
    await call
    lines: dict[str, Any] = {}

    async def written() -> bool:
        await gateway.admin("/reopen_logs")  # the default would be every 10 s
        for line in gateway.access_log.read_text().splitlines():
            if "req_access-log-" in line:
                lines[json.loads(line)["request_id"]] = json.loads(line)
        return len(lines) == 3

    assert await holds_within(5, written)
    assert "secret" not in json.dumps(lines)
    listed, refused, native = (lines[f"req_access-log-{n}"] for n in (1, 2, 3))
    assert (listed["method"], listed["path"], listed["rpc"]) == (
        "GET",
        "/api/v1/agents",
        "/agentmesh.registry.v1.RegistryService/ListAgents",
    )
    assert (listed["status"], listed["grpc_status"], listed["flags"], listed["client"]) == (200, "0", "-", "127.0.0.1")
    assert (refused["status"], refused["method"]) == (422, "GET")
    assert "transcode" in refused["cause"]
    assert (native["method"], native["rpc"], native["grpc_status"]) == ("POST", GET_AGENT, "0")
    assert listed["duration_ms"] >= 0
