"""Requests that violate the contract, each in one way: the error names the field, nothing is bought, and the platform keeps running."""

import json
from collections.abc import AsyncIterator
from math import nan
from typing import Any

import grpc
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

from mesh.rpc.status import error_of as error_of_status
from tests.contract.gateway.wire import error_of
from tests.e2e.definitions import AGENT, STRICT
from tests.e2e.platform import Platform, question
from tests.e2e.provocations import SECONDS, executing, failure, raw_call

TEXT = "Which three things would you look at first?"
UNDECODABLE = b"\x0a\xff\xff\xff\xff\x0f"


@pytest.fixture(autouse=True)
async def nothing_is_bought(platform: Platform) -> AsyncIterator[None]:
    """Applies to every test of this module."""
    before = len(platform.provider.entries())
    yield
    assert len(platform.provider.entries()) == before
    assert await platform.ready()


def _fields(error: dict[str, Any]) -> list[str]:
    return [violation["field"] for violation in error["details"]["field_violations"]]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        pytest.param({"colour": "red"}, "colour", id="an unknown parameter"),
        pytest.param({"limit": "0"}, "limit", id="a limit of zero"),
        pytest.param({"limit": "-1"}, "limit", id="a negative limit"),
        pytest.param({"offset": "-1"}, "offset", id="a negative offset"),
        pytest.param({"search": "x" * 1001}, "search", id="a search that is too long"),
        pytest.param({"category": "x" * 101}, "category", id="a category that is too long"),
    ],
)
async def test_an_invalid_list_of_agents_is_refused_with_the_parameter(platform: Platform, parameters: dict[str, str], field: str) -> None:
    error = error_of(await platform.http.get("/api/v1/agents", params=parameters), 422, "VALIDATION_ERROR")
    assert _fields(error) == [field]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        pytest.param({"page_size": "0"}, "page_size", id="a page size of zero"),
        pytest.param({"page_token": "not a token"}, "page_token", id="an invalid page token"),
        pytest.param({"page_token": "x" * 201}, "page_token", id="a page token that is too long"),
        pytest.param({"agent_id": "x" * 201}, "agent_id", id="an agent id that is too long"),
        pytest.param({"status": "99"}, "status", id="an unknown status number"),
    ],
)
async def test_an_invalid_list_of_executions_is_refused_with_the_parameter(
    platform: Platform, parameters: dict[str, str], field: str
) -> None:
    error = error_of(await platform.http.get("/api/v1/executions", params=parameters), 422, "VALIDATION_ERROR")
    assert _fields(error) == [field]


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        ("/api/v1/agents", "limit", "many"),
        ("/api/v1/agents", "limit", "2147483648"),
        ("/api/v1/agents", "offset", "1.5"),
        ("/api/v1/executions", "page_size", ""),
        ("/api/v1/executions", "status", "EXECUTION_STATUS_NONSENSE"),
    ],
)
async def test_a_parameter_of_the_wrong_type_is_refused(platform: Platform, path: str, parameter: str, value: str) -> None:
    error_of(await platform.http.get(path, params={parameter: value}), 422, "VALIDATION_ERROR")


@pytest.mark.parametrize("path", ["/api/v1/agents/Nobody", "/api/v1/agents/Nobody/health", "/api/v1/agents/seo_agent_1_x"])
async def test_a_malformed_agent_id_is_not_found(platform: Platform, path: str) -> None:
    """Ids of any form are looked up."""
    error_of(await platform.http.get(path), 404, "AGENT_NOT_FOUND")


async def test_a_malformed_execution_id_is_refused(platform: Platform) -> None:
    assert _fields(error_of(await platform.http.get("/api/v1/executions/42"), 422, "VALIDATION_ERROR")) == ["execution_id"]


@pytest.mark.parametrize("rpc", ["execute", "stream"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"input": ', id="truncated JSON"),
        pytest.param(b'{"input": "x"} {"input": "y"}', id="two JSON documents"),
        pytest.param(b'{"input": x}', id="a word without quotes"),
        pytest.param(b"hello", id="not JSON"),
        pytest.param(b"\xff\xfe", id="binary data"),
        pytest.param(b'{"input": "\xc3\x28"}', id="invalid UTF-8"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"x"', id="a string"),
        pytest.param(b'{"input": 5}', id="a number as input"),
        pytest.param(b'{"input": ["x"]}', id="a list as input"),
        pytest.param(b'{"input": {"x": 1}}', id="an object as input"),
        pytest.param(b'{"input": "x", "context": "y"}', id="a string as context"),
        pytest.param(b'{"input": "x", "context": ["y"]}', id="a list as context"),
        pytest.param(b'{"input": null}', id="null as input"),
        pytest.param(b"{}", id="no input"),
        pytest.param(b'{"input": ""}', id="an empty input"),
        pytest.param(b'{"input": "x\\u0000y"}', id="the character U+0000"),
        pytest.param(b'{"input": "x", "context": {"y": "\\u0000"}}', id="U+0000 in the context"),
        pytest.param(b'{"input": "x", "agent_id": "other_agent_1_1"}', id="another agent than in the path"),
        pytest.param(b'{"input": "x", "context": ' + b'{"y": ' * 200 + b"1" + b"}" * 201, id="a context nested too deeply"),
    ],
)
async def test_an_invalid_body_is_refused(platform: Platform, body: bytes, rpc: str) -> None:
    response = await platform.http.post(f"/api/v1/agents/{AGENT}/{rpc}", content=body, headers={"content-type": "application/json"})
    error_of(response, 422, "VALIDATION_ERROR")


async def test_input_is_limited_to_two_hundred_thousand_characters(platform: Platform) -> None:
    error = error_of(await platform.execute("ü" * 200_001), 422, "VALIDATION_ERROR")
    assert _fields(error) == ["input"]
    strict = await platform.execute("ü" * 200_000, agent_id=STRICT, context={"audience": "nobody"})
    assert _fields(error_of(strict, 422, "VALIDATION_ERROR")) == ["context.audience"]  # the input was accepted


@pytest.mark.parametrize(
    ("context", "fields"),
    [
        pytest.param({"audience": "nobody"}, ["context.audience"], id="a value outside the enum"),
        pytest.param({"audience": "adults", "age": "thirty"}, ["context.age"], id="a wrong type"),
        pytest.param({"audience": "adults", "age": -1}, ["context.age"], id="a number that is too small"),
        pytest.param({"audience": "adults", "mood": "good"}, ["context.mood"], id="an unknown key"),
        pytest.param({}, ["context.audience"], id="a missing key"),
        pytest.param(None, ["context.audience"], id="no context"),
        pytest.param({"age": 1.5, "mood": 1}, ["context.age", "context.audience", "context.mood"], id="several violations at once"),
    ],
)
@pytest.mark.parametrize("rpc", ["execute", "stream"])
async def test_a_context_is_validated_against_the_schema_of_the_definition(
    platform: Platform, context: dict[str, Any] | None, fields: list[str], rpc: str
) -> None:
    body = {"input": question(), **({} if context is None else {"context": context})}
    response = await platform.http.post(f"/api/v1/agents/{STRICT}/{rpc}", json=body)
    assert sorted(_fields(error_of(response, 422, "VALIDATION_ERROR"))) == fields


@pytest.mark.parametrize(
    ("header", "field"),
    [(b"two words", ""), (b"x" * 201, ""), (b"gr\xfcn", ""), (b"one", "another"), (b"", "x" * 201), (b"", "two words")],
)
async def test_an_idempotency_key_must_be_visible_ascii_and_equal_in_header_and_body(platform: Platform, header: bytes, field: str) -> None:
    headers = [(b"idempotency-key", header)] if header else []
    body = {"input": TEXT, "idempotency_key": field}
    response = await platform.http.post(f"/api/v1/agents/{AGENT}/execute", json=body, headers=headers)
    error = error_of(response, 422, "VALIDATION_ERROR")
    assert [name.replace("-", "_") for name in _fields(error)] == ["idempotency_key"]


async def test_unknown_fields_of_a_body_are_ignored(platform: Platform) -> None:
    response = await platform.execute("", novelty={"of": "next year"})
    assert _fields(error_of(response, 422, "VALIDATION_ERROR")) == ["input"]


async def test_all_violations_are_reported_at_once(platform: Platform) -> None:
    request = execution.ExecuteAgentRequest(agent_id="x" * 201, input="", idempotency_key="two words")
    problem = error_of_status(await failure(ExecutionServiceStub(platform.gateway).ExecuteAgent(request, timeout=SECONDS)))
    assert problem is not None
    assert {violation.field for violation in problem.violations} == {"agent_id", "input", "idempotency_key"}
    response = await platform.http.post(f"/api/v1/agents/{'x' * 201}/execute", json={"input": "", "idempotency_key": "two words"})
    assert set(_fields(error_of(response, 422, "VALIDATION_ERROR"))) == {"agent_id", "input", "idempotency_key"}


@pytest.fixture(params=["gateway", "orchestrator"])
def channel(platform: Platform, request: pytest.FixtureRequest) -> grpc.aio.Channel:
    """Both targets of native clients."""
    return platform.gateway if request.param == "gateway" else platform.orchestrator


@pytest.mark.parametrize("rpc", ["ExecuteAgent", "GetExecution", "ListExecutions"])
async def test_bytes_that_are_not_a_message_are_a_validation_error(channel: grpc.aio.Channel, rpc: str) -> None:
    call = raw_call(channel, f"/agentmesh.execution.v1.ExecutionService/{rpc}", UNDECODABLE)
    problem = error_of_status(await failure(call))
    assert problem is not None
    assert problem.reason == "VALIDATION_ERROR"


async def test_native_violations_name_their_fields(channel: grpc.aio.Channel) -> None:
    listing = RegistryServiceStub(channel).ListAgents(registry.ListAgentsRequest(limit=0, offset=-1), timeout=SECONDS)
    no_number = execution.ExecuteAgentRequest(agent_id=AGENT, input=TEXT)
    no_number.context.update({"figure": nan})
    calls = {
        listing: {"limit", "offset"},
        executing(channel, "x" * 200_001): {"input"},
        ExecutionServiceStub(channel).ExecuteAgent(no_number, timeout=SECONDS): {"context"},
    }
    for call, fields in calls.items():
        problem = error_of_status(await failure(call))
        assert problem is not None
        assert (problem.reason, {violation.field for violation in problem.violations}) == ("VALIDATION_ERROR", fields)


async def test_an_error_is_json_whatever_the_client_accepts(platform: Platform) -> None:
    response = await platform.http.get("/api/v1/agents", params={"limit": 0}, headers={"accept": "text/html"})
    error_of(response, 422, "VALIDATION_ERROR")
    assert json.loads(response.content)["error"]["request_id"] == response.headers["x-request-id"]
