"""agentmesh.registry.v1.PlatformService."""

from importlib.metadata import version
from typing import Any

import grpc
from agentmesh.registry.v1 import platform_service_pb2 as pb
from agentmesh.registry.v1 import platform_service_pb2_grpc

from orchestrator.platform.service import PlatformService

Context = grpc.aio.ServicerContext[Any, Any]


class PlatformServicer(platform_service_pb2_grpc.PlatformServiceServicer):
    """Liveness and readiness."""

    def __init__(self, service: PlatformService) -> None:
        self._service = service
        self._version = version("agentmesh")

    async def GetHealth(self, request: pb.GetHealthRequest, context: Context) -> pb.GetHealthResponse:
        """The orchestrator runs."""
        return pb.GetHealthResponse(status="healthy", version=self._version)

    async def GetReadiness(self, request: pb.GetReadinessRequest, context: Context) -> pb.GetReadinessResponse:
        """The platform takes calls, or SERVICE_UNAVAILABLE."""
        readiness = await self._service.readiness()
        components = [pb.Component(name=c.name, available=c.available, detail=c.detail) for c in readiness.components]
        return pb.GetReadinessResponse(status="degraded" if readiness.degraded else "ready", components=components)
