"""The entry points of a stack as clients use them: REST with Server-Sent Events, and gRPC."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import httpx
from agentmesh.execution.v1 import execution_service_pb2 as pb
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from deploy.local.stack import Stack
from mesh.rpc.status import error_of
from tests.chaos.calls import PATIENCE_SECONDS, Answer, Call, ConnectionBroke, Refused
from tests.support.credentials import authorized, bearer

if TYPE_CHECKING:
    from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub

AGENT = "marketing_seo_strategist_agent_1_1"


class RestClient:
    """The gateway over HTTP/1.1."""

    name = "rest"

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(self, call: Call, request_id: str) -> Answer:
        """The answer; a streamed one is complete only with `done`."""
        headers = {"x-request-id": request_id, **({"idempotency-key": call.key} if call.key else {})}
        path = f"/api/v1/agents/{AGENT}/{'stream' if call.streamed else 'execute'}"
        try:
            async with self._client.stream("POST", path, headers=headers, json={"input": call.input}) as response:
                if response.status_code != 200:
                    raise Refused(json.loads(await response.aread())["error"]["code"])
                if call.streamed:
                    return await _streamed(_events(response))
                body = json.loads(await response.aread())
                return _answer(body["execution_id"], body["result"], body["usage"])
        except httpx.ConnectError as unreached:
            raise ConnectionBroke(unavailable=True) from unreached
        except httpx.TransportError as broken:
            raise ConnectionBroke from broken


class GrpcClient:
    """A gRPC target: the gateway, or the orchestrator itself. The channel has gRPC's defaults, as most clients leave them."""

    def __init__(self, name: str, target: str, token: str, *, wait_for_ready: bool = False) -> None:
        self.name = name
        self.channel = authorized(grpc.aio.insecure_channel(target), token)
        self.stub: ExecutionServiceAsyncStub = ExecutionServiceStub(self.channel)
        self._wait_for_ready = wait_for_ready

    async def ask(self, call: Call, request_id: str) -> Answer:
        """The answer; a streamed one is complete only with `done`."""
        options: dict[str, Any] = {
            "metadata": (("x-request-id", request_id),),
            "timeout": PATIENCE_SECONDS,
            "wait_for_ready": self._wait_for_ready,
        }
        try:
            if call.streamed:
                stream = self.stub.StreamAgent(pb.StreamAgentRequest(agent_id=AGENT, input=call.input), **options)
                return await _streamed(_messages(stream))
            request = pb.ExecuteAgentRequest(agent_id=AGENT, input=call.input, idempotency_key=call.key)
            body = await self.stub.ExecuteAgent(request, **options)
        except grpc.aio.AioRpcError as failure:
            raise _refusal(failure, call) from failure
        return Answer(body.execution_id, body.result, body.usage.input_tokens, body.usage.output_tokens)


@asynccontextmanager
async def rest_client(stack: Stack) -> AsyncIterator[RestClient]:
    """A REST client of a started stack's gateway, as its first administrator."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    options: dict[str, Any] = {"timeout": PATIENCE_SECONDS, "limits": limits, "trust_env": False}
    async with httpx.AsyncClient(base_url=stack.gateway_url, headers=bearer(stack.credentials.token), **options) as client:
        yield RestClient(client)


@asynccontextmanager
async def grpc_client(stack: Stack, name: str, *, wait_for_ready: bool = False) -> AsyncIterator[GrpcClient]:
    """A gRPC client of the stack's `gateway` or `orchestrator`."""
    target = {"gateway": f"localhost:{stack.ports.gateway}", "orchestrator": stack.orchestrator_target}[name]
    client = GrpcClient(name, target, stack.credentials.token, wait_for_ready=wait_for_ready)
    try:
        yield client
    finally:
        await client.channel.close()


def _refusal(failure: grpc.aio.AioRpcError, call: Call) -> Refused | ConnectionBroke:
    """An error of the table. Without the mesh's details, gRPC itself made the status when a connection or a stream broke."""
    answered = error_of(failure)
    if answered is not None:
        return Refused(answered.reason)
    if failure.code() is grpc.StatusCode.UNAVAILABLE:
        return ConnectionBroke(unavailable=True)
    if failure.code() is grpc.StatusCode.INTERNAL and call.streamed:  # Envoy can only reset a stream that has begun
        return ConnectionBroke()
    return Refused(f"gRPC's own {failure.code().name}: {failure.details()}")


async def _events(response: httpx.Response) -> AsyncIterator[Mapping[str, Any]]:
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            event: Mapping[str, Any] = json.loads(line.removeprefix("data:"))
            if "error" in event:
                raise Refused(event["error"]["code"])
            yield event


async def _messages(stream: Any) -> AsyncIterator[Mapping[str, Any]]:
    async for message in stream:
        event = message.WhichOneof("event")
        value = getattr(message, event)
        if event == "delta":
            yield {"delta": {"text": value.text}}
        elif event == "usage":
            yield {"usage": {"input_tokens": value.input_tokens, "output_tokens": value.output_tokens}}
        elif event == "done":
            yield {"done": {"execution_id": value.execution_id}}


async def _streamed(events: AsyncIterator[Mapping[str, Any]]) -> Answer:
    text, usage = [], None
    async for event in events:
        if "delta" in event:
            text.append(event["delta"]["text"])
        usage = event.get("usage", usage)
        if "done" in event and usage is not None:
            return _answer(event["done"]["execution_id"], "".join(text), usage)
    raise ConnectionBroke  # a stream without `done` is not an answer


def _answer(execution_id: str, text: str, usage: Mapping[str, int]) -> Answer:
    return Answer(execution_id, text, usage["input_tokens"], usage["output_tokens"])
