"""Converts a definition to the contract's Agent."""

from agentmesh.agent.v1 import agent_pb2

from catalogue.model import AgentDefinition
from mesh.rpc.convert import struct


def agent_to_proto(definition: AgentDefinition, model: str, port: int) -> agent_pb2.Agent:
    """The agent, with the model that answers for it and the port that serves it."""
    agent = agent_summary_to_proto(definition, model, port)
    agent.context_schema.CopyFrom(struct(definition.context_schema or {}))
    agent.examples.extend(definition.examples)
    return agent


def agent_summary_to_proto(definition: AgentDefinition, model: str, port: int) -> agent_pb2.Agent:
    """The agent as in `agent_to_proto`, without its schema and examples."""
    return agent_pb2.Agent(
        agent_id=definition.agent_id,
        number=definition.number,
        name=definition.name,
        category=definition.category,
        role=definition.role,
        description=definition.description,
        tags=definition.tags,
        port=port,
        revision=definition.revision,
        model=model,
        max_tokens=definition.max_tokens,
    )
