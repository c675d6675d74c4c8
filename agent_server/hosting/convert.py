"""Between the messages of agentmesh.agent.v1 and the host's own types."""

from typing import Any

from agentmesh.agent.v1 import agent_service_pb2

from agent_server.turn.turn import Result
from mesh.rpc.convert import struct, usage_to_proto, values


def context_of(request: agent_service_pb2.ExecuteRequest | agent_service_pb2.StreamExecuteRequest) -> dict[str, Any] | None:
    """The request's context as plain values, or None when it has none."""
    return values(request.context, "context") if request.HasField("context") else None


def execute_response(agent_name: str, result: Result) -> agent_service_pb2.ExecuteResponse:
    """The whole answer."""
    return agent_service_pb2.ExecuteResponse(
        agent_name=agent_name,
        result=result.text,
        execution_time=result.seconds,
        metadata=struct(result.metadata),
        usage=usage_to_proto(result.usage),
    )


def done(agent_name: str, result: Result) -> agent_service_pb2.Done:
    """The end of a streamed answer."""
    return agent_service_pb2.Done(agent_name=agent_name, execution_time=result.seconds, metadata=struct(result.metadata))
