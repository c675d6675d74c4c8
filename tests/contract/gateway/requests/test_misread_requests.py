"""Requests that the transcoder would misread: null elements, bodies that it would merge, and encodings that it cannot read."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import grpc
import pytest
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from google.rpc import error_details_pb2, status_pb2

from mesh.rpc.status import find
from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.running import Gateway
from tests.contract.gateway.wire import error_of, frame

AGENT = f"/api/v1/agents/{AGENT_ID}"
WORKFLOWS = "/api/v1/workflows"
MIB = 1024 * 1024

NULLS = {
    '{"tasks": [null]}': "tasks[0]",
    '{"name": "x", "tasks": [{"id": "a"}, null, {"id": "b"}]}': "tasks[1]",
    '{"tasks": [{"id": "a", "depends_on": ["b", null]}]}': "tasks[0].depends_on[1]",
    '{"tasks": [{"id": "a"}, {"dependsOn": [null]}]}': "tasks[1].dependsOn[0]",
    '{"tasks": [{"depends\\u005fon": [null]}]}': "tasks[0].depends_on[0]",
    "{tasks: [{'depends_on': [ \n null]}]}": "tasks[0].depends_on[0]",
    '{"tasks": [{"input": "a \\" [ ] { } , null", "depends_on": ["\\\\", null]}]}': "tasks[0].depends_on[1]",
    '{"context": [null], "tasks": [{"context": {"tasks": [null]}, "depends_on": [null]}]}': "tasks[0].depends_on[0]",
}


@pytest.mark.parametrize("body", NULLS)
async def test_a_null_in_a_list_is_refused_with_its_field(gateway: Gateway, body: str) -> None:
    """The transcoder would drop it, and the step would start without its predecessor."""
    response = await gateway.http.post(WORKFLOWS, content=body, headers={"content-type": "application/json"})
    error = error_of(response, 422, "VALIDATION_ERROR")
    assert error["details"]["field_violations"] == [{"field": NULLS[body], "description": "must not be null; remove the element"}]


async def test_a_null_in_a_list_of_enum_values_is_refused(gateway: Gateway) -> None:
    response = await gateway.http.post("/api/v1/auth/api-keys", json={"label": "x", "scopes": ["ACCESS_SCOPE_READ", None]})
    error = error_of(response, 422, "VALIDATION_ERROR")
    assert [violation["field"] for violation in error["details"]["field_violations"]] == ["scopes[1]"]


async def test_nulls_in_free_form_data_are_kept(gateway: Gateway, backend: Backend) -> None:
    context = {"list": [1, None, {"tasks": [None], "depends_on": [None]}], "nothing": None}
    response = await gateway.http.post(f"{AGENT}/execute", json={"input": "null", "context": context, "unknown": [None]})
    assert response.status_code == 200
    (request,) = backend.script.requests
    seen = request.context.fields["list"].list_value.values
    assert [value.WhichOneof("kind") for value in seen] == ["number_value", "null_value", "struct_value"]
    inner = seen[2].struct_value.fields["tasks"].list_value.values
    assert [value.WhichOneof("kind") for value in inner] == ["null_value"]


@pytest.mark.parametrize(
    "body", ['{"tasks": [{"context": {"depends_on": [null]}, "retry": null}]}', '{"tasks": null}', '{"tasks": ["null", "}null["]}']
)
async def test_other_nulls_in_a_workflow_are_left_to_the_service(gateway: Gateway, body: str) -> None:
    response = await gateway.http.post(WORKFLOWS, content=body)
    assert "must not be null" not in response.text


HOSTILE = {
    "nulls in free-form data": '{"tasks":[{"context":{"a":[' + "null," * (4 * MIB // 5 - 100) + "null]}}]}",
    "a long key before brackets": '{"null":1,"' + "k" * (2 * MIB) + '":[' + "[]," * (2 * MIB // 3 - 100) + "[]]}",
    "colons": '{"null"' + ":" * (4 * MIB - 100),
    "open brackets": '{"null":1,"x":' + "[" * (4 * MIB - 100),
    "tasks": '{"tasks":[' + '{"depends_on":["a"]},' * (4 * MIB // 21 - 100) + '{"depends_on":[null]}]}',
    "an open string": '{"null":1,"x":"' + "a'" * (2 * MIB - 100),
    "backslashes": '{"null":1,"x":"' + "\\\\" * (2 * MIB - 100) + '"}',
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_the_search_for_nulls_takes_linear_time(gateway: Gateway, name: str) -> None:
    """One pass over 4 MiB takes about 0.1 s; the limit includes the transcoder's work, and the machine may be busy."""
    began = asyncio.get_running_loop().time()
    response = await gateway.http.post(WORKFLOWS, content=HOSTILE[name])
    assert response.status_code in (422, 501)  # this backend serves no workflows
    assert asyncio.get_running_loop().time() - began < 5


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_an_unexpected_body_is_refused(gateway: Gateway, backend: Backend, method: str, chunked: bool) -> None:
    body = b'{"search": "x"}'
    path = "/api/v1/agents" if method == "GET" else f"{WORKFLOWS}/1"
    response = await gateway.http.request(method, path, content=_pieces(body) if chunked else body)
    error = error_of(response, 422, "VALIDATION_ERROR")
    assert [violation["field"] for violation in error["details"]["field_violations"]] == ["body"]
    assert backend.script.requests == []


async def test_valid_queries_pass(gateway: Gateway, backend: Backend) -> None:
    for query in ("", "?", "?&", "?search=a%26b=c&limit=5&", "?search="):
        assert (await gateway.http.get(f"/api/v1/agents{query}")).status_code == 200
    assert backend.script.requests[3].search == "a&b=c"
    assert (await gateway.http.post(f"{AGENT}/execute?", json={"input": "x"})).status_code == 200


UNREADABLE: dict[str, dict[str, str]] = {
    "gzip": {"content-encoding": "gzip"},
    "zstd": {"content-encoding": "zstd"},
    "two encodings": {"content-encoding": "identity, br"},
    "UTF-16": {"content-type": "application/json; charset=UTF-16"},
    "Latin-1, quoted": {"content-type": 'application/json; charset="iso-8859-1"'},
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_body_in_an_unsupported_encoding_is_refused(gateway: Gateway, backend: Backend, name: str) -> None:
    headers = {"content-type": "application/json"} | UNREADABLE[name]
    response = await gateway.http.post(f"{AGENT}/execute", content=b"\x1f\x8b", headers=headers)
    error = error_of(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert error["details"] == {"content_type": headers["content-type"], "content_encoding": headers.get("content-encoding", "identity")}
    assert response.headers["accept-encoding"] == "identity"
    assert backend.script.requests == []


@pytest.mark.parametrize("headers", [{"content-encoding": "identity"}, {"content-type": "application/json; charset=utf-8"}, {}])
async def test_a_utf8_body_is_read(gateway: Gateway, headers: dict[str, str]) -> None:
    response = await gateway.http.post(f"{AGENT}/execute", content=json.dumps({"input": "x"}), headers=headers)
    assert response.json()["result"] == "x"


async def test_a_grpc_message_in_an_unsupported_encoding_is_unimplemented(gateway: Gateway, backend: Backend) -> None:
    headers = {"content-type": "application/grpc", "grpc-encoding": "snappy"}
    body = frame(registry.GetAgentRequest(agent_id=AGENT_ID).SerializeToString())
    response = await gateway.http.post("/agentmesh.registry.v1.RegistryService/GetAgent", content=body, headers=headers)
    assert (response.status_code, response.headers["grpc-status"]) == (200, "12")
    assert response.headers["grpc-accept-encoding"] == "identity,deflate,gzip"
    details = base64.b64decode(response.headers["grpc-status-details-bin"] + "==")
    info = find(status_pb2.Status.FromString(details), error_details_pb2.ErrorInfo())
    assert info is not None
    assert info.reason == "UNSUPPORTED_MEDIA_TYPE"
    assert backend.script.requests == []
    stub = RegistryServiceStub(gateway.channel)
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate, grpc.Compression.NoCompression):
        answer = await stub.GetAgent(registry.GetAgentRequest(agent_id=AGENT_ID), compression=compression, timeout=10)
        assert answer.agent.agent_id == AGENT_ID
    assert "x-mesh-asked-encoding" not in backend.script.metadata[-1]
