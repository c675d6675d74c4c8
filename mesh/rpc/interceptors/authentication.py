"""Finds out who calls."""

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message

from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary
from mesh.security import caller
from mesh.security.caller import Caller

ANYBODY = Caller(0, "anybody")


class Authentication(BehaviourInterceptor):
    """Takes every caller for the same user, until there are users."""

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Adopts the caller."""

        async def authenticated(request: Any, context: Context) -> Message:
            caller.adopt(ANYBODY)
            return await behaviour(request, context)

        return authenticated

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """Adopts the caller."""

        async def authenticated(request: Any, context: Context) -> AsyncIterator[Message]:
            caller.adopt(ANYBODY)
            async for message in behaviour(request, context):
                yield message

        return authenticated
