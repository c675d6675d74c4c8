"""The client of AgentMesh. See README.md for examples."""

from agentmesh_client import messages
from agentmesh_client.client import AsyncClient, Client, __version__
from agentmesh_client.credentials import AccessToken, ApiKey, Credentials, Session
from agentmesh_client.errors import (
    AgentFailed,
    AgentMeshError,
    AnswerRefused,
    BudgetExceeded,
    Cancelled,
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    Unavailable,
    Unsupported,
    Violation,
)
from agentmesh_client.retries import RetryPolicy

__all__ = [
    "AccessToken",
    "AgentFailed",
    "AgentMeshError",
    "AnswerRefused",
    "ApiKey",
    "AsyncClient",
    "BudgetExceeded",
    "Cancelled",
    "Client",
    "Conflict",
    "ConnectionLost",
    "Credentials",
    "DeadlineExceeded",
    "InvalidRequest",
    "NotAuthenticated",
    "NotFound",
    "PermissionDenied",
    "RateLimited",
    "RetryPolicy",
    "ServerError",
    "Session",
    "Unavailable",
    "Unsupported",
    "Violation",
    "__version__",
    "messages",
]
