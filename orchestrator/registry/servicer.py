"""agentmesh.registry.v1.RegistryService."""

from typing import Any

import grpc
from agentmesh.registry.v1 import registry_service_pb2 as pb
from agentmesh.registry.v1 import registry_service_pb2_grpc

from mesh.rpc.requests.paging import DEFAULT_PAGE
from orchestrator.registry import convert
from orchestrator.registry.recommending import DEFAULT_RECOMMENDATIONS
from orchestrator.registry.service import RegistryService

Context = grpc.aio.ServicerContext[Any, Any]


class RegistryServicer(registry_service_pb2_grpc.RegistryServiceServicer):
    def __init__(self, service: RegistryService) -> None:
        self._service = service

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        """A page of agents."""
        limit = request.limit if request.HasField("limit") else DEFAULT_PAGE
        return convert.page(self._service.list(convert.query(request, limit)), request.view)

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.GetAgentResponse:
        return pb.GetAgentResponse(agent=convert.agent(self._service.get(request.agent_id)))

    async def ListCategories(self, request: pb.ListCategoriesRequest, context: Context) -> pb.ListCategoriesResponse:
        return pb.ListCategoriesResponse(categories=map(convert.category, self._service.categories()))

    async def RecommendAgents(self, request: pb.RecommendAgentsRequest, context: Context) -> pb.RecommendAgentsResponse:
        limit = request.limit if request.HasField("limit") else DEFAULT_RECOMMENDATIONS
        return convert.recommendations(await self._service.recommend(convert.wanted(request, limit)))

    async def CheckAgentHealth(self, request: pb.CheckAgentHealthRequest, context: Context) -> pb.CheckAgentHealthResponse:
        """How an agent is now."""
        return pb.CheckAgentHealthResponse(health=convert.health(await self._service.check_health(request.agent_id)))
