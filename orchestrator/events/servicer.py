"""agentmesh.event.v1.EventService."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from agentmesh.event.v1 import event_service_pb2 as pb
from agentmesh.event.v1 import event_service_pb2_grpc

from mesh.security import caller
from orchestrator.events import convert
from orchestrator.events.service import EventService

Context = grpc.aio.ServicerContext[Any, Any]


class EventServicer(event_service_pb2_grpc.EventServiceServicer):
    def __init__(self, service: EventService) -> None:
        self._service = service

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        return convert.list_response(await self._service.list(convert.query(request, caller.current().sees)))

    async def WatchEvents(self, request: pb.WatchEventsRequest, context: Context) -> AsyncIterator[pb.WatchEventsResponse]:
        sequence = 0
        async for item in self._service.watch(*convert.watched(request, caller.current().sees)):
            sequence += 1
            yield convert.watch_response(item, sequence)
