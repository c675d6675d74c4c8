"""Errors of an agent's turn.

MeshError
├── AgentExecutionFailed   AGENT_EXECUTION_FAILED
├── AnswerIncomplete       ANSWER_INCOMPLETE
├── ModelApiError          LLM_API_ERROR
└── ModelApiTimeout        LLM_API_TIMEOUT
"""

from mesh.errors import MeshError


class AgentExecutionFailed(MeshError):
    """The agent itself failed."""

    reason = "AGENT_EXECUTION_FAILED"


class AnswerIncomplete(MeshError):
    """The model stopped before it had written an answer. The same call would end the same way, and what it used was billed."""

    reason = "ANSWER_INCOMPLETE"


class ModelApiError(MeshError):
    """The model provider answered with an error, or with something that is not an answer."""

    reason = "LLM_API_ERROR"


class ModelApiTimeout(MeshError):
    """The model provider did not answer within the time that the caller allowed."""

    reason = "LLM_API_TIMEOUT"
