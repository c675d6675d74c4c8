"""Requests that the gateway refuses itself, one named case each."""

import json
from dataclasses import dataclass

import pytest

from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.running import Gateway
from tests.contract.gateway.wire import error_of, exchange

AGENT = f"/api/v1/agents/{AGENT_ID}"
EXECUTE = f"{AGENT}/execute"
STREAM = f"{AGENT}/stream"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Invalid:
    """A request that violates the contract, and the field that the answer must name (None if it names none)."""

    name: str
    path: str
    body: str | None = None
    field: str | None = None
    says: str = ""


INVALID = [
    Invalid("JSON that ends too early", EXECUTE, '{"input": "x"', says="end of string"),
    Invalid("JSON that ends inside a value", EXECUTE, '{"input": "x", "context": {"a":', says="end of string"),
    Invalid("JSON that is a list", EXECUTE, "[1]", says="must be a JSON object"),
    Invalid("half a surrogate pair", EXECUTE, '{"input": "\\ud800"}', says="surrogate"),
    Invalid("a number for a string", EXECUTE, '{"input": 12}', "input", "12"),
    Invalid("a string for an object", EXECUTE, '{"context": "text"}', "context", "google.protobuf.Struct"),
    Invalid("a list for a string", EXECUTE, '{"input": ["x"]}', None, "list"),
    Invalid("an object for a string", EXECUTE, '{"input": {"a": 1}}', "input", "not an object"),
    Invalid("a byte order mark", EXECUTE, "\ufeff" + '{"input": "x"}', "body", "byte order mark at position 0"),
    Invalid("a number out of range", EXECUTE, '{"input": "x", "context": {"n": 1e400}}', None, "send it as a string"),
    Invalid("quotes and escapes in the value", EXECUTE, '{"context": "a\\"\\\\b"}', "context", "google.protobuf.Struct"),
    Invalid("an id in path and body that differ", EXECUTE, '{"agent_id": "other", "input": "x"}', "agent_id", "path"),
    Invalid("the same of a stream", STREAM, '{"input": 12}', "input", "12"),
    Invalid("an unknown query parameter", "/api/v1/agents?nope=1", None, "nope", "is not a parameter"),
    Invalid("letters for a number in the query", "/api/v1/agents?limit=abc", None, "limit", "abc"),
    Invalid("a number that is too large", "/api/v1/agents?limit=99999999999", None, "limit", "99999999999"),
    Invalid("an unknown enum value", "/api/v1/executions?status=NO", None, "status", "NO"),
    Invalid("a parameter given twice", "/api/v1/agents?limit=1&limit=2", None, "limit", "more than once"),
    Invalid("a text parameter given twice", "/api/v1/agents?search=a&search=b", None, "search", "more than once"),
    Invalid(
        "a parameter given twice under both its names", "/api/v1/executions?page_size=1&pageSize=2", None, "page_size", "more than once"
    ),
    Invalid("a parameter given twice, once escaped", "/api/v1/agents?limit=1&l%69mit=2", None, "limit", "more than once"),
    Invalid("a parameter without a value", "/api/v1/agents?search", None, "search", "no value"),
    Invalid("an unknown parameter without a value", "/api/v1/agents?foo", None, "foo", "no value"),
    Invalid("a parameter that the path sets", f"{AGENT}?agent_id=other", None, "agent_id", "set by the path"),
    Invalid("a query parameter on a POST", f"{EXECUTE}?input=y", '{"input": "x"}', "input", "send it as a field of the JSON body"),
    Invalid("an unknown query parameter on a POST", f"{EXECUTE}?foo", '{"input": "x"}', "foo", "JSON body"),
    Invalid("a password in the query", "/api/v1/auth/login?username=a&password=b", "{}", "username", "JSON body"),
    Invalid("invalid UTF-8 in the query", "/api/v1/agents?search=%ff", None, "search", "valid UTF-8"),
    Invalid("invalid UTF-8 in the path", "/api/v1/agents/%ff", None, "agent_id", "valid UTF-8"),
    Invalid("60 nested lists", EXECUTE, '{"input": "x", "context": {"a": ' + "[" * 60 + "]" * 60 + "}}", "context", "nested"),
    Invalid("40 nested objects", EXECUTE, '{"input": "x", "context": ' + '{"a": ' * 40 + "1" + "}" * 41, "context", "nested"),
    Invalid("a rule of the contract that only the service checks", "/api/v1/agents?limit=0", None, "limit", "greater"),
    Invalid("quotes and escapes in a name", "/api/v1/agents?a%22%5Cb=1", None, "a%22%5Cb", ""),
]


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
async def test_an_invalid_request_is_a_validation_error_with_the_reason(gateway: Gateway, case: Invalid) -> None:
    if case.body is None:
        response = await gateway.http.get(case.path)
    else:
        response = await gateway.http.post(case.path, content=case.body, headers=JSON)
    error = error_of(response, 422, "VALIDATION_ERROR")
    assert case.says in error["message"]
    assert "\n" not in error["message"]
    violations = error["details"].get("field_violations", [])
    assert [violation["field"] for violation in violations] == ([case.field] if case.field else [])


async def test_an_unknown_path_is_route_not_found(gateway: Gateway) -> None:
    for method in ("GET", "POST", "DELETE"):
        error_of(await gateway.http.request(method, "/api/v1/nope"), 404, "ROUTE_NOT_FOUND")


OTHER_METHODS = [
    ("POST", "/api/v1/agents", "GET, HEAD"),
    ("DELETE", "/api/v1/agents/", "GET, HEAD"),
    ("PUT", AGENT, "GET, HEAD"),
    ("GET", EXECUTE, "POST"),
    ("OPTIONS", STREAM, "POST"),
    ("PATCH", "/api/v1/executions", "GET, HEAD"),
    ("HEAD", EXECUTE, "POST"),
    ("TRACE", "/health", "GET, HEAD"),
    ("POST", "/", "GET, HEAD"),
    ("PUT", "/openapi.json", "GET, HEAD"),
]


@pytest.mark.parametrize(("method", "path", "allow"), OTHER_METHODS)
async def test_a_known_path_with_another_method_is_method_not_allowed_and_lists_the_methods(
    gateway: Gateway, method: str, path: str, allow: str
) -> None:
    response = await gateway.http.request(method, path)
    if method == "HEAD":
        assert (response.status_code, response.content) == (405, b"")
    else:
        error_of(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == allow


def _get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


UNPARSABLE = {
    "not HTTP at all": b"GET / HTP/9\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": _get("/api/v1/agents"),
    "an invalid host": _get("/api/v1/agents", "Host: \xfc"),
    "a header without a colon": _get("/api/v1/agents", "Host: x", "foo"),
    "a NUL in the path": _get("/\0", "Host: x"),
    "a fragment in the path": _get("/api/v1/agents#a", "Host: x"),
    "an escaped slash": _get("/api/v1/agents/a%2fb", "Host: x"),
    "an escaped backslash": _get("/api/v1/agents/a%5cb", "Host: x"),
    "headers that are too large": _get("/api/v1/agents", "Host: x", "x-large: " + "a" * 70_000),
    "too many headers": _get("/api/v1/agents", "Host: x", *(f"x-{n}: 1" for n in range(200))),
    "both length and chunks": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an invalid length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
    "a websocket": _get("/api/v1/agents", "Host: x", "Upgrade: websocket", "Connection: upgrade"),
}


@pytest.mark.parametrize("name", UNPARSABLE)
async def test_an_invalid_http_request_is_a_bad_request_with_the_cause(gateway: Gateway, name: str) -> None:
    error = error_of(await exchange(gateway.port, UNPARSABLE[name]), 400, "BAD_REQUEST")
    assert error["details"]["cause"]


async def test_a_body_over_the_limit_is_payload_too_large(gateway: Gateway, backend: Backend) -> None:
    body = json.dumps({"input": "x", "left_out_of_the_message": "a" * 5_000_000}).encode()
    head = f"POST {EXECUTE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    whole = await exchange(gateway.port, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    error_of(whole, 413, "PAYLOAD_TOO_LARGE")
    chunked = await exchange(gateway.port, f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
    error = error_of(chunked, 413, "PAYLOAD_TOO_LARGE")
    assert error["details"]["limit_bytes"] == 4 * 1024 * 1024
    assert "larger than the limit of 4194304 bytes" in error["message"]
    assert backend.script.requests == []


async def test_a_body_just_under_the_limit_passes(gateway: Gateway, backend: Backend) -> None:
    padding = "a" * (4 * 1024 * 1024 - 200)
    response = await gateway.http.post(EXECUTE, json={"input": "x", "unknown": padding})
    assert response.status_code == 200
    assert backend.script.requests[0].input == "x"
