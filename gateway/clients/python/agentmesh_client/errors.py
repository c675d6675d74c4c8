"""The exceptions of the client: one class for each kind of reason that a call can fail for.

AgentMeshError
├── InvalidRequest     the request breaks a rule, or is too large: correct it
├── NotAuthenticated   the credential is missing, wrong, expired or revoked
├── PermissionDenied   a policy denies the call
├── NotFound           the object does not exist, or belongs to another user
├── Conflict           the object is in another state than the call needs
├── RateLimited        too many calls: wait `retry_after_seconds`
├── BudgetExceeded     the call would exceed a budget
├── AnswerRefused      a guardrail or the model refused: the same call would end the same way
├── AgentFailed        the agent or its model provider failed; the call may have cost money
├── Unavailable        a part of the platform is down; nothing was bought
├── DeadlineExceeded   there was no answer in time
├── Cancelled          the platform stopped the call because somebody cancelled it
├── Unsupported        the server does not know the call: it is older or newer than the client
├── ServerError        a fault in the platform: report it with the request id
└── ConnectionLost     there was no answer; it is unknown whether the call has had an effect

Each class names the reasons of the platform's error table that raise it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

M = TypeVar("M", bound=Message)
_DOMAIN = "agentmesh"
_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that the request broke, and the path of the field, e.g. `tasks[2].agent_id`."""

    field: str
    description: str


class AgentMeshError(Exception):
    """A call failed. The message says what is wrong and what to do."""

    reasons: ClassVar[tuple[str, ...]] = ()
    """The reasons of the platform's error table that raise this class."""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        request_id: str = "",
        violations: tuple[Violation, ...] = (),
        retry_after_seconds: float | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        """A reason of the error table, such as AGENT_NOT_FOUND; empty if gRPC, and not the platform, reports the failure."""
        self.code = code
        self.request_id = request_id
        """The id of the request in the platform's logs; empty if the platform did not answer."""
        self.violations = violations
        self.retry_after_seconds = retry_after_seconds
        self.details = dict(details or {})

    @property
    def field(self) -> str:
        """The first field that broke a rule; empty if none did."""
        return self.violations[0].field if self.violations else ""

    @property
    def retryable(self) -> bool:
        """Whether the same call can succeed later, according to the platform. It may cost money again."""
        return self.details.get("retryable") == "true"

    def __str__(self) -> str:
        marks = [mark for mark in (self.reason or self.code.name, self.request_id) if mark]
        return f"{self.message} ({', '.join(marks)})"


class InvalidRequest(AgentMeshError):
    """The request breaks a rule of the contract, or is too large. `violations` names each field."""

    reasons = ("VALIDATION_ERROR", "BAD_REQUEST", "PAYLOAD_TOO_LARGE")


class NotAuthenticated(AgentMeshError):
    """The credential is missing, wrong, expired or revoked."""

    reasons = ("AUTH_INVALID_CREDENTIALS", "AUTH_TOKEN_EXPIRED", "AUTH_TOKEN_BLACKLISTED")


class PermissionDenied(AgentMeshError):
    """A policy denies the call."""

    reasons = ("POLICY_DENIED", "REGISTRATION_CLOSED")


class NotFound(AgentMeshError):
    """The object does not exist, or belongs to another user."""

    reasons = (
        *("AGENT_NOT_FOUND", "WORKFLOW_NOT_FOUND", "RUN_NOT_FOUND", "STEP_NOT_FOUND", "EXECUTION_NOT_FOUND"),
        *("API_KEY_NOT_FOUND", "SESSION_NOT_FOUND", "USER_NOT_FOUND"),
    )


class Conflict(AgentMeshError):
    """The object is in another state than the call needs, or the name or key is taken."""

    reasons = (
        *("WORKFLOW_ALREADY_RUNNING", "WORKFLOW_NOT_RUNNING", "RUN_NOT_ACTIVE", "APPROVAL_NOT_PENDING"),
        *("IDEMPOTENCY_CONFLICT", "USERNAME_TAKEN"),
    )


class RateLimited(AgentMeshError):
    """There were too many calls. Nothing was bought; wait `retry_after_seconds`."""

    reasons = ("RATE_LIMIT_EXCEEDED",)


class BudgetExceeded(AgentMeshError):
    """The call would exceed a budget."""

    reasons = ("BUDGET_EXCEEDED",)


class AnswerRefused(AgentMeshError):
    """A guardrail refused, or the model did not finish its answer. The same call would end the same way."""

    reasons = ("GUARDRAIL_BLOCKED", "ANSWER_INCOMPLETE")


class AgentFailed(AgentMeshError):
    """The agent or its model provider failed. The call may have cost money, so the client does not repeat it."""

    reasons = ("AGENT_EXECUTION_FAILED", "LLM_API_ERROR", "LLM_API_TIMEOUT")


class Unavailable(AgentMeshError):
    """A part of the platform is down. Nothing was bought."""

    reasons = ("AGENT_UNAVAILABLE", "SERVICE_UNAVAILABLE")


class DeadlineExceeded(AgentMeshError):
    """There was no answer in time. It is unknown what the call has done."""

    reasons = ("UPSTREAM_TIMEOUT",)


class Cancelled(AgentMeshError):
    """Somebody cancelled the call."""

    reasons = ("CANCELLED",)


class Unsupported(AgentMeshError):
    """The server does not know the call: it is older or newer than the client."""

    reasons = ("ROUTE_NOT_FOUND", "METHOD_NOT_ALLOWED", "NOT_IMPLEMENTED", "UNSUPPORTED_MEDIA_TYPE")


class ServerError(AgentMeshError):
    """A fault in the platform. Report it with the request id."""

    reasons = ("INTERNAL",)


class ConnectionLost(AgentMeshError):
    """There was no answer from the platform. It is unknown whether the call has had an effect."""


_BY_REASON = {reason: kind for kind in AgentMeshError.__subclasses__() for reason in kind.reasons}
_BY_CODE: Mapping[grpc.StatusCode, type[AgentMeshError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: NotAuthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RateLimited,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
}
"""For reasons that a newer server has added, and for statuses of gRPC itself."""
_BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
"""What gRPC reports when a connection or a stream breaks."""


def error_of(failure: grpc.RpcError) -> AgentMeshError:
    """The exception for a failed call, with the failure as its cause."""
    status = _status(failure)
    info = _detail(status, error_details_pb2.ErrorInfo)
    error = _lost(failure) if info is None or info.domain != _DOMAIN else _answered(status, info, failure.code())
    error.__cause__ = failure
    return error


def _answered(status: status_pb2.Status, info: error_details_pb2.ErrorInfo, code: grpc.StatusCode) -> AgentMeshError:
    retry = _detail(status, error_details_pb2.RetryInfo)
    request = _detail(status, error_details_pb2.RequestInfo)
    bad = _detail(status, error_details_pb2.BadRequest)
    kind = _BY_REASON.get(info.reason) or _BY_CODE.get(code, ServerError)
    return kind(
        status.message,
        reason=info.reason,
        code=code,
        request_id=request.request_id if request else "",
        violations=tuple(Violation(each.field, each.description) for each in bad.field_violations) if bad else (),
        retry_after_seconds=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
        details=info.metadata,
    )


def _lost(failure: grpc.RpcError) -> AgentMeshError:
    code = failure.code()
    kind = ConnectionLost if code in _BROKEN else _BY_CODE.get(code, ServerError)
    return kind(failure.details() or "the call failed without a message", code=code)


def _status(failure: grpc.RpcError) -> status_pb2.Status:
    raw = dict(failure.trailing_metadata() or ()).get(_DETAILS)
    try:
        return status_pb2.Status.FromString(raw) if isinstance(raw, bytes) else status_pb2.Status()
    except DecodeError:
        return status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[M]) -> M | None:
    found = kind()
    return next((found for detail in status.details if detail.Unpack(found)), None)
