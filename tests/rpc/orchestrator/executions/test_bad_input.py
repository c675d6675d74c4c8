"""Each kind of invalid input gets its documented error and buys nothing, and the process keeps running."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as pb
from agentmesh.registry.v1 import registry_service_pb2
from google.protobuf.struct_pb2 import Struct

from mesh.errors import RemoteError
from mesh.rpc.convert import struct
from tests.adapters.agent_host.running import CHECKED, agent_id
from tests.rpc.orchestrator.running import Call, Mesh, documented_error, failure_of
from tests.support.expensive_requests import expensive_requests

EXECUTE = "/agentmesh.execution.v1.ExecutionService/ExecuteAgent"


@pytest.fixture(autouse=True)
async def still_alive(mesh: Mesh) -> AsyncIterator[None]:
    """After each test, a call still succeeds and the log has no unexpected error."""
    unforeseen = len(mesh.orchestrator.logged("unexpected_error"))
    yield
    assert (await mesh.call().execute()).result
    assert len(mesh.orchestrator.logged("unexpected_error")) == unforeseen


def nested(levels: int) -> Struct:
    """A context nested this deeply."""
    inner: dict[str, Any] = {}
    for _ in range(levels - 1):
        inner = {"a": inner}
    return struct(inner)


def undecodable(levels: int) -> bytes:
    """A request with a context nested this deeply, which protobuf itself would refuse to build."""
    inner = b""
    for _ in range(levels):
        value = b"\x2a" + sized(inner)
        inner = b"\x0a" + sized(b"\x0a\x01a\x12" + sized(value))
    return b"\x1a" + sized(inner)


def sized(data: bytes) -> bytes:
    """The bytes prefixed with their length as a varint."""
    length, size = len(data), b""
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return size + bytes([length]) + data


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "an agent that is not there": ({"agent_id": "own_helper_agent_1_999"}, "AGENT_NOT_FOUND", ""),
    "an id of another form": ({"agent_id": "Helper"}, "AGENT_NOT_FOUND", ""),
    "an id that ends in a line break": ({"agent_id": "own_helper_agent_1_1\n"}, "AGENT_NOT_FOUND", ""),
    "no agent": ({"agent_id": ""}, "VALIDATION_ERROR", "agent_id"),
    "an empty input": ({"input": ""}, "VALIDATION_ERROR", "input"),
    "an input that is too long": ({"input": "x" * 200_001}, "VALIDATION_ERROR", "input"),
    "an input with U+0000": ({"input": "a\x00b"}, "VALIDATION_ERROR", "input"),
    "a context with U+0000": ({"context": struct({"a": [{"b": "\x00"}]})}, "VALIDATION_ERROR", "context"),
    "a context key with U+0000": ({"context": struct({"a\x00": 1})}, "VALIDATION_ERROR", "context"),
    "a context with NaN": ({"context": struct({"a": [float("nan")]})}, "VALIDATION_ERROR", "context"),
    "a context that is nested too deeply": ({"context": nested(31)}, "VALIDATION_ERROR", "context"),
    "a context with infinity": ({"context": struct({"a": {"b": float("-inf")}})}, "VALIDATION_ERROR", "context"),
}


def assert_refused(error: RemoteError, reason: str, field: str) -> None:
    assert error.reason == reason
    assert [violation.field for violation in error.violations] == ([field] if field else [])


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_call_with_invalid_input_is_refused_before_anything_is_recorded(call: Call, kind: str) -> None:
    fields, reason, field = REFUSED[kind]
    assert_refused(await failure_of(call.execute(**fields)), reason, field)
    assert await call.rows() == []


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_stream_with_invalid_input_is_refused_in_the_same_way(call: Call, kind: str) -> None:
    fields, reason, field = REFUSED[kind]
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call.stream(**fields).read()
    assert_refused(documented_error(failed.value), reason, field)
    assert await call.rows() == []


async def test_all_violations_are_reported_at_once(call: Call) -> None:
    error = await failure_of(call.execute(agent_id="a" * 201, input="", idempotency_key="ü"))
    assert [violation.field for violation in error.violations] == ["agent_id", "input", "idempotency_key"]


@pytest.mark.parametrize(
    ("context", "field"), [({}, "context.market"), ({"market": 3}, "context.market"), ({"market": "DE", "year": 1999}, "context.year")]
)
async def test_a_context_that_violates_the_agents_schema_is_refused_and_costs_nothing(
    mesh: Mesh, context: dict[str, Any], field: str
) -> None:
    call = mesh.call(CHECKED)
    error = await failure_of(call.execute(context=struct(context)))
    assert_refused(error, "VALIDATION_ERROR", field)
    row = await call.settled()
    assert (row["status"], row["cost_micro_usd"], row["model"]) == ("failed", 0, None)
    assert await call.purchases() == []


async def test_a_message_that_is_too_large_is_refused_by_grpc(call: Call) -> None:
    execute = call.execute(context=struct({"a": "x" * 5_000_000}))
    with pytest.raises(grpc.aio.AioRpcError):
        await execute
    assert await execute.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await call.rows() == []


async def test_a_large_context_within_the_limit_is_answered(call: Call) -> None:
    assert (await call.execute(context=struct({"a": "x" * 250_000}))).result
    assert (await call.settled())["input_tokens"] > 60_000


async def test_a_context_with_as_many_values_as_allowed_is_answered(call: Call) -> None:
    assert (await call.execute(context=struct({"a": [{"b": [None, 1.5]}] * 2_490, "padding": "x" * 20_000}))).result


EXPENSIVE = dict(expensive_requests(pb.ExecuteAgentRequest.DESCRIPTOR))


@pytest.mark.parametrize("shape", EXPENSIVE)
async def test_an_expensive_request_is_refused_with_its_field(call: Call, mesh: Mesh, shape: str) -> None:
    error = await failure_of(raw(mesh, EXECUTE)(EXPENSIVE[shape]))
    assert error.reason == "VALIDATION_ERROR"
    assert shape == "groups" or error.details["limit"] in {"MOST_FIELDS", "LIMIT_CONTEXT_BYTES", "max_len"}
    assert await call.rows() == []


async def test_a_context_with_too_many_values_is_refused_before_anything_is_recorded(call: Call) -> None:
    error = await failure_of(call.execute(context=struct({"a": [None] * 10_000, "padding": "x" * 20_000})))
    assert (error.reason, error.details["limit"], error.violations[0].field) == ("VALIDATION_ERROR", "LIMIT_CONTEXT_NODES", "context")
    assert "10,000 values" in error.message
    assert await call.rows() == []


UNDECODABLE = {
    "a tag": b"\xff\xff\xff",
    "a length": b"\x0a\xff",
    "a text": b"\x12\x02\xc3\x28",
    "a context": b"\x1a\x05hello",
    "a depth": undecodable(60),
}


@pytest.mark.parametrize("kind", UNDECODABLE)
async def test_bytes_that_are_not_a_message_are_a_validation_error(mesh: Mesh, kind: str) -> None:
    error = await failure_of(raw(mesh, EXECUTE)(UNDECODABLE[kind]))
    assert error.reason == "VALIDATION_ERROR"
    assert "DecodeError" not in error.message


async def test_a_context_nested_as_deeply_as_allowed_can_be_read_back(call: Call) -> None:
    answer = await call.execute(context=nested(30))
    assert (await call.record(answer.execution_id)).context == nested(30)


async def test_an_unknown_rpc_is_unimplemented(mesh: Mesh) -> None:
    for path in ("/agentmesh.execution.v1.ExecutionService/Nothing", "/agentmesh.nothing.v1.Service/Nothing"):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await raw(mesh, path)(b"")
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


def raw(mesh: Mesh, path: str) -> Any:
    """An rpc that sends and receives bytes."""
    rpc: Any = mesh.orchestrator.channel.unary_unary(path)
    return rpc


@pytest.mark.parametrize("size", [0, -1, -(2**31)])
async def test_a_page_size_of_zero_is_refused(mesh: Mesh, size: int) -> None:
    executions, registry = mesh.orchestrator.executions, mesh.orchestrator.registry
    assert_refused(await failure_of(executions.ListExecutions(pb.ListExecutionsRequest(page_size=size))), "VALIDATION_ERROR", "page_size")
    request = registry_service_pb2.ListAgentsRequest(limit=size)
    assert_refused(await failure_of(registry.ListAgents(request)), "VALIDATION_ERROR", "limit")


@pytest.mark.parametrize("size", [201, 1000, 2**31 - 1])
async def test_a_page_size_over_the_maximum_is_reduced_to_it(mesh: Mesh, size: int) -> None:
    answer = await mesh.orchestrator.executions.ListExecutions(pb.ListExecutionsRequest(page_size=size))
    assert len(answer.executions) <= 200
    agents = await mesh.orchestrator.registry.ListAgents(registry_service_pb2.ListAgentsRequest(limit=size))
    assert agents.total == len(agents.agents)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"page_token": "not a token"}, "page_token"),
        ({"page_token": "A" * 201}, "page_token"),
        ({"page_token": "\x00"}, "page_token"),
        ({"agent_id": "a" * 201}, "agent_id"),
        ({"agent_id": "a\x00"}, "agent_id"),
        ({"status": 99}, "status"),
    ],
)
async def test_a_list_with_invalid_parameters_is_refused(mesh: Mesh, fields: dict[str, Any], field: str) -> None:
    error = await failure_of(mesh.orchestrator.executions.ListExecutions(pb.ListExecutionsRequest(**fields)))
    assert_refused(error, "VALIDATION_ERROR", field)


@pytest.mark.parametrize("execution_id", ["", "x", "0192f0c1-0000-7000-8000-00000000000", "0192f0c1-0000-7000-8000-000000000000\n"])
async def test_a_malformed_execution_id_is_refused(mesh: Mesh, execution_id: str) -> None:
    error = await failure_of(mesh.orchestrator.executions.GetExecution(pb.GetExecutionRequest(execution_id=execution_id)))
    assert_refused(error, "VALIDATION_ERROR", "execution_id")


@pytest.mark.parametrize(
    ("fields", "field"), [({"offset": -1}, "offset"), ({"search": "x" * 1001}, "search"), ({"category": "x" * 101}, "category")]
)
async def test_a_list_of_agents_with_invalid_parameters_is_refused(mesh: Mesh, fields: dict[str, Any], field: str) -> None:
    error = await failure_of(mesh.orchestrator.registry.ListAgents(registry_service_pb2.ListAgentsRequest(**fields)))
    assert_refused(error, "VALIDATION_ERROR", field)


@pytest.mark.parametrize("search", ['"', "*", "NEAR(", "-helper", "\x00", "🙂", "a OR b", "' OR 1=1"])
async def test_a_search_accepts_any_text(mesh: Mesh, search: str) -> None:
    answer = await mesh.orchestrator.registry.ListAgents(registry_service_pb2.ListAgentsRequest(search=search))
    assert answer.total in (0, 4)


@pytest.mark.parametrize("given", ["nonsense", "req_" + "x" * 61, "req_a b", "req_"])
async def test_a_malformed_request_id_is_replaced(call: Call, given: str) -> None:
    rpc = call.mesh.orchestrator.executions.ExecuteAgent(
        pb.ExecuteAgentRequest(agent_id=agent_id(1), input=call.input), metadata=(("x-request-id", given),)
    )
    await rpc
    returned = str(dict(await rpc.trailing_metadata())["x-request-id"])
    assert returned.startswith("req_")
    assert returned != given
