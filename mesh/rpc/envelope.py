"""Renders the REST error envelope; nothing else does.

For a transcoded call, the finished envelope is sent in ASCII trailers, and the gateway makes it the response body.
"""

import json
from datetime import UTC, datetime
from typing import Any

from agentmesh.common.v1 import error_pb2
from google.rpc import error_details_pb2, status_pb2

from mesh.clock import SYSTEM_CLOCK
from mesh.rpc.status import TABLE, find

ENVELOPE_TRAILER = "x-mesh-envelope"
STATUS_TRAILER = "x-mesh-status"
NO_CONTENT = ((STATUS_TRAILER, "204"),)
"""Trailing metadata of a transcoded stream without events: clients of Server-Sent Events stop reconnecting at 204."""
RETRY_AFTER_TRAILER = "retry-after"
CHALLENGE_TRAILER = "www-authenticate"
_CHALLENGE = 'Bearer realm="agentmesh"'


def timestamp(now: datetime | None = None) -> str:
    """`now` (default: the current time) in the format of errors: RFC 3339, UTC, whole seconds, `Z`."""
    return (now or SYSTEM_CLOCK.now()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def error_fields(status: status_pb2.Status) -> dict[str, Any]:
    """The fields of the envelope's `error` for a status that `status_of` made."""
    info = find(status, error_details_pb2.ErrorInfo()) or error_details_pb2.ErrorInfo(reason="INTERNAL")
    request = find(status, error_details_pb2.RequestInfo()) or error_details_pb2.RequestInfo()
    details: dict[str, Any] = dict(info.metadata)
    if "retryable" in details:
        details["retryable"] = details["retryable"] == "true"
    if bad := find(status, error_details_pb2.BadRequest()):
        details["field_violations"] = [{"field": v.field, "description": v.description} for v in bad.field_violations]
    if retry := find(status, error_details_pb2.RetryInfo()):
        details["retry_after_seconds"] = retry.retry_delay.seconds
    return {
        "code": info.reason,
        "message": status.message,
        "details": details,
        "request_id": request.request_id,
        "timestamp": timestamp(),
    }


def error_event(status: status_pb2.Status) -> error_pb2.Error:
    """The same fields as the `error` event of a stream that has begun."""
    fields = error_fields(status)
    error = error_pb2.Error(**{key: value for key, value in fields.items() if key != "details"})
    error.details.update(fields["details"])
    return error


def envelope_trailers(status: status_pb2.Status) -> list[tuple[str, str]]:
    """The trailers from which the gateway builds the response of a transcoded call: envelope, HTTP status and headers."""
    fields = error_fields(status)
    trailers = [
        (ENVELOPE_TRAILER, json.dumps({"error": fields}, ensure_ascii=True, separators=(",", ":"))),
        (STATUS_TRAILER, str(TABLE[fields["code"]].http_status)),
    ]
    if seconds := fields["details"].get("retry_after_seconds"):
        trailers.append((RETRY_AFTER_TRAILER, str(seconds)))
    if TABLE[fields["code"]].http_status == 401:  # RFC 9110 requires a challenge, RFC 6750 defines its form
        was_good = fields["code"] != "AUTH_INVALID_CREDENTIALS"
        trailers.append((CHALLENGE_TRAILER, _CHALLENGE + (', error="invalid_token"' if was_good else "")))
    return trailers
