"""agentmesh.analytics.v1.AnalyticsService."""

from typing import Any

import grpc
from agentmesh.analytics.v1 import analytics_service_pb2 as pb
from agentmesh.analytics.v1 import analytics_service_pb2_grpc

from mesh.rpc.requests.paging import page_size
from mesh.security import caller
from orchestrator.analytics import convert
from orchestrator.analytics.service import AnalyticsService

Context = grpc.aio.ServicerContext[Any, Any]


class AnalyticsServicer(analytics_service_pb2_grpc.AnalyticsServiceServicer):
    def __init__(self, service: AnalyticsService) -> None:
        self._service = service

    async def GetSummary(self, request: pb.GetSummaryRequest, context: Context) -> pb.GetSummaryResponse:
        summary = await self._service.summary(caller.current(), convert.asked(request), request.agent_id)
        return convert.summary_response(summary)

    async def ListAgentStats(self, request: pb.ListAgentStatsRequest, context: Context) -> pb.ListAgentStatsResponse:
        offset = convert.offset(request)
        page = caller.current(), convert.asked(request), convert.order(request), page_size(request), offset
        return convert.agents_response(await self._service.agents(*page), offset)

    async def GetTimeseries(self, request: pb.GetTimeseriesRequest, context: Context) -> pb.GetTimeseriesResponse:
        wanted = convert.asked(request), request.agent_id, convert.interval(request), request.time_zone
        return convert.timeseries_response(await self._service.timeseries(caller.current(), *wanted))

    async def GetCosts(self, request: pb.GetCostsRequest, context: Context) -> pb.GetCostsResponse:
        offset = convert.offset(request)
        wanted = convert.asked(request), convert.group(request), request.time_zone, page_size(request), offset
        return convert.costs_response(await self._service.costs(caller.current(), *wanted), offset)
