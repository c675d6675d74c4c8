"""The response headers and HTTP versions that other clients depend on."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution

from mesh.errors import RemoteError
from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.running import Gateway
from tests.contract.gateway.wire import events_of, exchange

AGENT = f"/api/v1/agents/{AGENT_ID}"
READABLE = (AGENT, "/api/v1/agents", "/api/v1/executions", "/health", "/ready", "/", "/openapi.json")
LOCAL, FOREIGN = "http://localhost:5173", "http://evil.example"
CURL_WITH_HTTP2 = pytest.mark.skipif(
    "HTTP2" not in subprocess.run([shutil.which("curl") or "true", "--version"], capture_output=True, text=True, check=True).stdout,
    reason="needs curl with HTTP/2; the Python clients of these tests do not support HTTP/2",
)


async def test_an_event_stream_declares_its_encoding(gateway: Gateway, backend: Backend) -> None:
    """Python's requests decodes text without a charset as Latin-1."""

    async def greet(request: Any, context: Any) -> AsyncIterator[Any]:
        yield execution.StreamAgentResponse(sequence=1, delta=execution.Delta(text="Grüße"))

    backend.script.events = greet
    response = await gateway.http.post(f"{AGENT}/stream", json={"input": "x"})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "Grüße" in response.content.decode(response.charset_encoding or "latin-1")


@pytest.mark.parametrize("path", [AGENT, "/api/v1/agents", "/health", "/nope", "/api/v1/agents?nope=1"])
async def test_responses_with_data_are_not_cacheable(gateway: Gateway, path: str) -> None:
    assert (await gateway.http.get(path)).headers.get_list("cache-control") == ["no-store"]


async def test_a_response_to_a_post_is_not_cacheable(gateway: Gateway, backend: Backend) -> None:
    async def fail(request: Any, context: Any) -> Any:
        raise RemoteError("AGENT_NOT_FOUND", "no such agent")

    assert (await gateway.http.post(f"{AGENT}/execute", json={"input": "x"})).headers.get_list("cache-control") == ["no-store"]
    backend.script.answer = fail
    assert (await gateway.http.post(f"{AGENT}/execute", json={"input": "x"})).headers.get_list("cache-control") == ["no-store"]


@pytest.mark.parametrize("path", READABLE)
async def test_head_returns_the_headers_of_get_without_a_body(gateway: Gateway, path: str) -> None:
    plain = {"accept-encoding": "identity"}
    asked, read = await gateway.http.head(path, headers=plain), await gateway.http.get(path, headers=plain)
    assert (asked.status_code, asked.content) == (200, b"")
    for name in ("content-type", "content-length", "cache-control", "vary"):
        assert asked.headers[name] == read.headers[name]


@pytest.mark.parametrize(("path", "status"), [("/nope", 404), ("/api/v1/agents?nope=1", 422), (f"{AGENT}/execute", 405)])
async def test_head_of_an_error_has_the_status_of_get_and_no_body(gateway: Gateway, path: str, status: int) -> None:
    response = await gateway.http.head(path)
    assert (response.status_code, response.content) == (status, b"")
    assert response.headers["x-request-id"].startswith("req_")


async def test_head_of_an_error_of_the_service_has_its_status(gateway: Gateway, backend: Backend) -> None:
    async def fail(request: Any, context: Any) -> Any:
        raise RemoteError("AGENT_NOT_FOUND", "no such agent")

    backend.script.answer = fail
    response = await gateway.http.head(AGENT)
    assert (response.status_code, response.content) == (404, b"")


@CURL_WITH_HTTP2
async def test_head_has_no_body_on_http2(gateway: Gateway) -> None:
    curl = await asyncio.create_subprocess_exec(
        *("curl", "-s", "-I", "--max-time", "10", "--http2-prior-knowledge", f"http://127.0.0.1:{gateway.port}{AGENT}"),
        stdout=asyncio.subprocess.PIPE,
    )
    seen = (await curl.communicate())[0].decode()
    assert curl.returncode == 0  # curl reports a body after HEAD as a protocol error
    assert seen.startswith("HTTP/2 200")


async def test_http_1_0_is_served(gateway: Gateway) -> None:
    """nginx, HAProxy and ab send HTTP/1.0, some of them without a Host header."""
    for host in ("Host: x\r\n", ""):
        response = await exchange(gateway.port, f"GET {AGENT} HTTP/1.0\r\n{host}\r\n".encode())
        assert (response.status_code, response.json()["agent"]["agent_id"]) == (200, AGENT_ID)
        body = b'{"input": "x"}'
        head = f"POST {AGENT}/execute HTTP/1.0\r\n{host}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        assert (await exchange(gateway.port, head.encode() + body)).json()["result"] == "x"


async def test_an_http_1_0_stream_ends_with_its_connection(gateway: Gateway) -> None:
    body = b'{"input": "x"}'
    head = f"POST {AGENT}/stream HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head.encode() + body)
        answer = (await reader.read()).decode()
        writer.close()
    headers, _, events = answer.partition("\r\n\r\n")
    assert headers.startswith("HTTP/1.0 200")
    assert "transfer-encoding" not in headers
    assert [event["sequence"] for event in events_of(events)] == [1, 2]


@pytest.mark.parametrize("path", [AGENT, "/", "/openapi.json", "/nope", "/api/v1/agents?nope=1", "/a%2fb", f"{AGENT}/execute"])
async def test_every_response_varies_by_origin_and_allows_local_pages(gateway: Gateway, path: str) -> None:
    answers = {origin: await gateway.http.get(path, headers={"origin": origin}) for origin in (LOCAL, FOREIGN)}
    for response in (*answers.values(), await gateway.http.get(path)):
        assert [part.strip().lower() for part in response.headers["vary"].split(",")].count("origin") == 1
    assert answers[LOCAL].headers.get_list("access-control-allow-origin") == [LOCAL]
    assert "x-request-id" in answers[LOCAL].headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in answers[FOREIGN].headers


async def test_an_unknown_rpc_over_grpc_web_allows_local_pages(gateway: Gateway) -> None:
    headers = {"content-type": "application/grpc-web+proto", "origin": LOCAL}
    response = await gateway.http.post("/agentmesh.no.Service/Rpc", headers=headers)
    assert (response.headers["grpc-status"], response.headers["access-control-allow-origin"]) == ("12", LOCAL)


@pytest.mark.parametrize("path", [AGENT, "/", "/openapi.json", "/nope"])
async def test_a_preflight_from_another_origin_is_answered_without_permission(gateway: Gateway, path: str) -> None:
    response = await gateway.http.options(path, headers={"origin": FOREIGN, "access-control-request-method": "POST"})
    assert (response.status_code, response.content) == (204, b"")
    assert not [name for name in response.headers if name.startswith("access-control-")]
    assert "origin" in response.headers["vary"]
