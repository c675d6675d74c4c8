"""A server with the real interceptors and a scripted service, and a real client."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceServicer, AgentServiceStub, add_AgentServiceServicer_to_server

from mesh.rpc.channel import CHANNEL_OPTIONS
from mesh.rpc.interceptors.chain import chain
from mesh.rpc.serving.server import Health, add_reflection, build_server

if TYPE_CHECKING:
    from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

SERVICE = "agentmesh.agent.v1.AgentService"
REQUEST = pb.ExecuteRequest(input="x")
STREAM_REQUEST = pb.StreamExecuteRequest(input="x")
Context = grpc.aio.ServicerContext[Any, Any]


async def answered(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
    """Execute's behaviour unless the test sets another one."""
    return pb.ExecuteResponse(result="fine")


async def streamed(request: pb.StreamExecuteRequest) -> AsyncIterator[pb.StreamExecuteResponse]:
    """StreamExecute's behaviour unless the test sets another one."""
    yield delta(1)
    yield delta(2)


def delta(sequence: int) -> pb.StreamExecuteResponse:
    return pb.StreamExecuteResponse(sequence=sequence, delta=pb.Delta(text="piece"))


class Scripted(AgentServiceServicer):
    """Runs the behaviour that the test sets. Describe and Cancel keep the generated methods."""

    def __init__(self) -> None:
        self.execute: Callable[[pb.ExecuteRequest], Awaitable[pb.ExecuteResponse]] = answered
        self.stream: Callable[[pb.StreamExecuteRequest], AsyncIterator[pb.StreamExecuteResponse]] = streamed

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        return await self.execute(request)

    async def StreamExecute(self, request: pb.StreamExecuteRequest, context: Context) -> AsyncIterator[pb.StreamExecuteResponse]:
        async for message in self.stream(request):
            yield message


@dataclass
class Served:
    """A running server, its service and a client."""

    server: grpc.aio.Server
    service: Scripted
    health: Health
    port: int
    channel: grpc.aio.Channel
    stub: "AgentServiceAsyncStub" = field(init=False)

    def __post_init__(self) -> None:
        self.stub = AgentServiceStub(self.channel)

    def raw(self, method: str = "Execute") -> Any:
        """The rpc as one that sends and receives bytes."""
        return self.channel.unary_unary(f"/{SERVICE}/{method}")

    def raw_stream(self) -> Any:
        """StreamExecute as an rpc that sends and receives bytes."""
        return self.channel.unary_stream(f"/{SERVICE}/StreamExecute")

    async def refused(self, *metadata: tuple[str, str]) -> grpc.aio.AioRpcError:
        """The error of a failed Execute call."""
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.stub.Execute(REQUEST, metadata=metadata)
        return failed.value


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """One server and one client."""
    async with serving() as one:
        yield one


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    """One server and one client, built now."""
    service = Scripted()  # type: ignore[abstract]  # two rpcs are left unwritten on purpose
    server = build_server(chain())
    add_AgentServiceServicer_to_server(service, server)
    add_reflection(server, [SERVICE])
    health = Health(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
        yield Served(server, service, health, port, channel)
    await server.stop(None)


def trailers(failure: grpc.aio.AioRpcError) -> dict[str, Any]:
    return dict(failure.trailing_metadata() or ())
