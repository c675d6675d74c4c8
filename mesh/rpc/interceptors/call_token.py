"""Lets only the platform itself into the rpcs that the contract keeps for the mesh."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.message import Message

from mesh.rpc.access import access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary, metadata_value
from mesh.security.call_tokens import CALL_TOKEN_KEY, CallTokenVerifier

Audience = Callable[[Any, str], str]
"""Which agent a request is for; told the agent of its token too, for a request that names none. May raise as the service would."""


class CallTokens(BehaviourInterceptor):
    """Refuses a call to an rpc of `mesh` access without a call token for this agent and this execution; uses the token up.

    Every such request carries `execution_id`.
    """

    def __init__(self, verifier: CallTokenVerifier, audience: Audience) -> None:
        super().__init__()
        self._verifier = verifier
        self._audience = audience

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Checks, then calls."""
        if not access_of(method).mesh:
            return behaviour

        async def admitted(request: Any, context: Context) -> Message:
            self._admit(request, context)
            return await behaviour(request, context)

        return admitted

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """Checks, then streams."""
        if not access_of(method).mesh:
            return behaviour

        async def admitted(request: Any, context: Context) -> AsyncIterator[Message]:
            self._admit(request, context)
            async for message in behaviour(request, context):
                yield message

        return admitted

    def _admit(self, request: Any, context: Context) -> None:
        claims = self._verifier.read(metadata_value(context, CALL_TOKEN_KEY))
        self._verifier.use(claims, agent_id=self._audience(request, claims.agent_id), execution_id=request.execution_id)
