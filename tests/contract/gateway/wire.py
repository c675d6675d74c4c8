"""Raw requests that a client library would not send."""

import asyncio
import json
import re
import struct
from datetime import UTC, datetime
from typing import Any

import httpx

REQUEST_ID = re.compile(r"req_[A-Za-z0-9_-]{1,60}")
CLEAN = ("grpc-", "x-mesh-", "x-envoy-")


async def exchange(port: int, request: bytes, *, patience_seconds: float = 15) -> httpx.Response:
    """Sends `request` unchanged and reads one response, which must have a content-length."""
    async with asyncio.timeout(patience_seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = httpx.Headers([(name, value) for name, _, value in (line.partition(": ") for line in lines)])
        content = await reader.readexactly(int(headers["content-length"]))
        writer.transport.abort()
    return httpx.Response(int(status.split()[1]), headers=headers, content=content)


def error_of(response: httpx.Response, http_status: int, reason: str) -> dict[str, Any]:
    """The `error` of a response, after checking the whole envelope and the absence of internal headers."""
    assert response.status_code == http_status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert sorted(error) == ["code", "details", "message", "request_id", "timestamp"]
    assert error["code"] == reason, error
    assert isinstance(error["details"], dict)
    assert error["message"]
    assert REQUEST_ID.fullmatch(error["request_id"])
    assert response.headers.get_list("x-request-id") == [error["request_id"]]
    age = datetime.now(UTC) - datetime.strptime(error["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert -2 < age.total_seconds() < 60
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert_clean(response)
    assert ("retry-after" in response.headers) == (http_status in (429, 503))
    if "retry-after" in response.headers:
        assert error["details"]["retry_after_seconds"] == int(response.headers["retry-after"]) >= 1
    return error


def assert_clean(response: httpx.Response) -> None:
    """Checks that no header of gRPC or the mesh is left."""
    assert [name for name in response.headers if name.startswith(CLEAN) or name == "server"] == []


def frame(message: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(message)) + message


def web_frames(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """The messages and the trailers of a gRPC-Web body."""
    messages, trailers = [], {}
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        payload, body = body[5 : 5 + length], body[5 + length :]
        if flag & 0x80:
            trailers = dict(line.split(":", 1) for line in payload.decode().strip().split("\r\n"))
        else:
            messages.append(payload)
    return messages, trailers


def events_of(text: str) -> list[Any]:
    """The JSON of each Server-Sent Event."""
    lines = text.split("\n")  # splitlines() would also split at U+0085, which an event may contain
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
