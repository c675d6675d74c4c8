"""A scripted agent, and a network that stops forwarding."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1 import agent_service_pb2_grpc

Behaviour = Callable[[Any], Awaitable[None]]


class ScriptedAgent(agent_service_pb2_grpc.AgentServiceServicer):
    """A scripted agent for both rpcs; its Cancel finds no call."""

    def __init__(self) -> None:
        self.port = 0
        self.behave: Behaviour | None = None
        self.frames: list[pb.StreamExecuteResponse] = []
        self.called = asyncio.Event()
        self.ended = asyncio.Event()

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        return pb.DescribeResponse()

    async def Execute(self, request: pb.ExecuteRequest, context: Any) -> pb.ExecuteResponse:
        await self._behave(context)
        return pb.ExecuteResponse()

    async def StreamExecute(self, request: pb.StreamExecuteRequest, context: Any) -> AsyncIterator[pb.StreamExecuteResponse]:
        await self._behave(context)
        for frame in self.frames:
            yield frame

    async def Cancel(self, request: pb.CancelRequest, context: Any) -> pb.CancelResponse:
        return pb.CancelResponse(found=False)

    async def _behave(self, context: Any) -> None:
        self.called.set()
        try:
            if self.behave is not None:
                await self.behave(context)
        finally:
            self.ended.set()


class SilentRelay:
    """Forwards bytes until `silent` is set; it never closes a connection."""

    def __init__(self, target: int) -> None:
        self.silent = False
        self.answered = asyncio.Event()
        self.port = 0
        self._target = target

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._relay, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            answers = self._pass(back_reader, writer, b"x-mesh-accepted")
            await asyncio.gather(self._pass(reader, back_writer, b""), answers)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            back_writer.close()
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mark: bytes) -> None:
        while data := await reader.read(65_536):
            if not self.silent:
                writer.write(data)
            if mark and mark in data:
                self.answered.set()
