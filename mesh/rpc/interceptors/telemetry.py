"""The request id of a call, its log line, and the metrics of the server."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from prometheus_client import Counter, Histogram

from mesh import correlation
from mesh.clock import SYSTEM_CLOCK
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary, metadata_value

log = structlog.get_logger()

HANDLED = Counter("grpc_server_handled_total", "Calls that ended, by status code", ["grpc_method", "grpc_code"])
SECONDS = Histogram(
    "grpc_server_handling_seconds",
    "How long calls took, streams to their end",
    ["grpc_method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class Telemetry(BehaviourInterceptor):
    """Assigns each call its request id, and logs and counts how it ended."""

    def around_unary(self, method: str, behaviour: Unary) -> Unary:

        end = _ending(method)

        async def measured(request: Any, context: Context) -> Message:
            began = _begin(context)
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

        return measured

    def around_stream(self, method: str, behaviour: Stream) -> Stream:

        end = _ending(method)

        async def measured(request: Any, context: Context) -> AsyncIterator[Message]:
            began = _begin(context)
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

        return measured


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
