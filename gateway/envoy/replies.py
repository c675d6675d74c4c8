"""The errors that Envoy answers itself, with the reasons of the error table."""

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from google.rpc import error_details_pb2, status_pb2

from mesh.errors import RemoteError
from mesh.rpc.envelope import error_fields
from mesh.rpc.status import TABLE, status_of


@dataclass(frozen=True, slots=True)
class OwnReply:
    """One error that Envoy answers itself, ready for the template: for REST clients and for gRPC clients."""

    reason: str
    message: str
    http_status: str
    details: dict[str, Any]
    retry_after: str | None
    grpc_status: str
    grpc_message: str
    """Percent-encoded, as the header requires."""
    grpc_details: str
    """The whole google.rpc.Status, for the header `grpc-status-details-bin`."""

    def for_lua(self) -> dict[str, str]:
        """The fields that envelope.lua needs."""
        return {
            "code": self.reason,
            "message": self.message,
            "http_status": self.http_status,
            "details": json.dumps(self.details),
            "grpc_status": self.grpc_status,
            "grpc_message": self.grpc_message,
            "grpc_details": self.grpc_details,
        } | ({"retry_after": self.retry_after} if self.retry_after else {})


def own_reply(reason: str, message: str, *, retry_after: int | None = None, **details: str) -> OwnReply:
    """The reply for a row of the error table, without the request id, which the gateway adds."""
    error = RemoteError(reason, message, retry_after_seconds=retry_after, details=details)
    status = _without_request(status_of(error, request_id=""))
    fields = error_fields(status)
    return OwnReply(
        reason=reason,
        message=message,
        http_status=str(TABLE[reason].http_status),
        details=fields["details"],
        retry_after=None if retry_after is None else str(retry_after),
        grpc_status=str(status.code),
        grpc_message=quote(message, safe=" !\"#$&'()*+,/:;<=>?@[]^`{|}"),
        grpc_details=base64.b64encode(status.SerializeToString()).decode().rstrip("="),
    )


def _without_request(status: status_pb2.Status) -> status_pb2.Status:
    kept = [detail for detail in status.details if not detail.Is(error_details_pb2.RequestInfo.DESCRIPTOR)]
    return status_pb2.Status(code=status.code, message=status.message, details=kept)
