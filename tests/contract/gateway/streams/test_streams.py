"""Streams: the same rpc over native gRPC and as Server-Sent Events."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from mesh.errors import RemoteError
from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.running import Gateway
from tests.contract.gateway.wire import assert_clean, events_of

STREAM = f"/api/v1/agents/{AGENT_ID}/stream"
ASK = {"input": "x"}


def _delta(sequence: int, text: str) -> Any:
    return execution.StreamAgentResponse(sequence=sequence, delta=execution.Delta(text=text))


async def test_a_stream_is_server_sent_events_with_the_names_of_the_contract(gateway: Gateway) -> None:
    response = await gateway.http.post(STREAM, json=ASK)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert "content-encoding" not in response.headers
    assert_clean(response)
    assert events_of(response.text) == [
        {"sequence": 1, "delta": {"text": "half an answer"}},
        {"sequence": 2, "done": {"execution_id": "", "agent_name": "an agent", "execution_time": 0}},
    ]


async def test_the_first_event_arrives_while_the_service_is_still_working(gateway: Gateway, backend: Backend) -> None:
    go_on = asyncio.Event()

    async def slowly(request: Any, context: Any) -> AsyncIterator[Any]:
        yield _delta(1, "first")
        await go_on.wait()
        yield _delta(2, "second")

    backend.script.events = slowly
    async with asyncio.timeout(10), gateway.http.stream("POST", STREAM, json=ASK) as response:
        lines = response.aiter_lines()
        first = [await anext(lines) for _ in ("id", "data")][-1]
        assert events_of(first)[0]["delta"]["text"] == "first"
        go_on.set()
        assert [event["sequence"] async for line in lines for event in events_of(line)] == [2]


async def test_text_with_line_breaks_is_one_event(gateway: Gateway, backend: Backend) -> None:
    async def lines(request: Any, context: Any) -> AsyncIterator[Any]:
        yield _delta(1, "one\ntwo\r\n\nü 🚀")

    backend.script.events = lines
    assert events_of((await gateway.http.post(STREAM, json=ASK)).text)[0]["delta"]["text"] == "one\ntwo\r\n\nü 🚀"


async def test_a_failure_after_the_first_event_is_an_error_event(gateway: Gateway, backend: Backend) -> None:
    async def fail(request: Any, context: Any) -> AsyncIterator[Any]:
        yield _delta(1, "half")
        raise RemoteError("LLM_API_ERROR", "the provider hung up")

    backend.script.events = fail
    response = await gateway.http.post(STREAM, json=ASK)
    assert response.status_code == 200
    first, last = events_of(response.text)
    assert (first["sequence"], last["sequence"], last["error"]["code"]) == (1, 2, "LLM_API_ERROR")
    assert last["error"]["request_id"] == response.headers["x-request-id"]


async def test_a_client_that_disconnects_stops_the_service_within_a_second(gateway: Gateway, backend: Backend) -> None:
    stopped = asyncio.Event()

    async def for_ever(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            yield _delta(1, "first")
            await asyncio.sleep(60)
        finally:
            stopped.set()

    backend.script.events = for_ever
    async with gateway.http.stream("POST", STREAM, json=ASK) as response:
        await anext(response.aiter_lines())
    async with asyncio.timeout(1):
        await stopped.wait()


async def test_a_client_that_abandons_a_unary_call_stops_the_service(gateway: Gateway, backend: Backend) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def work(request: Any, context: Any) -> Any:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    backend.script.answer = work
    call = asyncio.create_task(gateway.http.post(f"/api/v1/agents/{AGENT_ID}/execute", json=ASK))
    await begun.wait()
    call.cancel()
    async with asyncio.timeout(1):
        await stopped.wait()


async def test_a_native_client_that_cancels_stops_the_service_within_a_second(gateway: Gateway, backend: Backend) -> None:
    stopped = asyncio.Event()

    async def for_ever(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            yield _delta(1, "first")
            await asyncio.sleep(60)
        finally:
            stopped.set()

    backend.script.events = for_ever
    call = ExecutionServiceStub(gateway.channel).StreamAgent(execution.StreamAgentRequest(agent_id=AGENT_ID, input="x"))
    first: Any = await call.read()
    assert first.sequence == 1
    call.cancel()
    async with asyncio.timeout(1):
        await stopped.wait()


@pytest.mark.skipif(
    "HTTP2" not in subprocess.run([shutil.which("curl") or "true", "--version"], capture_output=True, text=True, check=True).stdout,
    reason="needs curl with HTTP/2; the Python clients of these tests do not support HTTP/2",
)
async def test_http2_clients_see_no_internal_trailers(gateway: Gateway, backend: Backend) -> None:
    async def fail(request: Any, context: Any) -> AsyncIterator[Any]:
        yield _delta(1, "half")
        raise RemoteError("LLM_API_ERROR", "the provider hung up")

    backend.script.events = fail
    for path, body in ((STREAM, '{"input": "x"}'), (f"/api/v1/agents/{AGENT_ID}/execute", '{"input": "x"}')):
        command = ["curl", "-s", "-i", "--max-time", "10", "--http2-prior-knowledge", "-d", body, f"http://127.0.0.1:{gateway.port}{path}"]
        curl = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        seen = (await curl.communicate())[0].decode()
        assert seen.startswith("HTTP/2 200")
        assert "grpc-" not in seen
        assert "x-mesh" not in seen
