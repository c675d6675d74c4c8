"""Checks every request against the rules in its proto, and reports all violations at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import protovalidate
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from mesh.errors import ValidationFailed, Violation
from mesh.limits.limiter import REFUSED, CallerKind
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary
from mesh.rpc.interceptors.errors import Undecodable
from mesh.rpc.requests import request_limits
from mesh.rpc.requests.request_limits import RequestLimits, RequestTooLarge
from mesh.security import caller

LARGE_REQUEST_BYTES = 16 * 1024
"""After each check of a request of this size, other calls get their turn on the event loop."""


class RequestValidation(BehaviourInterceptor):
    """Refuses a request that breaks a rule of its proto, or exceeds a limit on its shape, with VALIDATION_ERROR.

    The service never sees such a request.
    """

    def __init__(self, limits: RequestLimits) -> None:
        super().__init__()
        self._limits = limits
        self._small = min(LARGE_REQUEST_BYTES, limits.smallest_over_nodes)

    def deserializer(self, handler: Any) -> Callable[[bytes], Any]:
        """Checks the size of a request before it is parsed."""
        decode, limits = handler.request_deserializer, self._limits
        kind: Descriptor = decode.__self__.DESCRIPTOR  # of the message class, whose FromString it is

        def read(data: bytes) -> Any:
            try:
                if len(data) > request_limits.SMALL_REQUEST_BYTES:
                    request_limits.check_bytes(data, kind, limits)
                return decode(data)
            except RequestTooLarge as error:
                return error  # refused where any other request is validated: after the checks of the caller
            except DecodeError:
                return Undecodable(data, kind)

        return read

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        async def checked(request: Any, context: Context) -> Message:
            if self._is_small(request):
                check(request)
            else:
                await self._check(request)
            return await behaviour(request, context)

        return checked

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        async def checked(request: Any, context: Context) -> AsyncIterator[Message]:
            if self._is_small(request):
                check(request)
            else:
                await self._check(request)
            async for message in behaviour(request, context):
                yield message

        return checked

    def _is_small(self, request: Any) -> bool:
        """Whether the request is a message so small that checking it is cheap."""
        return not isinstance(request, RequestTooLarge | Undecodable) and request.ByteSize() < self._small

    async def _check(self, request: Any) -> None:
        try:
            if isinstance(request, RequestTooLarge):
                raise request
            if isinstance(request, Message) and request.ByteSize() >= self._limits.smallest_over_nodes:
                for _ in request_limits.check_nodes(request, self._limits):
                    await asyncio.sleep(0)
        except RequestTooLarge as error:
            REFUSED.labels(error.limit, _caller_kind()).inc()
            raise error.refusal() from None
        check(request)
        await asyncio.sleep(0)


def check(request: Message | Undecodable) -> None:
    """Raises ValidationFailed with every violation of the rules in the request's proto."""
    if isinstance(request, Undecodable):
        if (reason := request.reason()) is not None:
            raise ValidationFailed.all([reason])
        raise ValidationFailed("the request bytes are not a message of this rpc; encode it from the published contract")
    violations = [Violation(_path(v), v.proto.message) for v in protovalidate.collect_violations(request)]
    if violations:
        raise ValidationFailed.all(violations)


def _caller_kind() -> CallerKind:
    try:
        return CallerKind.API_KEY if caller.current().api_key_id else CallerKind.USER
    except LookupError:
        return CallerKind.ADDRESS


def _path(violation: protovalidate.Violation) -> str:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += ("." if path else "") + element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path
