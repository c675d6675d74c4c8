"""Admits only services of the mesh to the rpcs that the contract declares as internal."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.message import Message

from mesh.rpc.access import access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary, metadata_value
from mesh.rpc.interceptors.errors import Undecodable
from mesh.security.call_tokens import CALL_TOKEN_KEY, CallTokenVerifier
from mesh.security.errors import InvalidCredentials
from mesh.security.identities import CALLERS_OF_AGENTS
from mesh.security.tls import peer_identity

Audience = Callable[[Any, str], str]
"""The agent that a request is for, given the request and the agent of its token (for a request that names no agent)."""


class CallTokens(BehaviourInterceptor):
    """Refuses a call to an internal rpc without a call token for this agent and this execution, and uses the token up.

    Every such request carries `execution_id`. With `mutual_tls`, the caller's certificate must belong to a service that may call
    agents, and the token must have been minted by that service.
    """

    def __init__(self, verifier: CallTokenVerifier, audience: Audience, *, mutual_tls: bool = False) -> None:
        super().__init__()
        self._verifier = verifier
        self._audience = audience
        self._mutual_tls = mutual_tls

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        if not access_of(method).mesh:
            return behaviour

        async def admitted(request: Any, context: Context) -> Message:
            self._admit(request, context)
            return await behaviour(request, context)

        return admitted

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        if not access_of(method).mesh:
            return behaviour

        async def admitted(request: Any, context: Context) -> AsyncIterator[Message]:
            self._admit(request, context)
            async for message in behaviour(request, context):
                yield message

        return admitted

    def _admit(self, request: Any, context: Context) -> None:
        peer = _calling_service(context) if self._mutual_tls else None
        claims = self._verifier.read(metadata_value(context, CALL_TOKEN_KEY))
        if peer is not None and claims.issuer != peer:
            raise InvalidCredentials(
                f"the call token was minted by {claims.issuer}, but the certificate is that of {peer}; they must be the same service"
            )
        if isinstance(request, Undecodable):
            return  # it names no agent; the validation refuses it
        self._verifier.use(claims, agent_id=self._audience(request, claims.agent_id), execution_id=request.execution_id)


def _calling_service(context: Context) -> str:
    identity = peer_identity(context)
    if identity not in CALLERS_OF_AGENTS:
        raise InvalidCredentials(
            f"the client certificate is that of {identity or 'an unknown service'}; only orchestrator and worker may call agents"
        )
    return identity
