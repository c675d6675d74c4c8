"""The base class of all exceptions that may leave a service, and those that every service can raise.

    MeshError                      INTERNAL
    ├── CannotStart                (told to the operator, never to a caller)
    ├── ValidationFailed           VALIDATION_ERROR
    ├── RateLimitExceeded          RATE_LIMIT_EXCEEDED
    ├── ServiceUnavailable         SERVICE_UNAVAILABLE
    ├── UpstreamTimeout            UPSTREAM_TIMEOUT
    ├── CallCancelled              CANCELLED
    ├── IdempotencyConflict        IDEMPOTENCY_CONFLICT
    ├── NotImplementedHere         NOT_IMPLEMENTED
    └── RemoteError                the reason that another service of the mesh returned

Each noun defines its own below MeshError. The options of the enum `agentmesh.common.v1.ErrorReason` map each reason to gRPC and REST,
and `mesh.rpc.status` applies them. This module is plain Python, so that rules can import it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of a request: the path of the field, e.g. `tasks[2].agent_id`, and what the field must be."""

    field: str
    description: str


class MeshError(Exception):
    """An error that is returned to the caller.

    `message` tells a person what is wrong and what to do. `details` are the metadata of the reason, for programs.
    The base class itself means INTERNAL. Unexpected exceptions become INTERNAL too, without their message.
    """

    reason: str = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
        retryable: bool | None = None,
        **details: str,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, str] = details
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds
        self.retryable = retryable
        """Whether sending the same call again can help; None: as the error table says."""


class CannotStart(MeshError):
    """The process cannot start. The message says what is wrong and how to fix it, for the operator; no caller ever sees it."""


class ValidationFailed(MeshError):
    """The request breaks rules of the contract; every violation is listed."""

    reason = "VALIDATION_ERROR"

    @classmethod
    def of(cls, field: str, description: str) -> "ValidationFailed":
        """The error for one broken rule."""
        return cls.all([Violation(field, description)])

    @classmethod
    def all(cls, violations: Sequence[Violation]) -> "ValidationFailed":
        """The error for all of these, of which there is at least one."""
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        return cls(f"{first.field}: {first.description}{more}", violations=violations)


class RateLimitExceeded(MeshError):
    """A limit is reached; `retry_after_seconds` says when to come back. Raise it with `mesh.limits.limiter.refusal`."""

    reason = "RATE_LIMIT_EXCEEDED"


class ServiceUnavailable(MeshError):
    """A component that the call needs cannot be reached. Raised only if nothing was bought."""

    reason = "SERVICE_UNAVAILABLE"


class UpstreamTimeout(MeshError):
    """The call's deadline passed."""

    reason = "UPSTREAM_TIMEOUT"


class AnswerTooLarge(MeshError):
    """The answer does not fit into one response; the message names how to read it in parts."""

    reason = "PAYLOAD_TOO_LARGE"


class CallCancelled(MeshError):
    """The caller cancelled the call."""

    reason = "CANCELLED"


class IdempotencyConflict(MeshError):
    """The idempotency key was used with another request body."""

    reason = "IDEMPOTENCY_CONFLICT"

    @classmethod
    def of(cls, key: str) -> "IdempotencyConflict":
        """The error for this key."""
        message = "this idempotency key was used with another request body in the last 24 h; use a new key for a new request"
        return cls(message, idempotency_key=key)


class NotImplementedHere(MeshError):
    """The rpc is part of the contract, but this server does not implement it."""

    reason = "NOT_IMPLEMENTED"


class RemoteError(MeshError):
    """An error that another service of the mesh returned, passed on with its reason."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
        retryable: bool | None = None,
        details: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message, violations=violations, retry_after_seconds=retry_after_seconds, retryable=retryable)
        self.reason = reason
        self.details = dict(details)  # not as keywords: another process chose the names
