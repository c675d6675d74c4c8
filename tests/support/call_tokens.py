"""Call tokens for tests that call agents directly, signed as the orchestrator signs them."""

from typing import Any

import grpc

from mesh.security import keys
from mesh.security.call_tokens import CALL_TOKEN_KEY, CallTokenSigner
from mesh.security.identities import ORCHESTRATOR

PRIVATE_KEY, PUBLIC_KEY = keys.make_pair()
"""The key pair of every mesh whose processes the tests start one by one."""
SIGNER = CallTokenSigner(keys.read_private(PRIVATE_KEY), ORCHESTRATOR)
USER_ID = 7


def call_token(
    agent_id: str, execution_id: str = "", signer: CallTokenSigner = SIGNER, host_start: str | None = None
) -> tuple[tuple[str, str], ...]:
    """The metadata that admits one call. Without `host_start`, it is a token of the previous release."""
    return ((CALL_TOKEN_KEY, signer.mint(agent_id=agent_id, user_id=USER_ID, execution_id=execution_id, host_start=host_start)),)


class _AddToken:
    """Adds a call token to each call that has none. `default_agent` is the audience if the request names no agent."""

    def __init__(self, default_agent: str) -> None:
        self._default_agent = default_agent

    def _admitted(self, details: Any, request: Any) -> Any:
        metadata = details.metadata or grpc.aio.Metadata()
        if hasattr(request, "execution_id") and metadata.get(CALL_TOKEN_KEY) is None:
            for key, value in call_token(getattr(request, "agent_id", "") or self._default_agent, request.execution_id):
                metadata.add(key, value)
        return details._replace(metadata=metadata)


class _AddTokenToUnary(_AddToken, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._admitted(client_call_details, request), request)


class _AddTokenToStream(_AddToken, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._admitted(client_call_details, request), request)


def call_token_interceptors(default_agent: str) -> list[grpc.aio.ClientInterceptor]:
    """Client interceptors with which a test calls agents as the orchestrator does."""
    return [_AddTokenToUnary(default_agent), _AddTokenToStream(default_agent)]
