"""Checks every request against the rules in its proto, and reports all violations at once."""

from collections.abc import AsyncIterator
from typing import Any

import protovalidate
from google.protobuf.message import Message

from mesh.errors import ValidationFailed, Violation
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary
from mesh.rpc.interceptors.errors import Undecodable


class RequestValidation(BehaviourInterceptor):
    """Refuses a request that breaks a protovalidate rule with VALIDATION_ERROR before the service sees it."""

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Checks, then calls."""

        async def checked(request: Any, context: Context) -> Message:
            check(request)
            return await behaviour(request, context)

        return checked

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """Checks, then streams."""

        async def checked(request: Any, context: Context) -> AsyncIterator[Message]:
            check(request)
            async for message in behaviour(request, context):
                yield message

        return checked


def check(request: Message | Undecodable) -> None:
    """Raises ValidationFailed with every violation of the rules in the request's proto."""
    if isinstance(request, Undecodable):
        raise ValidationFailed("the request bytes are not a message of this rpc; encode it from the published contract")
    violations = [Violation(_path(v), v.proto.message) for v in protovalidate.collect_violations(request)]
    if violations:
        raise ValidationFailed.all(violations)


def _path(violation: protovalidate.Violation) -> str:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += ("." if path else "") + element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path
