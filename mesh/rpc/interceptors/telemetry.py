"""The request id of a call, its span, its log line, and the metrics of the server."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from prometheus_client import Counter, Histogram

from mesh import correlation
from mesh.clock import SYSTEM_CLOCK
from mesh.rpc.access import RpcKind, access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary, metadata_value
from mesh.tracing import names
from mesh.tracing.context import TRACEPARENT
from mesh.tracing.process import tracer
from mesh.tracing.spans import Span, Tracer

log = structlog.get_logger()

HANDLED = Counter("grpc_server_handled_total", "Calls that ended, by status code", ["grpc_method", "grpc_code"])
SECONDS = Histogram(
    "grpc_server_handling_seconds",
    "How long calls took, streams to their end",
    ["grpc_method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
_FAULTS = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
"""The codes that are errors of a server, by the semantic conventions for gRPC."""


class Telemetry(BehaviourInterceptor):
    """Assigns each call its request id, logs and counts how it ended, and traces it if tracing is on.

    The contrib package's interceptor is not used: it keeps the spans of streams that are cancelled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tracer = tracer()

    def around_unary(self, method: str, behaviour: Unary) -> Unary:

        end, traces = _ending(method), self._tracer_of(method)

        async def measured(request: Any, context: Context) -> Message:
            began = _begin(context)
            span = None if traces is None else _serve(traces, method, context)
            code = "CANCELLED"
            try:
                answer = await behaviour(request, context)
                code = "OK"
                return answer
            except grpc.aio.AbortError:
                code = _code(context)
                raise
            finally:
                end(code, began)
                if span is not None:
                    _end(span, code)

        return measured

    def around_stream(self, method: str, behaviour: Stream) -> Stream:

        end, traces = _ending(method), self._tracer_of(method)

        async def measured(request: Any, context: Context) -> AsyncIterator[Message]:
            began = _begin(context)
            span = None if traces is None else _serve(traces, method, context)
            code = "CANCELLED"
            try:
                async for message in behaviour(request, context):
                    yield message
                code = "OK"
            except grpc.aio.AbortError:
                code = _code(context)
                raise
            finally:
                end(code, began)
                if span is not None:
                    _end(span, code)

        return measured

    def _tracer_of(self, method: str) -> Tracer | None:
        """The tracer, for an rpc that is traced: probes would be most of all traces."""
        try:
            return None if access_of(method).kind is RpcKind.PROBE else self._tracer
        except LookupError:  # a method that the contract does not have
            return self._tracer


def _serve(traces: Tracer, method: str, context: Context) -> Span:
    span = traces.serve(method[1:], metadata_value(context, TRACEPARENT))
    span.set(names.RPC_SYSTEM, "grpc")
    span.set(names.RPC_METHOD, method[1:])
    return span


def _end(span: Span, code: str) -> None:
    span.set(names.RPC_STATUS, code)
    if code != "OK":
        span.fail(span.error or code, fault=code in _FAULTS)
    span.end()


def _begin(context: Context) -> float:
    request_id = correlation.adopt(metadata_value(context, correlation.REQUEST_ID_KEY))
    context.set_trailing_metadata(((correlation.REQUEST_ID_KEY, request_id),))
    return SYSTEM_CLOCK.monotonic()


def _code(context: Context) -> str:
    code: Any = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else _CODES.get(code, "UNKNOWN")


def _ending(method: str) -> Callable[[str, float], None]:
    """Returns the function that records the end of a call."""
    taken, succeeded = SECONDS.labels(method), HANDLED.labels(method, "OK")

    def end(code: str, began: float) -> None:
        seconds = SYSTEM_CLOCK.monotonic() - began
        (succeeded if code == "OK" else HANDLED.labels(method, code)).inc()
        taken.observe(seconds)
        log.info("call", rpc=method, code=code, seconds=round(seconds, 6))

    return end
