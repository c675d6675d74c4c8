"""What can go wrong with a call to an agent.

MeshError
├── AgentUnavailable       AGENT_UNAVAILABLE       nothing was bought
├── AgentLost              AGENT_EXECUTION_FAILED  something may have been bought
└── ExecutionNotFound      EXECUTION_NOT_FOUND
"""

from mesh.errors import MeshError


class AgentUnavailable(MeshError):
    """The agent could not be reached. The call had not begun."""

    reason = "AGENT_UNAVAILABLE"


class AgentLost(MeshError):
    """The connection to the agent, or the record of its answer, was lost after the call had begun."""

    reason = "AGENT_EXECUTION_FAILED"


class ExecutionNotFound(MeshError):
    """No execution that the caller can see has this id."""

    reason = "EXECUTION_NOT_FOUND"
