"""agentmesh.agent.v1.AgentService, the same for every agent: one instance per port, because only that knows which port it is."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1 import agent_service_pb2_grpc

from agent_server.hosting import convert
from agent_server.hosting.calls import CallsUnderWay
from agent_server.model.ports import Model
from agent_server.turn.agent import Directory
from agent_server.turn.turn import Turn
from catalogue.convert import agent_to_proto
from mesh.rpc.acceptance import ACCEPTED, WANTED_KEY
from mesh.rpc.convert import usage_to_proto
from mesh.rpc.interceptors.behaviour import metadata_value

Context = grpc.aio.ServicerContext[Any, Any]

LONGEST_CALL_SECONDS = 600.0
"""What a call without a deadline of its own gets."""
MARGIN_SECONDS = 0.1
"""Kept back from the caller's deadline, so that the answer that time is up still reaches the caller."""


class AgentServicer(agent_service_pb2_grpc.AgentServiceServicer):
    """Serves the agents of one port."""

    def __init__(self, port: int, directory: Directory, calls: CallsUnderWay, model: Model, provider: str) -> None:
        self._port = port
        self._directory = directory
        self._calls = calls
        self._model = model
        self._provider = provider

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        """The agent as it is served now."""
        agent = self._directory.on_port(self._port, request.agent_id)
        return pb.DescribeResponse(agent=agent_to_proto(agent.definition, agent.model, self._port))

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        """The whole answer."""
        turn, name = self._turn(request)
        if metadata_value(context, WANTED_KEY) is not None:
            await context.send_initial_metadata(ACCEPTED)  # from here on the caller knows that something may be bought
        result = await self._calls.whole(request.execution_id, turn, _time_left(context))
        return convert.execute_response(name, result)

    async def StreamExecute(self, request: pb.StreamExecuteRequest, context: Context) -> AsyncIterator[pb.StreamExecuteResponse]:
        """The answer in frames."""
        turn, name = self._turn(request)
        await context.send_initial_metadata(ACCEPTED)
        sequence = 0
        async for frame in self._calls.frames(request.execution_id, turn, _time_left(context)):
            for event in _events(frame, name):
                sequence += 1
                event.sequence = sequence
                yield event

    async def Cancel(self, request: pb.CancelRequest, context: Context) -> pb.CancelResponse:
        """Ends a call under way on this host."""
        return pb.CancelResponse(found=self._calls.cancel(request.execution_id))

    def _turn(self, request: pb.ExecuteRequest | pb.StreamExecuteRequest) -> tuple[Turn, str]:
        agent = self._directory.on_port(self._port, request.agent_id)
        facts = convert.context_of(request)
        turn = Turn(agent, self._model, self._provider, text=request.input, context=facts, execution_id=request.execution_id)
        return turn, agent.definition.name


def _events(frame: Any, agent_name: str) -> list[pb.StreamExecuteResponse]:
    if frame is None:
        return [pb.StreamExecuteResponse(heartbeat=pb.Heartbeat())]
    if isinstance(frame, str):
        return [pb.StreamExecuteResponse(delta=pb.Delta(text=frame))]
    return [
        pb.StreamExecuteResponse(usage=usage_to_proto(frame.usage)),
        pb.StreamExecuteResponse(done=convert.done(agent_name, frame)),
    ]


def _time_left(context: Context) -> float:
    left = context.time_remaining()
    return LONGEST_CALL_SECONDS if left is None else max(0.0, min(left, LONGEST_CALL_SECONDS) - MARGIN_SECONDS)
