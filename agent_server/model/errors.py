"""What can go wrong in an agent.

MeshError
├── AgentExecutionFailed   AGENT_EXECUTION_FAILED
├── ModelApiError          LLM_API_ERROR
└── ModelApiTimeout        LLM_API_TIMEOUT
"""

from mesh.errors import MeshError


class AgentExecutionFailed(MeshError):
    """The agent itself failed."""

    reason = "AGENT_EXECUTION_FAILED"


class ModelApiError(MeshError):
    """The model provider answered with an error, or with something that is no answer."""

    reason = "LLM_API_ERROR"


class ModelApiTimeout(MeshError):
    """The model provider did not answer within the time that the caller left."""

    reason = "LLM_API_TIMEOUT"
