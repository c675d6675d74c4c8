"""Asks the policy whether the caller may call an rpc, before the request is read."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from google.protobuf.message import Message

from mesh.rpc.access import RpcKind, access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary
from mesh.security import caller
from mesh.security.caller import Caller, Scope


class Permissions(Protocol):
    """Decides by scope. Services ask about the objects that a call touches."""

    async def permit(self, who: Caller, scope: Scope, method: str) -> None:
        """Returns if the caller may call the method, which needs `scope`. Raises POLICY_DENIED otherwise."""
        ...


class Permission(BehaviourInterceptor):
    """Refuses calls that the caller's role or credential does not allow.

    Open and internal rpcs pass, and so do calls to agents: their service asks the policy, because it knows the agent, and asking
    twice would cost as much as all other interceptors together.
    """

    def __init__(self, permissions: Permissions) -> None:
        super().__init__()
        self._permissions = permissions

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        scope = _scope_to_ask_for(method)
        if scope is None:
            return behaviour

        async def permitted(request: Any, context: Context) -> Message:
            await self._permissions.permit(caller.current(), scope, method)
            return await behaviour(request, context)

        return permitted

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        scope = _scope_to_ask_for(method)
        if scope is None:
            return behaviour

        async def permitted(request: Any, context: Context) -> AsyncIterator[Message]:
            await self._permissions.permit(caller.current(), scope, method)
            async for message in behaviour(request, context):
                yield message

        return permitted


def _scope_to_ask_for(method: str) -> Scope | None:
    access = access_of(method)
    return None if access.kind is RpcKind.AGENT_CALL else access.scope
