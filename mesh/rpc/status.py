"""Converts errors to google.rpc.Status and back, by the error table.

The table is the options of the enum ErrorReason; docs/errors.md and the OpenAPI document are generated from the same rows.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeVar

import grpc
from agentmesh.common.v1 import error_reason_pb2
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from mesh import correlation
from mesh.errors import MeshError, RemoteError, Violation

DOMAIN = "agentmesh"
DETAILS_BYTES = 6 * 1024
"""gRPC clients refuse more than 8 KiB of metadata, which also hold the message and the ids."""
M = TypeVar("M", bound=Message)
_MESSAGE_BYTES = 1000
_METADATA_BYTES = 3 * 1024
_TEXT_BYTES = 500
_PACKING_BYTES = 250
"""Room for type names and lengths, and for the counts of omitted details."""
_DETAILS_OMITTED = "details_omitted"
_TRACE_ID = "trace_id"
"""The detail that every error has while tracing is on. It names the trace of the call that returns the error, so it is not passed on."""
_VIOLATIONS_OMITTED = "field_violations_omitted"
_LONGEST_WAIT_SECONDS = 24 * 60 * 60
_DETAILS_KEY = "grpc-status-details-bin"
_SENT_AS_IT_IS = re.compile(r"[ -$&-~]*")
"""Characters that gRPC sends unescaped in the text of a status; every other byte takes three."""
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """The row of one reason."""

    reason: str
    code: grpc.StatusCode
    http_status: int
    retryable: bool

    @property
    def wants_retry_after(self) -> bool:
        """Whether responses always say when to retry (429 and 503)."""
        return self.http_status in (429, 503)


def _rows() -> dict[str, ErrorRow]:
    rows = {}
    for value in error_reason_pb2.ErrorReason.DESCRIPTOR.values[1:]:
        options = value.GetOptions().Extensions[error_reason_pb2.error]
        reason = value.name.removeprefix("ERROR_REASON_")
        rows[reason] = ErrorRow(reason, _CODES[options.grpc_code], options.http_status, options.retryable)
    return rows


TABLE: Mapping[str, ErrorRow] = _rows()
"""Every reason, with its gRPC code, HTTP status and whether a retry can help."""


def retryable(error: MeshError) -> bool:
    """Whether sending the same call again can succeed, according to the error or else to the table."""
    return TABLE[error.reason].retryable if error.retryable is None else error.retryable


def status_of(error: MeshError, request_id: str) -> status_pb2.Status:
    """The status for an error: with ErrorInfo, RequestInfo and, where they apply, BadRequest and RetryInfo.

    Long texts are cut, and details that do not fit into DETAILS_BYTES are omitted and counted in the metadata `details_omitted` and
    `field_violations_omitted`.
    """
    row = TABLE[error.reason]
    status = status_pb2.Status(code=row.code.value[0], message=_cut(error.message, _MESSAGE_BYTES))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_metadata(error, row))
    wait = error.retry_after_seconds if error.retry_after_seconds is not None else (1 if row.wants_retry_after else None)
    if wait is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromSeconds(ceil(max(1, min(wait, _LONGEST_WAIT_SECONDS))))
        _pack(status, retry)
    _pack(status, error_details_pb2.RequestInfo(request_id=request_id))
    if error.violations:
        room = DETAILS_BYTES - status.ByteSize() - info.ByteSize() - _PACKING_BYTES
        bad, omitted = _fitting(error.violations, room)
        _pack(status, bad)
        if omitted := omitted + _count(error.details.get(_VIOLATIONS_OMITTED)):
            info.metadata[_VIOLATIONS_OMITTED] = str(omitted)
    _pack(status, info)
    return status


def error_of(failure: grpc.RpcError) -> RemoteError | None:
    """The error that a service of the mesh returned; None for a status of gRPC itself, such as a lost connection."""
    metadata: Any = failure.trailing_metadata() or ()
    raw = dict(metadata).get(_DETAILS_KEY)
    try:
        return _error_in(status_pb2.Status.FromString(raw)) if isinstance(raw, bytes) else None
    except DecodeError:
        return None


def _error_in(status: status_pb2.Status) -> RemoteError | None:
    info = find(status, error_details_pb2.ErrorInfo())
    if info is None or info.domain != DOMAIN or info.reason not in TABLE:
        return None
    bad = find(status, error_details_pb2.BadRequest())
    retry = find(status, error_details_pb2.RetryInfo())
    metadata = dict(info.metadata)
    retry_helps = metadata.pop("retryable", None)
    metadata.pop(_TRACE_ID, None)
    return RemoteError(
        info.reason,
        status.message,
        violations=[Violation(v.field, v.description) for v in bad.field_violations] if bad else (),
        retry_after_seconds=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
        retryable=None if retry_helps is None else retry_helps == "true",
        details=metadata,
    )


def trailing_details(status: status_pb2.Status) -> tuple[str, bytes]:
    """The trailer that carries a status."""
    return _DETAILS_KEY, status.SerializeToString()


def summary(status: status_pb2.Status) -> str:
    """The message in one line, short enough to fit into the metadata beside the details."""
    line = " ".join(status.message.splitlines())
    return line if _SENT_AS_IT_IS.fullmatch(line) else _cut(line, _MESSAGE_BYTES // 3)


def find(status: status_pb2.Status, empty: M) -> M | None:
    """The detail with the type of `empty`, unpacked into it; None if the status has none."""
    return next((empty for detail in status.details if detail.Unpack(empty)), None)


def _metadata(error: MeshError, row: ErrorRow) -> dict[str, str]:
    metadata = {}
    if row.retryable or error.retryable is not None:
        metadata["retryable"] = "true" if retryable(error) else "false"
    if trace_id := correlation.trace_id():
        metadata[_TRACE_ID] = trace_id
    room, omitted = _METADATA_BYTES, _count(error.details.get(_DETAILS_OMITTED))
    for key, value in sorted(error.details.items(), key=lambda detail: len(detail[1])):  # numbers and ids before long texts
        if key in (_DETAILS_OMITTED, _VIOLATIONS_OMITTED):  # counts of an error that is passed on
            continue
        text = _cut(value, _TEXT_BYTES)
        room -= len(key.encode()) + len(text.encode()) + 10
        if room >= 0:
            metadata[key] = text
        else:
            omitted += 1
    return metadata | ({_DETAILS_OMITTED: str(omitted)} if omitted else {})


def _count(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _pack(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _fitting(violations: tuple[Violation, ...], room: int) -> tuple[error_details_pb2.BadRequest, int]:
    bad = error_details_pb2.BadRequest()
    for shown, violation in enumerate(violations):
        bad.field_violations.add(field=_cut(violation.field, _TEXT_BYTES), description=_cut(violation.description, _TEXT_BYTES))
        if bad.ByteSize() > room:
            del bad.field_violations[-1]
            return bad, len(violations) - shown
    return bad, 0


def _cut(text: str, most_bytes: int) -> str:
    """The text without lone surrogates, which protobuf refuses, cut to `most_bytes`."""
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")
