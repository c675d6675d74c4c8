"""Generates the OpenAPI 3.1 document of the REST API from the contracts."""

from collections import defaultdict
from collections.abc import Collection

from protos.codegen.contracts import ContractError, Contracts
from protos.codegen.error_table import Row, rows
from protos.codegen.json_schema import Direction, Schemas
from protos.codegen.operations import operation
from protos.codegen.routes import routes_of
from protos.codegen.rules import Json

_ENVELOPE = "agentmesh.common.v1.ErrorEnvelope"
_ERROR = "agentmesh.common.v1.Error"
_ABOUT = """\
The REST API of AgentMesh. gRPC and gRPC-Web are served on the same port with the same contracts.

Bodies are proto JSON with the proto's own field names. Answers print every field, defaults included; 64-bit integers are \
strings. In requests, unknown fields of a body are ignored; unknown query parameters are refused.

Every success has status 200. Every other response is an error envelope, including errors of the gateway; `error.code` is the \
reason, and docs/errors.md lists all reasons. Every response has the header `x-request-id`."""


def document(contracts: Contracts, version: str) -> Json:
    """The OpenAPI document. Raises ContractError if the contracts contain something that REST cannot express."""
    errors = rows(contracts)
    schemas = Schemas(contracts, _promises(errors))
    paths: defaultdict[str, Json] = defaultdict(dict)
    services = contracts.public_services()
    for rpc in (rpc for service in services for rpc in contracts.public_rpcs(service)):
        for index, route in enumerate(routes_of(contracts, rpc)):
            described = operation(contracts, schemas, route, errors)
            operation_id = f"{rpc.containing_service.name}_{rpc.name}" + (f"_{index + 1}" if index else "")
            paths[route.template][route.method.lower()] = {"operationId": operation_id, **described}
    responses = _error_responses(contracts, schemas, errors)
    _check_titles(schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "AgentMesh", "version": version, "description": _ABOUT},
        "servers": [{"url": "/", "description": "The gateway that serves this document"}],
        "tags": [{"name": service.name, "description": contracts.comment(service.full_name)} for service in services],
        "paths": dict(sorted(paths.items())),
        "security": [{name: []} for name in _SECURITY],
        "components": {
            "securitySchemes": _SECURITY,
            "schemas": dict(sorted(schemas.components.items())),
            "responses": responses,
            "parameters": {"RequestId": _REQUEST_ID},
            "headers": _HEADERS,
        },
    }


def _check_titles(schemas: Schemas) -> None:
    """Raises ContractError if two schemas have the same title, because generators name classes after titles and drop duplicates."""
    names = defaultdict(list)
    for name, schema in schemas.components.items():
        names[schema["title"]].append(name)
    if taken := [f"{title} ({', '.join(found)})" for title, found in names.items() if len(found) > 1]:
        raise ContractError(f"two schemas have the same title: {'; '.join(taken)}. Rename one of the messages")


def _promises(errors: Collection[Row]) -> dict[str, Json]:
    """The guarantees of the error envelope beyond the types of its fields."""
    violation = {
        "type": "object",
        "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
        "required": ["field", "description"],
    }
    return {
        _ENVELOPE: {"required": ["error"]},
        f"{_ERROR}.code": {"enum": [row.reason for row in errors]},
        f"{_ERROR}.details": {
            "properties": {
                "field_violations": {"type": "array", "items": violation, "description": "The rules that the request breaks."},
                "retry_after_seconds": {"type": "integer", "minimum": 1, "description": "When to try again."},
                "retryable": {"type": "boolean", "description": "Whether the same call can succeed when it is sent again."},
            }
        },
        f"{_ERROR}.request_id": {"pattern": "^req_[A-Za-z0-9_-]+$"},
        f"{_ERROR}.timestamp": {"format": "date-time"},
    }


def _error_responses(contracts: Contracts, schemas: Schemas, errors: Collection[Row]) -> Json:
    """A named response for every HTTP status of the error table, and `Error` for any other status."""
    content = {"application/json": {"schema": schemas.reference(contracts.message(_ENVELOPE), Direction.RESPONSE)}}
    responses: Json = {}
    for status in sorted({row.http_status for row in errors}):
        meanings = "\n".join(f"- `{row.reason}`: {row.meaning}" for row in errors if row.http_status == status)
        responses[f"Error{status}"] = {"description": meanings, "headers": _headers(status), "content": content}
    any_error = {"description": contracts.comment(_ENVELOPE), "headers": _headers(0), "content": content}
    return {"Error": any_error, **responses}


def _headers(status: int) -> Json:
    names = {"x-request-id": "RequestId"}
    if status in (429, 503):
        names["retry-after"] = "RetryAfter"
    if status == 401:
        names["www-authenticate"] = "Challenge"
    if status == 405:
        names["allow"] = "Allow"
    return {header: {"$ref": f"#/components/headers/{name}"} for header, name in names.items()}


_REQUEST_ID: Json = {
    "name": "x-request-id",
    "in": "header",
    "required": False,
    "description": "An id that the caller chooses for this request: `req_` and 1 to 60 letters, digits, `_` and `-`. "
    "The gateway replaces any other id with its own.",
    "schema": {"type": "string"},
    "example": "req_0198c2a4f1d27c3e9f6b1a2c3d4e5f60",
}
_SECURITY: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token from `POST /api/v1/auth/login`, or an API key (`amk_…`). Send one credential, in one header.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API key (`amk_…`)."},
}
_HEADERS: Json = {
    "RequestId": {
        "description": "The id of this request, from the caller or the gateway. It is in every log line and in the envelope.",
        "required": True,
        "schema": {"type": "string", "pattern": "^req_[A-Za-z0-9_-]+$"},
    },
    "RetryAfter": {
        "description": "Seconds until the same call may be sent again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Challenge": {"description": "How to authenticate (RFC 6750).", "required": True, "schema": {"type": "string"}},
    "Allow": {"description": "The methods of this path.", "required": True, "schema": {"type": "string"}},
}
