"""Why a request cannot be decoded."""

import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.workflow.v1 import workflow_service_pb2 as workflow
from google.protobuf import struct_pb2

from mesh.errors import ValidationFailed
from mesh.rpc.interceptors.errors import Undecodable
from mesh.rpc.interceptors.validation import check
from mesh.rpc.requests.undecodable import why_undecodable


def _nested(levels: int) -> struct_pb2.Value:
    value = struct_pb2.Value()
    inner = value
    for _ in range(levels):
        inner = inner.list_value.values.add()
    return value


def _damaged(message: execution.ExecuteAgentRequest | registry.ListAgentsRequest | workflow.CreateWorkflowRequest) -> bytes:
    return message.SerializeToString().replace(b"??", b"\xff\xfe")


def _reason(data: bytes, kind: type) -> tuple[str, str] | None:
    found = why_undecodable(data, kind.DESCRIPTOR)  # type: ignore[attr-defined]
    return None if found is None else (found.field, found.description)


def test_invalid_utf8_is_reported_with_its_field() -> None:
    search = registry.ListAgentsRequest(category="a", search="a??b", limit=3)
    assert _reason(_damaged(search), registry.ListAgentsRequest) == ("search", "must be valid UTF-8")
    plan = workflow.CreateWorkflowRequest(name="x")
    plan.tasks.add(id="a", depends_on=["??"])
    assert _reason(_damaged(plan), workflow.CreateWorkflowRequest) == ("tasks.depends_on", "must be valid UTF-8")


def test_invalid_utf8_in_free_form_data_is_reported_with_the_field_that_contains_it() -> None:
    request = execution.ExecuteAgentRequest(input="x")
    request.context.update({"a": [{"b": "??"}]})
    assert _reason(_damaged(request), execution.ExecuteAgentRequest) == ("context", "must be valid UTF-8")


def test_nesting_deeper_than_protobuf_reads_is_reported() -> None:
    request = execution.ExecuteAgentRequest(input="x")
    request.context.fields["a"].CopyFrom(_nested(60))
    with pytest.raises(ValidationFailed, match=r"^context: must not be nested deeper than 100 messages"):
        check(Undecodable(request.SerializeToString(), execution.ExecuteAgentRequest.DESCRIPTOR))


@pytest.mark.parametrize("data", [b"\x1a\x05abc", b"\x0b", b"\x12", b"\xff" * 20, b"\x0d\x01"])
def test_bytes_that_are_not_protobuf_are_reported_without_a_field(data: bytes) -> None:
    assert _reason(data, registry.ListAgentsRequest) is None
    with pytest.raises(ValidationFailed, match="are not a message of this rpc"):
        check(Undecodable(data, registry.ListAgentsRequest.DESCRIPTOR))


def test_the_search_for_the_field_is_bounded() -> None:
    request = workflow.CreateWorkflowRequest(name="x")
    request.tasks.add(id="a", depends_on=["b"] * 20_000 + ["??"])
    assert _reason(_damaged(request), workflow.CreateWorkflowRequest) is None
    numbers = b"\x18\x01" * 20_000
    assert _reason(numbers + b"\x12\x01\xff", registry.ListAgentsRequest) is None
    assert _reason(numbers[:1_000] + b"\x12\x01\xff", registry.ListAgentsRequest) == ("search", "must be valid UTF-8")
