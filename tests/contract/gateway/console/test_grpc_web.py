"""gRPC-Web as the console uses it: streams, errors, limits, and calls from another origin."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.registry.v1 import registry_service_pb2 as registry
from google.rpc import error_details_pb2, status_pb2

from gateway.envoy.origins import origins
from mesh.errors import RemoteError
from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.running import ALLOWED_ORIGIN, Gateway, running_gateway
from tests.contract.gateway.wire import frame, web_frames

STREAM = "/agentmesh.execution.v1.ExecutionService/StreamAgent"
GET_AGENT = "/agentmesh.registry.v1.RegistryService/GetAgent"
WEB = {
    "content-type": "application/grpc-web+proto",
    "accept": "application/grpc-web+proto",
    "x-grpc-web": "1",
    "accept-encoding": "identity",
}
ASK = frame(execution.StreamAgentRequest(agent_id=AGENT_ID, input="x").SerializeToString())
SENT_BY_CONNECT = ("content-type", "x-grpc-web", "x-user-agent", "grpc-timeout", "authorization")


def delta(sequence: int, text: str) -> Any:
    return execution.StreamAgentResponse(sequence=sequence, delta=execution.Delta(text=text))


def error_info(encoded: str) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo in `grpc-status-details-bin`."""
    status = status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert [detail for detail in status.details if detail.Unpack(info)]
    return info


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_message_arrives_while_the_service_is_still_working(gateway: Gateway, backend: Backend, encoding: str) -> None:
    """Also compressed, as browsers ask for it: each message is then flushed."""
    go_on = asyncio.Event()

    async def slowly(request: Any, context: Any) -> AsyncIterator[Any]:
        yield delta(1, "first")
        await go_on.wait()
        yield delta(2, "second")

    backend.script.events = slowly
    body, headers = b"", {**WEB, "accept-encoding": encoding}
    async with asyncio.timeout(10), gateway.http.stream("POST", STREAM, content=ASK, headers=headers) as response:
        assert response.headers.get("content-encoding", "identity") == encoding
        async for chunk in response.aiter_bytes():
            body += chunk
            if not go_on.is_set() and b"first" in body:
                assert b"second" not in body
                go_on.set()
    messages, trailers = web_frames(body)
    assert [execution.StreamAgentResponse.FromString(message).sequence for message in messages] == [1, 2]
    assert trailers["grpc-status"] == "0"


async def test_a_failure_in_mid_stream_arrives_with_its_details(gateway: Gateway, backend: Backend) -> None:
    async def broken(request: Any, context: Any) -> AsyncIterator[Any]:
        yield delta(1, "half")
        raise RemoteError("LLM_API_ERROR", "the provider «failed»", details={"provider": "anthropic"})

    backend.script.events = broken
    response = await gateway.http.post(STREAM, content=ASK, headers=WEB)
    messages, trailers = web_frames(response.content)
    assert execution.StreamAgentResponse.FromString(messages[0]).delta.text == "half"
    assert (trailers["grpc-status"], unquote(trailers["grpc-message"])) == ("13", "the provider «failed»")
    info = error_info(trailers["grpc-status-details-bin"])
    assert (info.reason, info.metadata["provider"]) == ("LLM_API_ERROR", "anthropic")
    assert not [name for name in trailers if name.startswith("x-mesh")]


async def test_a_page_that_leaves_cancels_its_stream(gateway: Gateway, backend: Backend) -> None:
    cancelled = asyncio.Event()

    async def endless(request: Any, context: Any) -> AsyncIterator[Any]:
        yield delta(1, "first")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    backend.script.events = endless
    async with asyncio.timeout(10):
        async with gateway.http.stream("POST", STREAM, content=ASK, headers=WEB) as response:
            await anext(response.aiter_raw())
        await cancelled.wait()


async def test_the_limit_of_an_address_counts_its_grpc_web_calls(tmp_path: Path, backend: Backend) -> None:
    ask = frame(registry.GetAgentRequest(agent_id=AGENT_ID).SerializeToString())
    async with running_gateway(tmp_path, backend.port, per_ip_rate=1, per_ip_burst=5) as gateway:
        answers = [await gateway.http.post(GET_AGENT, content=ask, headers=WEB) for _ in range(7)]
    refused = [answer for answer in answers if answer.headers.get("grpc-status") == "8"]
    assert refused
    assert error_info(refused[0].headers["grpc-status-details-bin"]).reason == "RATE_LIMIT_EXCEEDED"


async def test_a_page_of_an_allowed_origin_may_send_what_the_console_sends_and_read_the_error(gateway: Gateway, backend: Backend) -> None:
    asked = {"origin": ALLOWED_ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": ",".join(SENT_BY_CONNECT)}
    preflight = await gateway.http.options(STREAM, headers=asked)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, ALLOWED_ORIGIN)
    allowed = {name.strip() for name in preflight.headers["access-control-allow-headers"].split(",")}
    assert allowed >= set(SENT_BY_CONNECT)
    backend.script.answer = failing
    response = await gateway.http.post(GET_AGENT, content=frame(b""), headers={**WEB, "origin": ALLOWED_ORIGIN})
    exposed = {name.strip() for name in response.headers["access-control-expose-headers"].split(",")}
    assert exposed >= {"grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"}


async def failing(request: Any, context: Any) -> Any:
    raise RemoteError("AGENT_NOT_FOUND", "no such agent")


async def test_without_a_setting_no_other_origin_is_allowed(tmp_path: Path, backend: Backend) -> None:
    async with running_gateway(tmp_path, backend.port) as gateway:
        for origin in ("http://localhost:5173", f"http://localhost:{gateway.port}", "null"):
            asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
            answers = [
                await gateway.http.options(GET_AGENT, headers=asked),
                await gateway.http.post(GET_AGENT, content=frame(b""), headers={**WEB, "origin": origin}),
                await gateway.http.get("/openapi.json", headers={"origin": origin}),
                await gateway.http.get("/nope", headers={"origin": origin}),
            ]
            assert not [name for answer in answers for name in answer.headers if name.startswith("access-control-")]


def test_a_list_of_origins_is_separated_by_commas() -> None:
    assert origins(" https://console.example.com, http://localhost:5173 ,http://[::1]:1") == (
        "https://console.example.com",
        "http://localhost:5173",
        "http://[::1]:1",
    )
    assert origins("") == ()


@pytest.mark.parametrize(
    "entry", ["*", "https://x/", "https://x/console", "console.example.com", "HTTPS://x", "https://X.com", "null", "ftp://x"]
)
def test_what_no_browser_sends_as_its_origin_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"invalid origin .*such as https://console\.example\.com") as refused:
        origins(f"https://a.example,{entry}")
    assert entry in str(refused.value)
