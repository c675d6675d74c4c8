"""The base of the interceptors: wraps the handler of a unary or server-streaming rpc.

Every rpc of the platform takes one request. gRPC's own services (health, reflection) are not wrapped.
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
"""The metadata of this task's call, kept because gRPC builds it again each time it is read."""


class BehaviourInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the behaviour of each of the platform's rpcs with `around_unary` or `around_stream`, once per handler."""

    def __init__(self) -> None:
        self._wrapped: dict[Any, Any] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
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
        """The function that decodes requests; the handler's own unless overridden."""
        return handler.request_deserializer  # type: ignore[no-any-return]

    @abstractmethod
    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """The behaviour of a unary rpc, wrapped."""

    @abstractmethod
    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """The behaviour of a server-streaming rpc, wrapped."""


class OncePerMethod(grpc.aio.ServerInterceptor):
    """Caches the handler of each method. Otherwise gRPC asks all following interceptors again for every call.

    Use it for one server, and place it before the interceptors whose handler depends only on the method.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
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
