"""Determines which agent a call is for, independently of its token."""

from typing import Any

from agentmesh.agent.v1 import agent_service_pb2 as pb

from agent_server.hosting.calls import CallsInProgress
from agent_server.turn.agent import Directory


class Audience:
    """The audience of the requests on one port."""

    def __init__(self, port: int, directory: Directory, calls: CallsInProgress) -> None:
        self._port = port
        self._directory = directory
        self._calls = calls

    def __call__(self, request: Any, token_agent_id: str) -> str:
        """The agent that the request names, otherwise the only one on the port. Raises ValidationFailed if there is not exactly one.

        Cancel names an execution, and its agent is the one that works on it. If no agent does, there is nothing to protect, and the
        agent of the token is used, which is bound to the execution.
        """
        if isinstance(request, pb.CancelRequest):
            return self._calls.agent_of(request.execution_id) or token_agent_id
        return request.agent_id or self._directory.on_port(self._port, "").definition.agent_id
