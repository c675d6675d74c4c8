"""What the interceptors have in common: wrapping the handler of a unary or server-streaming rpc.

Every rpc of ours takes one request. gRPC's own services (health, reflection) pass through untouched.
"""

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any

import grpc
from google.protobuf.message import Message

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Any, Context], Awaitable[Message]]
Stream = Callable[[Any, Context], AsyncIterator[Message]]
_metadata: ContextVar[tuple[Context | None, dict[str, list[str]]]] = ContextVar("metadata", default=(None, {}))
"""What came with the call of this task. gRPC makes all of it anew whenever it is asked."""


class BehaviourInterceptor(grpc.aio.ServerInterceptor):
    """Wraps each of our rpcs' behaviour by `around_unary` or `around_stream`, once for each handler."""

    def __init__(self) -> None:
        self._wrapped: dict[Any, Any] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Called by gRPC for each call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        wrapped = self._wrapped.get(handler)
        if wrapped is None:
            wrapped = self._wrapped[handler] = self._wrap(str(handler_call_details.method), handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Any:
        if not method.startswith("/agentmesh."):
            return handler
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self.around_stream(method, handler.unary_stream), self.deserializer(handler), handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self.around_unary(method, handler.unary_unary), self.deserializer(handler), handler.response_serializer
        )

    def deserializer(self, handler: Any) -> Callable[[bytes], Any]:
        """How request bytes are read; the handler's own way unless overridden."""
        return handler.request_deserializer  # type: ignore[no-any-return]

    @abstractmethod
    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """The behaviour of a unary rpc, wrapped."""

    @abstractmethod
    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """The behaviour of a server-streaming rpc, wrapped."""


class OncePerMethod(grpc.aio.ServerInterceptor):
    """Finds the handler of each method once; gRPC would go through all interceptors that follow for every call.

    For one server, before the interceptors whose answer depends on the method alone.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Called by gRPC for each call."""
        method = str(handler_call_details.method)
        handler = self._handlers.get(method)
        if handler is None and (handler := await continuation(handler_call_details)) is not None:
            self._handlers[method] = handler
        return handler


def metadata_value(context: Context, key: str) -> str | None:
    """The first value that the caller sent under `key`, or None."""
    values = metadata_values(context, key)
    return values[0] if values else None


def metadata_values(context: Context, key: str) -> Sequence[str]:
    """All values that the caller sent under `key`."""
    of, metadata = _metadata.get()
    if of is not context:
        metadata = {}
        for name, value in context.invocation_metadata() or ():
            metadata.setdefault(name, []).append(value if isinstance(value, str) else value.decode("latin-1"))
        _metadata.set((context, metadata))
    return metadata.get(key, ())
