"""agentmesh.health.v1.HealthService."""

from importlib.metadata import version
from typing import Any

import grpc
from agentmesh.health.v1 import health_service_pb2 as pb
from agentmesh.health.v1 import health_service_pb2_grpc

from orchestrator.health.service import HealthService

Context = grpc.aio.ServicerContext[Any, Any]


class HealthServicer(health_service_pb2_grpc.HealthServiceServicer):
    def __init__(self, service: HealthService) -> None:
        self._service = service
        self._version = version("agentmesh")

    async def GetHealth(self, request: pb.GetHealthRequest, context: Context) -> pb.GetHealthResponse:
        """Always healthy, because an unhealthy process does not respond."""
        return pb.GetHealthResponse(status="healthy", version=self._version)

    async def GetReadiness(self, request: pb.GetReadinessRequest, context: Context) -> pb.GetReadinessResponse:
        """Raises ServiceUnavailable if the platform cannot accept calls."""
        readiness = await self._service.readiness()
        components = [pb.Component(name=c.name, available=c.available, detail=c.detail) for c in readiness.components]
        return pb.GetReadinessResponse(status="degraded" if readiness.degraded else "ready", components=components)
