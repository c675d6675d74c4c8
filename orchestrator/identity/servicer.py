"""agentmesh.identity.v1.AuthService."""

from typing import Any
from uuid import UUID

import grpc
from agentmesh.identity.v1 import identity_service_pb2 as pb
from agentmesh.identity.v1 import identity_service_pb2_grpc

from mesh import correlation
from mesh.rpc.idempotency import IDEMPOTENCY_KEY, idempotency_key
from mesh.rpc.interceptors.behaviour import metadata_value
from mesh.rpc.peer import Peers
from mesh.security import caller
from orchestrator.identity import convert
from orchestrator.identity.api_keys import ApiKeyService
from orchestrator.identity.model import Origin
from orchestrator.identity.service import IdentityService

Context = grpc.aio.ServicerContext[Any, Any]


class IdentityServicer(identity_service_pb2_grpc.AuthServiceServicer):
    """Users, tokens and API keys."""

    def __init__(self, service: IdentityService, keys: ApiKeyService, peers: Peers) -> None:
        self._service = service
        self._keys = keys
        self._peers = peers

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """A new user."""
        user = await self._service.register(request.username, request.password, self._origin(context))
        return pb.RegisterResponse(user=convert.user(user))

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.LoginResponse:
        """The tokens of a new session."""
        return convert.login_response(await self._service.login(request.username, request.password, self._origin(context)))

    async def RefreshToken(self, request: pb.RefreshTokenRequest, context: Context) -> pb.RefreshTokenResponse:
        """The next tokens of a session."""
        return convert.refresh_response(await self._service.refresh(request.refresh_token, self._origin(context)))

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> pb.LogoutResponse:
        """Ends the session."""
        await self._service.logout(caller.current(), self._origin(context))
        return pb.LogoutResponse()

    async def GetCurrentUser(self, request: pb.GetCurrentUserRequest, context: Context) -> pb.GetCurrentUserResponse:
        """Who calls."""
        who = caller.current()
        return convert.current_user(await self._service.user(who.user_id), who)

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Context) -> pb.CreateApiKeyResponse:
        """A new key, with its secret."""
        who = caller.current()
        key = idempotency_key(request.idempotency_key, metadata_value(context, IDEMPOTENCY_KEY))
        made, secret = await self._keys.create(who, convert.new_api_key(request, who.user_id, key), self._origin(context))
        return pb.CreateApiKeyResponse(api_key=convert.api_key(made), secret=secret)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        """The caller's keys."""
        return pb.ListApiKeysResponse(api_keys=map(convert.api_key, await self._keys.list(caller.current().user_id)))

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Context) -> pb.RevokeApiKeyResponse:
        """Revokes a key."""
        revoked = await self._keys.revoke(caller.current(), UUID(request.api_key_id), self._origin(context))
        return pb.RevokeApiKeyResponse(api_key=convert.api_key(revoked))

    def _origin(self, context: Context) -> Origin:
        return Origin(self._peers.address_of(context), correlation.current())
