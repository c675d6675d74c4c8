"""The error boundary: every exception of a service leaves it as a documented status."""

from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import grpc
import structlog
from agentmesh.common.v1 import stream_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from mesh import correlation
from mesh.errors import MeshError, NotImplementedHere, Violation
from mesh.rpc.access import RpcKind, access_of
from mesh.rpc.envelope import envelope_trailers, error_event
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary, metadata_value
from mesh.rpc.requests.answers import check_size
from mesh.rpc.requests.undecodable import why_undecodable
from mesh.rpc.status import TABLE, status_of, summary, trailing_details
from mesh.tracing import spans

log = structlog.get_logger()
TRANSCODED_KEY = "x-envoy-original-path"
"""Metadata by which Envoy marks a call that came over REST."""


class Undecodable:
    """Takes the place of a request that cannot be decoded; the text of a deserialiser's exception would leak as UNKNOWN.

    The validation refuses it. No interceptor before it reads requests, so a caller without permission learns nothing.
    """

    def __init__(self, data: bytes, message: Descriptor | None) -> None:
        self._data = data
        self._message = message

    def reason(self) -> Violation | None:
        """The field that cannot be read, if it can be told."""
        return None if self._message is None else why_undecodable(self._data, self._message)


class ErrorBoundary(BehaviourInterceptor):
    """Converts exceptions to statuses by the error table.

    A stream that fails after its first message sends the error as an `error` event first: over REST the status is only in the
    trailers, which clients of Server-Sent Events do not see. By contract, every streamed message has `sequence` and `error`.
    """

    def deserializer(self, handler: Any) -> Callable[[bytes], Any]:
        """Decodes a request, or returns Undecodable."""
        decode = handler.request_deserializer
        message = getattr(getattr(decode, "__self__", None), "DESCRIPTOR", None)

        def read(data: bytes) -> Any:
            try:
                return decode(data)
            except DecodeError:
                return Undecodable(data, message)

        return read

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Aborts the call with the status of its exception."""
        limited = _limits_answers(method)

        async def bounded(request: Any, context: Context) -> Message:
            try:
                answer = await behaviour(request, context)
                if limited:
                    check_size(request, answer)
                return answer
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - this is the boundary: anything unknown becomes INTERNAL
                await _abort(context, _known(error, method))

        return bounded

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """The same for a stream, after an `error` event if a message was sent."""

        async def bounded(request: Any, context: Context) -> AsyncIterator[Message]:
            last: Any = None
            try:
                async for message in behaviour(request, context):
                    last = message
                    yield message
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                known = _known(error, method)
                if last is not None:
                    event = error_event(status_of(known, correlation.current()))
                    yield type(last)(sequence=_next_sequence(last), error=event)
                await _abort(context, known)

        return bounded


def _limits_answers(method: str) -> bool:
    """Whether clients with gRPC's default limit must be able to receive the answer.

    The mesh's own clients accept more. An agent's answer has been paid for, and is returned without its text instead.
    """
    try:
        access = access_of(method)
    except LookupError:  # a method that the contract does not have
        return False
    return not access.mesh and access.kind is not RpcKind.AGENT_CALL


def _next_sequence(last: Any) -> int:
    """The sequence of the `error` event: a cursor stays, a counter increases."""
    is_cursor = last.DESCRIPTOR.fields_by_name["sequence"].GetOptions().Extensions[stream_pb2.cursor]
    return int(last.sequence) if is_cursor else int(last.sequence) + 1


def _known(error: Exception, method: str) -> MeshError:
    if isinstance(error, MeshError):
        return error
    if isinstance(error, NotImplementedError):  # raised by generated servicers for rpcs without an implementation
        return NotImplementedHere(
            "this server does not implement the rpc, which is part of the contract; use a version of the platform that does"
        )
    log.error("unexpected_error", rpc=method, exc_info=error)
    return MeshError("internal error; report it with the request id")


async def _abort(context: Context, error: MeshError) -> NoReturn:
    if (span := spans.current()) is not None:
        span.fail_with(error)
    status = status_of(error, correlation.current())
    trailers: list[tuple[str, str | bytes]] = [trailing_details(status), (correlation.REQUEST_ID_KEY, correlation.current())]
    if metadata_value(context, TRANSCODED_KEY) is not None:
        trailers += envelope_trailers(status)
    await context.abort(TABLE[error.reason].code, summary(status), trailing_metadata=tuple(trailers))
