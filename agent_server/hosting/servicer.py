"""agentmesh.agent.v1.AgentService, the same for every agent. Each port has an instance, because a handler cannot find out its port."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1 import agent_service_pb2_grpc

from agent_server.hosting import convert
from agent_server.hosting.calls import CallsInProgress
from agent_server.model.ports import Model
from agent_server.turn.agent import Directory
from agent_server.turn.turn import Turn
from catalogue.convert import agent_to_proto
from mesh.rpc.acceptance import ACCEPTED, WANTED_KEY
from mesh.rpc.interceptors.behaviour import metadata_value
from mesh.tracing import names, spans

Context = grpc.aio.ServicerContext[Any, Any]

LONGEST_CALL_SECONDS = 600.0
"""The deadline of a call that sets none, and the longest that a call can set."""
MARGIN_SECONDS = 0.1
"""Kept back from the caller's deadline, so that the error of a timeout still reaches the caller."""


class AgentServicer(agent_service_pb2_grpc.AgentServiceServicer):
    """Serves the agents of one port."""

    def __init__(self, port: int, directory: Directory, calls: CallsInProgress, model: Model, provider: str) -> None:
        self._port = port
        self._directory = directory
        self._calls = calls
        self._model = model
        self._provider = provider

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        agent = self._directory.on_port(self._port, request.agent_id)
        return pb.DescribeResponse(agent=agent_to_proto(agent.definition, agent.model, self._port))

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        turn, name = await self._turn(request)
        if metadata_value(context, WANTED_KEY) is not None:
            await context.send_initial_metadata(ACCEPTED)  # tells the caller that from now on something may be bought
        return await self._calls.whole(request.execution_id, turn, _time_left(context), partial(convert.execute_response, name))

    async def StreamExecute(self, request: pb.StreamExecuteRequest, context: Context) -> AsyncIterator[pb.StreamExecuteResponse]:
        turn, name = await self._turn(request)
        await context.send_initial_metadata(ACCEPTED)
        sequence = 0
        async for events in self._calls.frames(request.execution_id, turn, _time_left(context), partial(convert.events, name)):
            for event in events:
                sequence += 1
                event.sequence = sequence
                yield event

    async def Cancel(self, request: pb.CancelRequest, context: Context) -> pb.CancelResponse:
        return pb.CancelResponse(found=self._calls.cancel(request.execution_id))

    async def _turn(self, request: pb.ExecuteRequest | pb.StreamExecuteRequest) -> tuple[Turn, str]:
        agent = self._directory.on_port(self._port, request.agent_id)
        if (span := spans.current()) is not None:
            span.set(names.AGENT_ID, agent.definition.agent_id)
            span.set(names.AGENT_NAME, agent.definition.name)
            span.set(names.AGENT_REVISION, agent.definition.revision)
            span.set(names.EXECUTION_ID, request.execution_id)
        values = await convert.context_of(request)
        turn = Turn(agent, self._model, self._provider, text=request.input, context=values, execution_id=request.execution_id)
        return turn, agent.definition.name


def _time_left(context: Context) -> float:
    left = context.time_remaining()
    return LONGEST_CALL_SECONDS if left is None else max(0.0, min(left, LONGEST_CALL_SECONDS) - MARGIN_SECONDS)
