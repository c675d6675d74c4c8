"""The OpenAPI document describes what the gateway serves: paths, parameters, bodies and every response."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from agentmesh.execution.v1 import execution_pb2, execution_service_pb2
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.definitions import OPENAPI_31

from mesh.errors import MeshError, Violation
from mesh.rpc.envelope import error_event, error_fields
from mesh.rpc.requests.paging import DEFAULT_PAGE
from mesh.rpc.status import TABLE, status_of
from orchestrator.workflows.model import Approval, Retry, Task
from protos.codegen.contracts import ContractError, Contracts
from protos.codegen.json_schema import Schemas
from protos.codegen.openapi import document
from protos.codegen.routes import Route, routes_of
from tests.unit.codegen.conftest import ROOT, Compile

Json = dict[str, Any]
EXECUTE = "/api/v1/agents/{agent_id}/execute"
STREAM = "/api/v1/agents/{agent_id}/stream"


@pytest.fixture(scope="session")
def described(ours: Contracts) -> Json:
    return document(ours, "1.2.3")


def validator(described: Json, schema: Json) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**schema, "components": described["components"]}, validate_formats=True)


def component(described: Json, name: str) -> jsonschema_rs.Validator:
    return validator(described, {"$ref": f"#/components/schemas/{name}"})


def operations(described: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def routes_by_operation(contracts: Contracts) -> Iterator[tuple[str, Route]]:
    """Every route of the contracts by its operationId."""
    for rpc in (rpc for service in contracts.public_services() for rpc in service.methods):
        for index, route in enumerate(routes_of(contracts, rpc)):
            yield f"{rpc.containing_service.name}_{rpc.name}" + (f"_{index + 1}" if index else ""), route


def parameters(operation: Json, place: str) -> Json:
    return {found["name"]: found for found in operation["parameters"] if found.get("in") == place}


def printed(message: Any) -> Json:
    """A message as the gateway prints it."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def test_the_document_is_valid_openapi_and_all_references_resolve(described: Json) -> None:
    jsonschema_rs.validator_for(OPENAPI_31).validate(described)
    for reference in set(_references(described)):
        target: Any = described
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
    assert described["info"]["version"] == "1.2.3"


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _references(child)


def test_every_public_rpc_is_one_operation_under_its_route(described: Json, ours: Contracts) -> None:
    found = {(path, method, operation["operationId"]) for path, method, operation in operations(described)}
    assert found == {(route.template, route.method.lower(), name) for name, route in routes_by_operation(ours)}
    assert (EXECUTE, "post", "ExecutionService_ExecuteAgent") in found


def test_an_operation_has_its_service_as_tag_and_its_comment_as_description(described: Json) -> None:
    operation = described["paths"]["/health"]["get"]
    assert operation["tags"] == ["HealthService"]
    assert operation["summary"] == "Reports that an orchestrator is running"
    assert operation["description"] == "A liveness probe: it checks nothing else."
    assert {
        "name": "HealthService",
        "description": "Reports whether the platform is alive and whether it is ready for calls.",
    } in described["tags"]


def test_path_variables_are_path_parameters_and_not_in_the_body(described: Json) -> None:
    operation = described["paths"][EXECUTE]["post"]
    agent_id = parameters(operation, "path")["agent_id"]
    assert agent_id["required"]
    assert (agent_id["schema"]["minLength"], agent_id["schema"]["maxLength"]) == (1, 200)
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert list(body["properties"]) == ["input", "context", "idempotency_key"]
    assert body["required"] == ["input"]
    assert operation["requestBody"]["required"]
    assert parameters(operation, "query") == {}


def test_the_body_of_an_execute_call_accepts_only_valid_values(described: Json) -> None:
    schema = described["paths"][EXECUTE]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body = validator(described, schema)
    for good in (
        {"input": "x"},
        {"input": "ä" * 200_000, "context": {"a": [1, {"b": None}]}, "unknown": 1},
    ):
        assert body.is_valid(good)
    refused: list[Any] = [
        {},
        {"input": ""},
        {"input": None},
        {"input": 1},
        {"input": "x" * 200_001},
        {"input": "x", "context": "y"},
        [],
        "x",
    ]
    for bad in refused:
        assert not body.is_valid(bad), bad


def test_fields_of_a_request_without_a_body_are_query_parameters(described: Json) -> None:
    query = parameters(described["paths"]["/api/v1/agents"]["get"], "query")
    assert list(query) == ["category", "search", "limit", "offset", "role", "tags", "order_by", "view"]
    assert not any(parameter["required"] for parameter in query.values())
    assert query["limit"]["schema"] == {"type": "integer", "format": "int32", "minimum": 1, "maximum": 2**31 - 1, "default": 50}
    assert query["offset"]["schema"]["minimum"] == 0
    assert query["search"]["schema"]["maxLength"] == 1000
    status = parameters(described["paths"]["/api/v1/executions"]["get"], "query")["status"]
    assert status["schema"]["$ref"] == "#/components/schemas/agentmesh.execution.v1.ExecutionStatus"


def test_an_idempotency_key_is_also_a_header(described: Json) -> None:
    for path in (EXECUTE, STREAM):
        assert parameters(described["paths"][path]["post"], "header")["Idempotency-Key"]["schema"]["maxLength"] == 200
    assert "Idempotency-Key" not in parameters(described["paths"]["/api/v1/auth/login"]["post"], "header")


def test_every_operation_documents_the_request_id_and_the_common_errors(described: Json) -> None:
    for path, method, operation in operations(described):
        assert {"$ref": "#/components/parameters/RequestId"} in operation["parameters"], (path, method)
        assert "x-request-id" in operation["responses"]["200"]["headers"]
        statuses = {"200", "400", "404", "405", "413", "422", "429", "500", "503", "504", "default"}
        assert statuses <= operation["responses"].keys(), (path, method)


def test_a_reason_that_an_rpc_declares_adds_its_status(described: Json) -> None:
    assert "409" in described["paths"][EXECUTE]["post"]["responses"]  # IDEMPOTENCY_CONFLICT
    assert "409" not in described["paths"]["/api/v1/agents"]["get"]["responses"]


def test_errors_document_the_headers_of_their_status(described: Json) -> None:
    responses = described["components"]["responses"]
    assert set(responses["Error429"]["headers"]) == {"x-request-id", "retry-after"}
    assert set(responses["Error503"]["headers"]) == {"x-request-id", "retry-after"}
    assert set(responses["Error405"]["headers"]) == {"x-request-id", "allow"}
    assert set(responses["Error"]["headers"]) == {"x-request-id"}
    assert "`IDEMPOTENCY_CONFLICT`: The idempotency key was used" in responses["Error409"]["description"]


@pytest.mark.parametrize("reason", sorted(TABLE))
def test_every_rendered_error_envelope_matches_the_document(described: Json, reason: str) -> None:
    error = MeshError("It went wrong.", violations=[Violation("tasks[2].input", "must be there")], agent_id="a_agent_1_1")
    error.reason = reason
    fields = error_fields(status_of(error, "req_0198c2a4f1d2"))
    component(described, "agentmesh.common.v1.ErrorEnvelope").validate({"error": fields})


def test_an_invalid_envelope_does_not_match_the_document(described: Json) -> None:
    envelope = component(described, "agentmesh.common.v1.ErrorEnvelope")
    good = error_fields(status_of(MeshError("It went wrong."), "req_1"))
    assert envelope.is_valid({"error": good})
    for field, value in {"code": "GATEWAY_ERROR", "request_id": "1", "timestamp": "now", "details": []}.items():
        assert not envelope.is_valid({"error": {**good, field: value}}), field
    for field in good.keys() - {"details"}:
        assert not envelope.is_valid({"error": {name: value for name, value in good.items() if name != field}}), field
    assert not envelope.is_valid({})


def test_responses_printed_by_the_gateway_satisfy_their_schemas(described: Json) -> None:
    answer = execution_service_pb2.ExecuteAgentResponse(agent_name="A", result="R", execution_time=1.5)
    answer.metadata["provider"] = "simulator"
    answer.usage.cost_micro_usd = 2**40
    execution = execution_pb2.Execution(status=execution_pb2.EXECUTION_STATUS_FAILED)
    execution.created_at.GetCurrentTime()
    execution.failure.CopyFrom(error_event(status_of(MeshError("It went wrong."), "req_1")))
    empty_page = execution_service_pb2.ListExecutionsResponse()
    for message in (answer, empty_page, execution_service_pb2.GetExecutionResponse(execution=execution)):
        component(described, message.DESCRIPTOR.full_name).validate(printed(message))
    assert not component(described, empty_page.DESCRIPTOR.full_name).is_valid({"next_page_token": ""})


def test_a_stream_is_text_whose_events_have_their_own_schema(described: Json) -> None:
    """A client that parses the whole stream as one object would raise after the call has been paid for."""
    answer = described["paths"][STREAM]["post"]["responses"]["200"]
    assert list(answer["content"]) == ["text/event-stream"]
    stream = answer["content"]["text/event-stream"]["schema"]
    assert stream["type"] == "string"
    line = validator(described, stream["x-event-schema"])
    frame = execution_service_pb2.StreamAgentResponse(sequence=2)
    frame.delta.text = "Hello"
    line.validate(printed(frame))
    assert not line.is_valid({"delta": {"text": "Hello"}})


def test_no_two_schemas_have_the_same_title(described: Json) -> None:
    titles = [schema["title"] for schema in described["components"]["schemas"].values()]
    assert sorted(titles) == sorted(set(titles))


def test_two_messages_with_the_same_schema_title_are_refused(compiled: Compile) -> None:
    body = """
    service S {
      rpc Do(DoRequest) returns (DoResponse) { option (google.api.http) = {get: "/a"}; }
    }
    message DoRequest {}
    message DoResponse { message Part { string x = 1; } Part part = 1; Other other = 2; }
    message Other { message Part { string y = 1; } Part part = 1; }
    """
    with pytest.raises(ContractError, match=r"Part \(agentmesh.test.v1.DoResponse.Part, agentmesh.test.v1.Other.Part\)"):
        document(compiled(body), "1")


def test_nothing_is_beside_a_reference_that_generators_do_not_understand(described: Json) -> None:
    """Generators understand a description there; generated clients do not compile with `anyOf` and `const`."""
    for schema in _schemas(described["components"]["schemas"]) | _schemas(described["paths"]):
        keys = set(json.loads(schema))
        assert not {"anyOf", "const"} & keys, schema
        assert "$ref" not in keys or keys <= {"$ref", "description"}, schema


def _schemas(node: Any) -> set[str]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    own = {json.dumps(node)} if isinstance(node, dict) and {"$ref", "anyOf", "const"} & node.keys() else set()
    return own.union(*(_schemas(child) for child in children))


def test_the_document_names_the_gateway_as_its_server(described: Json) -> None:
    assert [server["url"] for server in described["servers"]] == ["/"]


@pytest.mark.parametrize(
    ("field", "default"),
    [
        ("workflow.v1.RetryPolicy.max_attempts", Retry().max_attempts),
        ("workflow.v1.RetryPolicy.delay_seconds", Retry().delay_seconds),
        ("workflow.v1.RetryPolicy.backoff", Retry().backoff),
        ("workflow.v1.Approval.timeout_seconds", Approval("").timeout_seconds),
        ("workflow.v1.Approval.default_decision", f"APPROVAL_DECISION_{Approval('').default.name}"),
        ("workflow.v1.Task.timeout_seconds", Task("", "", "").timeout_seconds),
        ("workflow.v1.ListRunsRequest.page_size", DEFAULT_PAGE),
        ("registry.v1.ListAgentsRequest.limit", DEFAULT_PAGE),
        ("identity.v1.ListUsersRequest.page_size", DEFAULT_PAGE),
    ],
)
def test_a_default_in_the_contract_is_the_services_default(ours: Contracts, field: str, default: Any) -> None:
    message, _, name = field.rpartition(".")
    assert Schemas(ours).default(ours.message(f"agentmesh.{message}").fields_by_name[name]) == default


def test_every_page_size_declares_its_default(described: Json) -> None:
    sizes = [
        found for _, _, one in operations(described) for name, found in parameters(one, "query").items() if name in ("page_size", "limit")
    ]
    assert len(sizes) > 8
    assert {size["schema"].get("default") for size in sizes} == {DEFAULT_PAGE}


QUERY = """
service S {
  rpc Find(FindRequest) returns (FindResponse) {
    option (google.api.http) = {get: "/find/{where}" additional_bindings {post: "/find/{where}" body: "part"}};
  }
}
// Part of it.
message Part { string text = 1 [(buf.validate.field).string.min_len = 1]; repeated int32 numbers = 2; }
message FindRequest {
  string where = 1;
  Part part = 2 [(buf.validate.field).required = true];
  repeated string tags = 3;
  google.protobuf.Timestamp since = 4;
}
message FindResponse {}
"""


def test_nested_query_fields_have_dotted_names_and_repeated_ones_are_lists(compiled: Compile) -> None:
    operation = document(compiled(QUERY), "1")["paths"]["/find/{where}"]["get"]
    query = parameters(operation, "query")
    assert list(query) == ["part.text", "part.numbers", "tags", "since"]
    assert [name for name, parameter in query.items() if parameter["required"]] == ["part.text"]
    assert query["tags"]["schema"] == {"type": "array", "items": {"type": "string"}}
    assert query["since"]["schema"] == {"type": "string", "format": "date-time"}
    assert parameters(operation, "path")["where"]["schema"]["minLength"] == 1
    assert "requestBody" not in operation


def test_a_body_of_one_field_leaves_the_other_fields_to_the_query(compiled: Compile) -> None:
    described = document(compiled(QUERY), "1")
    operation = described["paths"]["/find/{where}"]["post"]
    assert operation["operationId"] == "S_Find_2"
    assert list(parameters(operation, "query")) == ["tags", "since"]
    assert operation["requestBody"]["required"]
    body = validator(described, operation["requestBody"]["content"]["application/json"]["schema"])
    assert body.is_valid({"text": "x"})
    assert not body.is_valid({"text": ""})


def test_schemathesis_finds_every_operation(described: Json) -> None:
    schema = schemathesis.openapi.from_dict(described)
    assert len(list(schema.get_all_operations())) == len(list(operations(described)))
    assert schema[EXECUTE]["POST"].definition.raw["operationId"] == "ExecutionService_ExecuteAgent"


COMMITTED = json.loads((ROOT / "gen" / "openapi.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("operation_id", [operation["operationId"] for _, _, operation in operations(COMMITTED)])
def test_every_request_that_the_document_allows_passes_validation(described: Json, ours: Contracts, operation_id: str) -> None:
    """Schemathesis generates requests from the document, and protovalidate checks them against the rules in the protos."""
    route = next(found for name, found in routes_by_operation(ours) if name == operation_id)
    strategy = schemathesis.openapi.from_dict(described)[route.template][route.method].as_strategy()

    @settings(max_examples=15, database=None, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def accepted(case: Any) -> None:
        fields = _fields(case)
        request = json_format.ParseDict(fields, ours.new(route.rpc.input_type), ignore_unknown_fields=True)
        assert ours.broken(request) == set(), (str(route), fields)

    accepted()


def _fields(case: Any) -> Json:
    body = case.body if isinstance(case.body, dict) else {}
    query = {
        name: {"true": True, "false": False}.get(value, value) for name, value in (case.query or {}).items() if not isinstance(value, list)
    }
    lists = {name: value for name, value in (case.query or {}).items() if isinstance(value, list)}
    return {**body, **query, **lists, **(case.path_parameters or {})}
