"""The base of every exception that may leave a service, and those that any service can raise.

    MeshError                      INTERNAL
    ├── CannotStart                (told to the operator, never to a caller)
    ├── ValidationFailed           VALIDATION_ERROR
    ├── RateLimitExceeded          RATE_LIMIT_EXCEEDED
    ├── ServiceUnavailable         SERVICE_UNAVAILABLE
    ├── UpstreamTimeout            UPSTREAM_TIMEOUT
    ├── CallCancelled              CANCELLED
    ├── IdempotencyConflict        IDEMPOTENCY_CONFLICT
    ├── NotImplementedHere         NOT_IMPLEMENTED
    └── RemoteError                whatever reason another service of the mesh gave

Each feature defines its own below MeshError. What a reason means on gRPC and over REST stands in one table, the
options of the enum `agentmesh.common.v1.ErrorReason`; `mesh.rpc.status` applies it. Plain Python on purpose.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of a request: the path of the field, e.g. `tasks[2].agent_id`, and what it must be."""

    field: str
    description: str


class MeshError(Exception):
    """Something went wrong that the caller is told about.

    `message` is for a person: what happened and what to do. `details` are the reason's metadata, for a machine.
    Raised as it is, it says INTERNAL; whatever the platform did not foresee becomes that too, with its message kept back.
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
        """Whether sending the same call again can help; None leaves it to the reason's row in the table."""


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
    """The caller has used up what it may do for now; `retry_after_seconds` says when there is more."""

    reason = "RATE_LIMIT_EXCEEDED"


class ServiceUnavailable(MeshError):
    """A component that the call needs is not there. Raised only where nothing was bought."""

    reason = "SERVICE_UNAVAILABLE"


class UpstreamTimeout(MeshError):
    """The call's deadline passed."""

    reason = "UPSTREAM_TIMEOUT"


class CallCancelled(MeshError):
    """The caller cancelled the call."""

    reason = "CANCELLED"


class IdempotencyConflict(MeshError):
    """The idempotency key belongs to another request body."""

    reason = "IDEMPOTENCY_CONFLICT"

    @classmethod
    def of(cls, key: str) -> "IdempotencyConflict":
        """The error for this key."""
        message = "this idempotency key was used for another request body within 24 h; use a new key for a new request"
        return cls(message, idempotency_key=key)


class NotImplementedHere(MeshError):
    """The rpc is part of the contract and this server does not serve it."""

    reason = "NOT_IMPLEMENTED"


class RemoteError(MeshError):
    """An error that another service of the mesh answered with, to be passed on under its own reason."""

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
        self.details = dict(details)  # not as keywords: their names are another process's
