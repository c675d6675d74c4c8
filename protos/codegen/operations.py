"""Generates one OpenAPI operation per route of an rpc: its parameters, its body and its responses."""

import re
from collections.abc import Collection
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from protos.codegen.contracts import Contracts
from protos.codegen.error_table import ENUM, PREFIX, Row
from protos.codegen.json_schema import Direction, Schemas
from protos.codegen.routes import FieldPath, Route, dotted
from protos.codegen.rules import Json

EVERYWHERE = (
    "BAD_REQUEST",
    "ROUTE_NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "PAYLOAD_TOO_LARGE",
    "VALIDATION_ERROR",
    "RATE_LIMIT_EXCEEDED",
    "INTERNAL",
    "SERVICE_UNAVAILABLE",
    "UPSTREAM_TIMEOUT",
)
"""The reasons that any operation can fail with, in the gateway or in the code that all services share."""
CLOSED = ("AUTH_INVALID_CREDENTIALS", "AUTH_TOKEN_EXPIRED", "AUTH_TOKEN_BLACKLISTED", "POLICY_DENIED")
"""The additional reasons that any operation which needs a credential can fail with."""
_FIRST_SENTENCE = re.compile(r"(.+?(?<!e\.g)(?<!i\.e)[.!?])(?:\s+(?=[A-Z`])|$)(.*)", re.DOTALL)
_REQUEST_ID = {"$ref": "#/components/parameters/RequestId"}


def operation(contracts: Contracts, schemas: Schemas, route: Route, errors: Collection[Row]) -> Json:
    """The operation of a route, without its operationId.

    It lists the errors that every operation can return and those that the rpc declares with `fails_with`.
    """
    comment = contracts.comment(route.rpc.full_name)
    summary, description = _split(comment)
    described: Json = {"tags": [route.rpc.containing_service.name], "summary": summary}
    if description:
        described["description"] = description
    is_open = _is_open(contracts, route)
    if is_open:
        described["security"] = []
    described["parameters"] = [*_parameters(schemas, route), _REQUEST_ID]
    if body := _request_body(schemas, route):
        described["requestBody"] = body
    described["responses"] = {
        "200": _success(contracts, schemas, route),
        **_failures(reasons_of(contracts, route.rpc), errors, () if is_open else CLOSED),
    }
    return described


def _parameters(schemas: Schemas, route: Route) -> list[Json]:
    in_path = [_parameter(schemas, "path", path, required=True) for path in route.path_fields()]
    in_query = [_parameter(schemas, "query", path, _all_required(schemas, path)) for path in route.query_fields()]
    key = route.rpc.input_type.fields_by_name.get("idempotency_key")
    return in_path + in_query + ([_idempotency_key(schemas, key)] if key else [])


def _parameter(schemas: Schemas, place: str, path: FieldPath, required: bool) -> Json:
    schema = schemas.field(path[-1], Direction.REQUEST)
    description = schema.pop("description", "")
    if (default := schemas.default(path[-1])) is not None and "$ref" not in schema:
        schema["default"] = default
    if place == "path" and schema.get("type") == "string" and not {"pattern", "format", "minLength"} & schema.keys():
        schema["minLength"] = 1  # a variable does not match an empty segment
    return {"name": dotted(path), "in": place, "required": required, "description": description, "schema": schema}


def _all_required(schemas: Schemas, path: FieldPath) -> bool:
    return all(schemas.required(field, Direction.REQUEST) for field in path)


def _idempotency_key(schemas: Schemas, field: FieldDescriptor) -> Json:
    schema = schemas.field(field, Direction.REQUEST)
    description = "The same as the field `idempotency_key`: " + schema.pop("description", "")
    return {"name": "Idempotency-Key", "in": "header", "required": False, "description": description, "schema": schema}


def _request_body(schemas: Schemas, route: Route) -> Json | None:
    request = route.rpc.input_type
    if not route.body:
        return None
    if one := route.body_field():
        schema = schemas.field(one, Direction.REQUEST)
        required = schemas.required(one, Direction.REQUEST)
    else:
        in_path = {path[0].name for path in route.path_fields()}
        schema = schemas.object(request, Direction.REQUEST, without=in_path)
        required = bool(schema.get("required"))
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _success(contracts: Contracts, schemas: Schemas, route: Route) -> Json:
    response = route.rpc.output_type
    schema = schemas.reference(response, Direction.RESPONSE)
    media: dict[str, Any] = {"application/json": {"schema": schema}}
    if route.rpc.server_streaming:
        media = {"text/event-stream": {"schema": _events(schema)}}
    return {
        "description": contracts.comment(response.full_name) or "The answer.",
        "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
        "content": media,
    }


def _events(message: Json) -> Json:
    """The schema of an event stream: text, because OpenAPI 3.1 cannot describe events, and a stream must not be parsed as one object."""
    return {
        "type": "string",
        "description": "Server-Sent Events. The `data:` line of each event is one message in JSON; `x-event-schema` is its schema.",
        "x-event-schema": message,
    }


def reasons_of(contracts: Contracts, rpc: MethodDescriptor) -> list[str]:
    """The reasons that the rpc declares with the option `fails_with`."""
    declared = contracts.option(rpc, "agentmesh.common.v1.fails_with")
    values = contracts.enum(ENUM).values_by_number
    return [values[number].name.removeprefix(PREFIX) for number in declared.reasons] if declared else []


def _is_open(contracts: Contracts, route: Route) -> bool:
    """Whether the rpc needs no credential. An rpc that does not declare its access needs one."""
    access = contracts.access(route.rpc)
    return access is not None and access.WhichOneof("caller") == "open"


def _failures(own: Collection[str], errors: Collection[Row], more: Collection[str]) -> Json:
    named = {*own, *EVERYWHERE, *more}
    statuses = sorted({row.http_status for row in errors if row.reason in named})
    failures = {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in statuses}
    return {**failures, "default": {"$ref": "#/components/responses/Error"}}


def _split(comment: str) -> tuple[str, str]:
    """The first sentence without its full stop, and the rest."""
    found = _FIRST_SENTENCE.match(comment)
    return (found[1].removesuffix("."), found[2].strip()) if found else (comment, "")
