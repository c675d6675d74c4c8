"""Refuses calls before anything is done for them, if the process cannot begin them in time. The outermost interceptor.

A refusal must cost much less than a call, or the refusals themselves become the overload. This one is prepared in advance and does not
decode the request.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc
from google.protobuf.message import Message

from mesh import correlation
from mesh.errors import ServiceUnavailable
from mesh.limits import admission
from mesh.limits.admission import Admission
from mesh.rpc.access import RpcKind, access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary, metadata_value
from mesh.rpc.interceptors.errors import TRANSCODED_KEY
from mesh.rpc.interceptors.telemetry import HANDLED
from mesh.rpc.refusal import StandingRefusal

Metadata = Iterable[tuple[str, str | bytes]]
OVERLOADED, OVERLOADED_KNOWN = ("x-mesh-overloaded", "1"), ("x-mesh-overloaded", "known")
"""The trailer by which the gateway recognises these refusals, so that it can answer most of the following calls itself."""


class AdmissionControl(BehaviourInterceptor):
    """Answers SERVICE_UNAVAILABLE while too many calls wait to begin. Never refuses probes, health checks and reflection."""

    def __init__(self, control: Admission, component: str, is_known: Callable[[Metadata], bool] = lambda _: False) -> None:
        """`is_known` tells from the metadata of a call whether its credential was accepted lately; asked only in an overload."""
        super().__init__()
        self._control = control
        self._is_known = is_known
        error = ServiceUnavailable(
            "the platform is overloaded and did not start this call; try again", component=component, cause="overloaded"
        )
        self._refusals = {known: StandingRefusal(error, mark) for known, mark in ((False, OVERLOADED), (True, OVERLOADED_KNOWN))}
        self._refusing: dict[str, Any] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = str(handler_call_details.method)
        refusing = self._refusing.get(method, self)
        if refusing is self:
            refusing = self._refusing[method] = self._refusing_handlers(method)
        if refusing is not None and not self._control.admits():
            known = self._is_known(handler_call_details.invocation_metadata or ())
            if not (known and self._control.admits_known()):
                return refusing[known]
        return await super().intercept_service(continuation, handler_call_details)

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Counts the call until it has begun, except logins: they wait for a password hash by design."""
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
        """Counts an agent's stream until it has begun. Other streams watch something and stay open for hours."""
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

    def _refusing_handlers(self, method: str) -> Any:
        """The handlers that answer instead of the rpc, for unknown and known callers; None if the rpc is never refused."""
        try:
            if access_of(method).kind is RpcKind.PROBE:
                return None
        except LookupError:  # an rpc of gRPC itself
            return None
        return {known: _refusing_handler(method, refusal) for known, refusal in self._refusals.items()}


def _refusing_handler(method: str, refusal: StandingRefusal) -> Any:
    handled = HANDLED.labels(method, refusal.code.name)

    async def refuse(request: Any, context: Context) -> None:
        handled.inc()
        request_id = correlation.adopt(metadata_value(context, correlation.REQUEST_ID_KEY))
        transcoded = metadata_value(context, TRANSCODED_KEY) is not None
        trailers = refusal.trailers(request_id, transcoded=transcoded)
        await context.abort(refusal.code, refusal.message, trailing_metadata=trailers)

    return grpc.unary_unary_rpc_method_handler(refuse)
