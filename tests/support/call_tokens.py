"""Call tokens as the orchestrator mints them, for tests that call agents themselves."""

from typing import Any

import grpc

from mesh.security import keys
from mesh.security.call_tokens import CALL_TOKEN_KEY, CallTokenSigner
from mesh.security.identities import ORCHESTRATOR

PRIVATE_KEY, PUBLIC_KEY = keys.make_pair()
"""The keys of every mesh that tests start process by process."""
SIGNER = CallTokenSigner(keys.read_private(PRIVATE_KEY), ORCHESTRATOR)
USER_ID = 7


def call_token(
    agent_id: str, execution_id: str = "", signer: CallTokenSigner = SIGNER, host_start: str | None = None
) -> tuple[tuple[str, str], ...]:
    """The metadata that lets one call in. Without `host_start` it is a token of the previous release."""
    return ((CALL_TOKEN_KEY, signer.mint(agent_id=agent_id, user_id=USER_ID, execution_id=execution_id, host_start=host_start)),)


class _Minting:
    """Gives each call to an agent a token, unless the test gave one. `resident` is who is meant where the request names nobody."""

    def __init__(self, resident: str) -> None:
        self._resident = resident

    def _admitted(self, details: Any, request: Any) -> Any:
        metadata = details.metadata or grpc.aio.Metadata()
        if hasattr(request, "execution_id") and metadata.get(CALL_TOKEN_KEY) is None:
            for key, value in call_token(getattr(request, "agent_id", "") or self._resident, request.execution_id):
                metadata.add(key, value)
        return details._replace(metadata=metadata)


class _MintingUnary(_Minting, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._admitted(client_call_details, request), request)


class _MintingStream(_Minting, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._admitted(client_call_details, request), request)


def minting(resident: str) -> list[grpc.aio.ClientInterceptor]:
    """Interceptors of a channel by which a test calls agents as the orchestrator does."""
    return [_MintingUnary(resident), _MintingStream(resident)]
