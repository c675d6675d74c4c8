"""Between the registry's types and agentmesh.registry.v1."""

from agentmesh.agent.v1 import agent_pb2
from agentmesh.registry.v1 import registry_pb2

from catalogue.catalogue import Category
from catalogue.convert import agent_to_proto
from orchestrator.registry.model import AgentHealth, HealthState, ListedAgent

_HEALTH = {
    HealthState.SERVING: registry_pb2.AGENT_HEALTH_STATUS_SERVING,
    HealthState.NOT_SERVING: registry_pb2.AGENT_HEALTH_STATUS_NOT_SERVING,
    HealthState.UNREACHABLE: registry_pb2.AGENT_HEALTH_STATUS_UNREACHABLE,
}


def agent(listed: ListedAgent) -> agent_pb2.Agent:
    """An agent."""
    return agent_to_proto(listed.definition, listed.model, listed.port)


def category(summary: Category) -> registry_pb2.Category:
    """A category."""
    return registry_pb2.Category(name=summary.name, agent_count=summary.agent_count, roles=summary.roles)


def health(health: AgentHealth) -> registry_pb2.AgentHealth:
    """The health of an agent."""
    message = registry_pb2.AgentHealth(
        agent_id=health.agent_id, status=_HEALTH[health.state], port=health.port, latency_seconds=health.latency_seconds
    )
    message.checked_at.FromDatetime(health.checked_at)
    return message
