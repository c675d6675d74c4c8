"""Turns calls away when the process is at its limit, before anything is done for them. The outermost interceptor.

A refusal must cost much less than a call, or the refusals themselves are the overload: this one is made beforehand, and does not decode
the request.
"""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import Message

from mesh import admission, correlation
from mesh.admission import Admission
from mesh.errors import ServiceUnavailable
from mesh.rpc.access import RpcKind, access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary, metadata_value
from mesh.rpc.interceptors.errors import TRANSCODED_KEY
from mesh.rpc.interceptors.telemetry import HANDLED
from mesh.rpc.refusal import StandingRefusal

OVERLOADED = ("x-mesh-overloaded", "1")
"""By which the gateway knows these refusals, and makes most of them itself."""


class AdmissionControl(BehaviourInterceptor):
    """Answers SERVICE_UNAVAILABLE while too many calls wait to begin. Probes, health and reflection are always let in."""

    def __init__(self, control: Admission, component: str) -> None:
        super().__init__()
        self._control = control
        message = "the platform is overloaded and did not start this call; try again"
        self._refusal = StandingRefusal(ServiceUnavailable(message, component=component, cause="overloaded"), OVERLOADED)
        self._refusing: dict[str, Any] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Called by gRPC for each call."""
        method = str(handler_call_details.method)
        refusing = self._refusing.get(method, self)
        if refusing is self:
            refusing = self._refusing[method] = self._refusing_handler(method)
        if refusing is not None and not self._control.admits():
            return refusing
        return await super().intercept_service(continuation, handler_call_details)

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Counts the call until it has begun. How long a login takes says nothing: it waits for a hash, on purpose."""
        if access_of(method).kind in (RpcKind.LOGIN, RpcKind.PROBE):
            return behaviour

        async def admitted(request: Any, context: Context) -> Message:
            slot = self._control.enter()
            admission.adopt(slot)
            try:
                return await behaviour(request, context)
            finally:
                slot.begun()

        return admitted

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """Counts a stream of an agent's until it has begun; others watch something, and are there for hours."""
        if access_of(method).kind is not RpcKind.AGENT_CALL:
            return behaviour

        async def admitted(request: Any, context: Context) -> AsyncIterator[Message]:
            slot = self._control.enter()
            admission.adopt(slot)
            try:
                async for message in behaviour(request, context):
                    yield message
            finally:
                slot.begun()

        return admitted

    def _refusing_handler(self, method: str) -> Any:
        """What answers instead of the rpc; None for what is never refused."""
        try:
            if access_of(method).kind is RpcKind.PROBE:
                return None
        except LookupError:  # not ours
            return None
        handled = HANDLED.labels(method, self._refusal.code.name)

        async def refuse(request: Any, context: Context) -> None:
            handled.inc()
            request_id = correlation.adopt(metadata_value(context, correlation.REQUEST_ID_KEY))
            transcoded = metadata_value(context, TRANSCODED_KEY) is not None
            trailers = self._refusal.trailers(request_id, transcoded=transcoded)
            await context.abort(self._refusal.code, self._refusal.message, trailing_metadata=trailers)

        return grpc.unary_unary_rpc_method_handler(refuse)
