"""agentmesh.execution.v1.ExecutionService."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import grpc
from agentmesh.execution.v1 import execution_service_pb2 as pb
from agentmesh.execution.v1 import execution_service_pb2_grpc

from mesh import correlation
from mesh.rpc.interceptors.behaviour import metadata_value
from mesh.rpc.interceptors.errors import TRANSCODED_KEY
from mesh.rpc.requests.idempotency import IDEMPOTENCY_KEY, idempotency_key
from mesh.security import caller
from orchestrator.executions import convert
from orchestrator.executions.estimates import Estimates
from orchestrator.executions.service import Answered, ExecutionService

Context = grpc.aio.ServicerContext[Any, Any]


class ExecutionServicer(execution_service_pb2_grpc.ExecutionServiceServicer):
    def __init__(self, service: ExecutionService, estimates: Estimates) -> None:
        self._service = service
        self._estimates = estimates

    async def ExecuteAgent(self, request: pb.ExecuteAgentRequest, context: Context) -> pb.ExecuteAgentResponse:
        key = idempotency_key(request.idempotency_key, metadata_value(context, IDEMPOTENCY_KEY))
        work = await convert.work(request, caller.current().user_id, correlation.current(), key)
        answered = await self._service.execute(work, context.time_remaining())
        return convert.execute_response(answered, omit_large=metadata_value(context, TRANSCODED_KEY) is None)

    async def StreamAgent(self, request: pb.StreamAgentRequest, context: Context) -> AsyncIterator[pb.StreamAgentResponse]:
        key = idempotency_key(request.idempotency_key, metadata_value(context, IDEMPOTENCY_KEY))
        work = await convert.work(request, caller.current().user_id, correlation.current(), key)
        sequence = 0
        async for item in self._service.stream(work, context.time_remaining()):
            for event in _events(item):
                sequence += 1
                event.sequence = sequence
                yield event

    async def EstimateExecution(self, request: pb.EstimateExecutionRequest, context: Context) -> pb.EstimateExecutionResponse:
        facts = await convert.context_of(request)
        return convert.estimate_response(await self._estimates.estimate(caller.current(), request.agent_id, request.input, facts))

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Context) -> pb.GetExecutionResponse:
        record = await self._service.get(caller.current().sees, UUID(request.execution_id), convert.excerpt(request))
        return pb.GetExecutionResponse(execution=convert.execution(record), result_characters=record.result_characters)

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Context) -> pb.ListExecutionsResponse:
        return convert.list_response(await self._service.list(convert.query(request, caller.current().sees)))


def _pieces(text: str) -> Iterator[str]:
    """A text in parts that fit into a message. A recorded answer is one text, and can have 16 MB."""
    return (text[at : at + convert.DELTA_CHARACTERS] for at in range(0, len(text), convert.DELTA_CHARACTERS)) if text else iter(("",))


def _events(item: UUID | str | Answered | None) -> list[pb.StreamAgentResponse]:
    if item is None:
        return [pb.StreamAgentResponse(heartbeat=pb.Heartbeat())]
    if isinstance(item, str):
        return [pb.StreamAgentResponse(delta=pb.Delta(text=piece)) for piece in _pieces(item)]
    if isinstance(item, UUID):
        return [pb.StreamAgentResponse(started=pb.Started(execution_id=str(item)))]
    return [pb.StreamAgentResponse(usage=convert.bill(item.bill)), pb.StreamAgentResponse(done=convert.done(item))]
