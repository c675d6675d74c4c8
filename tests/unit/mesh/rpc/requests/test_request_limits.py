"""Requests that cost far more than their size suggests are refused before protobuf parses them."""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from agentmesh.agent.v1 import agent_service_pb2
from agentmesh.event.v1 import event_service_pb2
from agentmesh.execution.v1 import execution_service_pb2
from agentmesh.identity.v1 import identity_service_pb2
from agentmesh.registry.v1 import registry_service_pb2
from agentmesh.workflow.v1 import workflow_pb2, workflow_service_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.rpc.interceptors.errors import Undecodable
from mesh.rpc.interceptors.validation import RequestValidation
from mesh.rpc.requests import request_limits
from mesh.rpc.requests.request_limits import RequestLimits, RequestTooLarge
from tests.support.expensive_requests import expensive_requests

MODULES: Any = (
    agent_service_pb2,
    event_service_pb2,
    execution_service_pb2,
    identity_service_pb2,
    registry_service_pb2,
    workflow_service_pb2,
)
METHODS = [method for module in MODULES for service in module.DESCRIPTOR.services_by_name.values() for method in service.methods]
EXECUTE = execution_service_pb2.ExecuteAgentRequest
CREATE = workflow_service_pb2.CreateWorkflowRequest
AGENT_ID = "marketing_seo_strategist_agent_1_1"


def read(kind: Any, data: bytes, limits: RequestLimits = request_limits.DEFAULT_LIMITS) -> Any:
    """What happens to request bytes before they reach the service."""
    return RequestValidation(limits).deserializer(SimpleNamespace(request_deserializer=kind.FromString))(data)


def refused(request: Any) -> RequestTooLarge:
    assert isinstance(request, RequestTooLarge)
    return request


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_no_expensive_request_of_any_rpc_is_parsed(method: MethodDescriptor) -> None:
    kind = GetMessageClass(method.input_type)
    shapes = dict(expensive_requests(method.input_type, 400_000))
    assert len(shapes) >= 3
    parsed = [name for name, data in shapes.items() if not isinstance(read(kind, data), RequestTooLarge | Undecodable)]
    assert parsed == []


def test_agent_calls_and_workflows_have_a_dozen_expensive_shapes() -> None:
    for kind in (EXECUTE, CREATE, agent_service_pb2.ExecuteRequest):
        assert len(dict(expensive_requests(kind.DESCRIPTOR, 4096))) >= 12


def test_the_error_names_the_field_the_limit_and_its_value() -> None:
    too_many = refused(read(CREATE, CREATE(name="x", tasks=[workflow_pb2.Task()] * 60_000).SerializeToString()))
    assert (too_many.field, too_many.description) == ("tasks", "must contain no more than 100 item(s)")
    nested = CREATE(name="x", tasks=[workflow_pb2.Task(id="a"), workflow_pb2.Task(id="b", depends_on=["a"] * 10_000)])
    assert refused(read(CREATE, nested.SerializeToString())).field == "tasks[1].depends_on"
    large = refused(read(EXECUTE, request({"a": "x" * 300_000}).SerializeToString()))
    assert (large.field, large.limit) == ("context", "LIMIT_CONTEXT_BYTES")
    error = large.refusal()
    assert error.message == "context: must not exceed 262,144 bytes in protobuf encoding, all contexts of a request together"
    assert (error.violations[0].field, error.details) == ("context", {"limit": "LIMIT_CONTEXT_BYTES"})
    long = refused(read(EXECUTE, EXECUTE(agent_id=AGENT_ID, input="x" * 800_001).SerializeToString()))
    assert (long.field, long.limit) == ("input", "max_len")


def request(context: dict[str, Any]) -> execution_service_pb2.ExecuteAgentRequest:
    made = EXECUTE(agent_id=AGENT_ID, input="How do we rank?")
    made.context.update(context)
    return made


@pytest.mark.parametrize(
    ("context", "nodes"),
    [
        ({}, 1),
        ({"a": None}, 2),
        ({"a": [1, "b", True], "c": {"d": {}}}, 7),
        ({"a": [[[]]]}, 4),
    ],
)
def test_every_object_list_and_value_counts_as_a_node(context: dict[str, Any], nodes: int) -> None:
    made = request({**context, "padding": "x" * 1000})
    count_nodes(made, RequestLimits(free_form_nodes=nodes + 1))
    with pytest.raises(RequestTooLarge, match=f"must not hold more than {nodes} values"):
        count_nodes(made, RequestLimits(free_form_nodes=nodes))


def count_nodes(message: Message, limits: RequestLimits) -> int:
    """Checks the nodes, and returns how often other calls get their turn meanwhile."""
    return len(list(request_limits.check_nodes(message, limits)))


@pytest.mark.parametrize("context", [{"a": [None] * 9_000}, {"a": [{"b": [None]}] * 3_000}, {str(number): 1 for number in range(9_000)}])
def test_other_calls_get_their_turn_while_nodes_are_counted(context: dict[str, Any]) -> None:
    assert count_nodes(request(context), RequestLimits()) == 9_000 // request_limits.NODES_AT_A_TIME


def test_the_contexts_of_all_tasks_of_a_workflow_are_counted_together() -> None:
    tasks = [workflow_pb2.Task(id=f"t{number}", agent_id=AGENT_ID, input="x") for number in range(3)]
    for task in tasks:
        task.context.update({"a": ["x" * 20] * 4000})
    made = CREATE(name="x", tasks=tasks)
    error = refused(read(CREATE, made.SerializeToString()))
    assert (error.field, error.limit) == ("tasks[2].context", "LIMIT_CONTEXT_BYTES")
    with pytest.raises(RequestTooLarge) as too_many:
        count_nodes(made, RequestLimits(2**20, 10_000))
    assert (too_many.value.field, too_many.value.limit) == ("tasks[2].context", "LIMIT_CONTEXT_NODES")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner, max_size=8),
    max_leaves=40,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=20), st.text(max_size=500))
def test_requests_within_the_limits_are_parsed_unchanged(context: dict[str, Any], text: str) -> None:
    made = request({**context, "padding": "x" * request_limits.SMALL_REQUEST_BYTES})
    made.input = text
    found = read(EXECUTE, made.SerializeToString())
    assert isinstance(found, Message)
    assert found == made


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=request_limits.SMALL_REQUEST_BYTES + 1, max_size=request_limits.SMALL_REQUEST_BYTES + 200))
def test_random_bytes_are_parsed_or_refused_without_another_exception(data: bytes) -> None:
    with suppress(RequestTooLarge, DecodeError):
        request_limits.check_bytes(data, EXECUTE.DESCRIPTOR, request_limits.DEFAULT_LIMITS)
