"""Errors of the orchestrator over REST: it renders the envelope, and the gateway sends it as the body."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution

from mesh.errors import RemoteError, Violation
from mesh.rpc.status import TABLE
from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.running import Gateway
from tests.contract.gateway.wire import assert_clean, error_of

AGENT = f"/api/v1/agents/{AGENT_ID}"


def _failing(error: Exception) -> Any:
    async def fail(request: Any, context: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("reason", TABLE)
async def test_every_row_of_the_error_table_arrives_with_its_status_and_envelope(gateway: Gateway, backend: Backend, reason: str) -> None:
    backend.script.answer = _failing(RemoteError(reason, "what happened", details={"agent_id": AGENT_ID}))
    error = error_of(await gateway.http.get(AGENT), TABLE[reason].http_status, reason)
    assert error["message"] == "what happened"
    assert error["details"]["agent_id"] == AGENT_ID


@pytest.mark.parametrize("reason", TABLE)
async def test_an_error_after_the_headers_arrives_in_the_same_form(gateway: Gateway, backend: Backend, reason: str) -> None:
    async def fail(request: Any, context: Any) -> Any:
        await context.send_initial_metadata((("x-sent-before", "1"),))
        raise RemoteError(reason, "what happened", retry_after_seconds=7 if TABLE[reason].wants_retry_after else None)

    backend.script.answer = fail
    response = await gateway.http.get(AGENT)
    error_of(response, TABLE[reason].http_status, reason)
    assert response.headers.get("retry-after") == ("7" if TABLE[reason].wants_retry_after else None)


@pytest.mark.parametrize("reason", TABLE)
async def test_a_stream_that_fails_before_its_first_event_is_an_ordinary_error(gateway: Gateway, backend: Backend, reason: str) -> None:
    async def fail(request: Any, context: Any) -> AsyncIterator[Any]:
        raise RemoteError(reason, "what happened")
        yield

    backend.script.events = fail
    error_of(await gateway.http.post(f"{AGENT}/stream", json={"input": "x"}), TABLE[reason].http_status, reason)


async def test_text_in_any_language_arrives_unchanged(gateway: Gateway, backend: Backend) -> None:
    text = 'Grüße, "世界" \\ 🚀 100% \x7f'
    backend.script.answer = _failing(RemoteError("AGENT_NOT_FOUND", text, details={"hint": text}))
    error = error_of(await gateway.http.get(AGENT), 404, "AGENT_NOT_FOUND")
    assert (error["message"], error["details"]["hint"]) == (text, text)


async def test_violations_arrive_with_their_fields(gateway: Gateway, backend: Backend) -> None:
    backend.script.answer = _failing(
        RemoteError("VALIDATION_ERROR", "two things", violations=[Violation("a.b[0]", "one"), Violation("c", "two")])
    )
    error = error_of(await gateway.http.get(AGENT), 422, "VALIDATION_ERROR")
    assert error["details"]["field_violations"] == [{"field": "a.b[0]", "description": "one"}, {"field": "c", "description": "two"}]


async def test_the_largest_envelope_of_the_service_arrives_complete(gateway: Gateway, backend: Backend) -> None:
    violations = [Violation(f"tasks[{n}].{'x' * 40}", "\x01" * 400) for n in range(40)]
    backend.script.answer = _failing(RemoteError("VALIDATION_ERROR", "\x01" * 1000, violations=violations))
    response = await gateway.http.get(AGENT)
    error = error_of(response, 422, "VALIDATION_ERROR")
    assert len(response.content) > 30_000
    assert error["message"] == "\x01" * 1000
    assert int(error["details"]["field_violations_omitted"]) + len(error["details"]["field_violations"]) == 40


async def test_an_envelope_of_60_kb_arrives_complete(gateway: Gateway, backend: Backend) -> None:
    """More than 64 KiB in one trailer would break the connection to the orchestrator, with every call on it."""
    envelope = json.dumps({"error": {"code": "AGENT_NOT_FOUND", "message": "m" * 60_000}})

    async def abort(request: Any, context: Any) -> Any:
        more = ("grpc-status-details-bin", b"d" * 6_000)
        await context.abort(grpc.StatusCode.NOT_FOUND, "", (("x-mesh-envelope", envelope), ("x-mesh-status", "404"), more))

    backend.script.answer = abort
    response = await gateway.http.get(AGENT)
    assert (response.status_code, response.text) == (404, envelope)


async def test_an_unexpected_exception_is_internal_and_its_text_is_not_shown(gateway: Gateway, backend: Backend) -> None:
    backend.script.answer = _failing(RuntimeError("secret"))
    error = error_of(await gateway.http.get(AGENT), 500, "INTERNAL")
    assert "secret" not in json.dumps(error)


BARE = {
    grpc.StatusCode.CANCELLED: (499, "CANCELLED"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (504, "UPSTREAM_TIMEOUT"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (413, "PAYLOAD_TOO_LARGE"),
    grpc.StatusCode.UNIMPLEMENTED: (501, "NOT_IMPLEMENTED"),
    grpc.StatusCode.UNAVAILABLE: (503, "SERVICE_UNAVAILABLE"),
    grpc.StatusCode.NOT_FOUND: (500, "INTERNAL"),
    grpc.StatusCode.UNKNOWN: (500, "INTERNAL"),
    grpc.StatusCode.INTERNAL: (500, "INTERNAL"),
}


@pytest.mark.parametrize("code", BARE)
async def test_a_status_set_by_grpc_itself_has_an_envelope(gateway: Gateway, backend: Backend, code: grpc.StatusCode) -> None:
    async def abort(request: Any, context: Any) -> Any:
        await context.abort(code, "gRPC's own text")

    backend.script.answer = abort
    error = error_of(await gateway.http.get(AGENT), *BARE[code])
    assert "gRPC's own" not in error["message"]


async def test_a_success_has_no_grpc_headers(gateway: Gateway, backend: Backend) -> None:
    response = await gateway.http.post(f"{AGENT}/execute", json={"input": "hello"})
    assert response.status_code == 200
    assert_clean(response)
    answer = response.json()
    assert (answer["result"], answer["execution_id"]) == ("hello", "")


async def test_an_answer_of_several_megabytes_passes(gateway: Gateway, backend: Backend) -> None:
    async def long_answer(request: Any, context: Any) -> Any:
        return execution.ExecuteAgentResponse(result="ü" * 5_000_000)

    backend.script.answer = long_answer
    response = await gateway.http.post(f"{AGENT}/execute", json={"input": "hello"})
    assert response.status_code == 200
    assert len(response.json()["result"]) == 5_000_000


async def test_json_is_compressed_for_clients_that_accept_it(gateway: Gateway, backend: Backend) -> None:
    backend.script.answer = _failing(RemoteError("AGENT_NOT_FOUND", "a" * 900, details={"b": "c" * 400}))
    response = await gateway.http.get(AGENT, headers={"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert response.json()["error"]["code"] == "AGENT_NOT_FOUND"
