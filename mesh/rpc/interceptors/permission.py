"""Asks whether the caller may make this call at all, before anything is read from the request."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from google.protobuf.message import Message

from mesh.rpc.access import RpcKind, access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary
from mesh.security import caller
from mesh.security.caller import Caller, Scope


class Permissions(Protocol):
    """Decides by scope; what a call touches is for its service to ask about."""

    async def permit(self, who: Caller, scope: Scope, method: str) -> None:
        """Returns when the caller may call the method, which wants `scope`. Raises POLICY_DENIED when not."""
        ...


class Permission(BehaviourInterceptor):
    """Refuses what the caller's role or credential does not allow.

    Open rpcs pass, those inside the mesh, and those that have an agent work: the policy is asked about these once, by their service, which
    knows the agent. A question costs as much as everything else on the way in.
    """

    def __init__(self, permissions: Permissions) -> None:
        super().__init__()
        self._permissions = permissions

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Asks, then calls."""
        scope = _scope_to_ask_for(method)
        if scope is None:
            return behaviour

        async def permitted(request: Any, context: Context) -> Message:
            await self._permissions.permit(caller.current(), scope, method)
            return await behaviour(request, context)

        return permitted

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """Asks, then streams."""
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
