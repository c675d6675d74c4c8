"""Converts the registry's types to agentmesh.registry.v1."""

from agentmesh.agent.v1 import agent_pb2
from agentmesh.registry.v1 import registry_pb2
from agentmesh.registry.v1 import registry_service_pb2 as pb

from catalogue.catalogue import Category
from catalogue.convert import agent_summary_to_proto, agent_to_proto
from orchestrator.registry.model import (
    AgentHealth,
    AgentOrder,
    AgentPage,
    AgentQuery,
    FacetCount,
    HealthState,
    ListedAgent,
    Measured,
    Recommendation,
    Recommendations,
)

_HEALTH = {
    HealthState.SERVING: registry_pb2.AGENT_HEALTH_STATUS_SERVING,
    HealthState.NOT_SERVING: registry_pb2.AGENT_HEALTH_STATUS_NOT_SERVING,
    HealthState.UNREACHABLE: registry_pb2.AGENT_HEALTH_STATUS_UNREACHABLE,
}


_ORDERS = {
    pb.AGENT_ORDER_UNSPECIFIED: AgentOrder.RELEVANCE,
    pb.AGENT_ORDER_RELEVANCE: AgentOrder.RELEVANCE,
    pb.AGENT_ORDER_NAME: AgentOrder.NAME,
    pb.AGENT_ORDER_NUMBER: AgentOrder.NUMBER,
}


def query(request: pb.ListAgentsRequest, limit: int) -> AgentQuery:
    """Which agents a request asks for."""
    return AgentQuery(
        search=request.search,
        category=request.category,
        role=request.role,
        tags=frozenset(request.tags),
        order=_ORDERS[request.order_by],
        limit=limit,
        offset=request.offset,
    )


def page(found: AgentPage, view: pb.AgentView.ValueType) -> pb.ListAgentsResponse:
    """A page of agents."""
    shown = agent if view == pb.AGENT_VIEW_FULL else _summary
    return pb.ListAgentsResponse(
        agents=map(shown, found.agents),
        total=found.total,
        facets=pb.AgentFacets(
            categories=map(_count, found.facets.categories), roles=map(_count, found.facets.roles), tags=map(_count, found.facets.tags)
        ),
        nearest=map(shown, found.nearest),
        measured={agent_id: _measured(figures) for agent_id, figures in found.measured.items()},
    )


def _measured(figures: Measured) -> pb.MeasuredAgent:
    return pb.MeasuredAgent(
        calls=figures.calls,
        completed_share=figures.completed_share,
        seconds_p50=figures.seconds_p50,
        cost_micro_usd_p50=figures.micro_usd_p50,
    )


def _count(facet: FacetCount) -> pb.FacetCount:
    return pb.FacetCount(value=facet.value, count=facet.count)


def wanted(request: pb.RecommendAgentsRequest, limit: int) -> AgentQuery:
    """Which agents a request for recommendations admits, and the work as the search."""
    return AgentQuery(search=request.task, category=request.category, role=request.role, tags=frozenset(request.tags), limit=limit)


def recommendations(found: Recommendations) -> pb.RecommendAgentsResponse:
    return pb.RecommendAgentsResponse(recommendations=map(_recommendation, found.items), no_fit=found.no_fit)


def _recommendation(found: Recommendation) -> pb.Recommendation:
    estimate = pb.CallEstimate(
        cost_micro_usd=found.estimate.cost_micro_usd,
        max_cost_micro_usd=found.estimate.max_cost_micro_usd,
        seconds=found.estimate.seconds,
    )
    return pb.Recommendation(
        agent=agent(found.agent), score=found.score, reason=found.reason, matching_tasks=found.matching_tasks, estimate=estimate
    )


def _summary(listed: ListedAgent) -> agent_pb2.Agent:
    return agent_summary_to_proto(listed.definition, listed.model, listed.port)


def agent(listed: ListedAgent) -> agent_pb2.Agent:
    return agent_to_proto(listed.definition, listed.model, listed.port)


def category(summary: Category) -> registry_pb2.Category:
    return registry_pb2.Category(name=summary.name, agent_count=summary.agent_count, roles=summary.roles)


def health(health: AgentHealth) -> registry_pb2.AgentHealth:
    message = registry_pb2.AgentHealth(
        agent_id=health.agent_id, status=_HEALTH[health.state], port=health.port, latency_seconds=health.latency_seconds
    )
    message.checked_at.FromDatetime(health.checked_at)
    return message
