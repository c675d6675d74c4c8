"""agentmesh.identity.v1.AuthService."""

from typing import Any
from uuid import UUID

import grpc
from agentmesh.identity.v1 import identity_service_pb2 as pb
from agentmesh.identity.v1 import identity_service_pb2_grpc

from mesh import correlation
from mesh.rpc.interceptors.behaviour import metadata_value
from mesh.rpc.peer import Peers
from mesh.rpc.requests.idempotency import IDEMPOTENCY_KEY, idempotency_key
from mesh.rpc.requests.paging import page_size, read_number_token, read_page_token
from mesh.security import caller
from orchestrator.identity import convert
from orchestrator.identity.api_keys import ApiKeyService
from orchestrator.identity.model import Origin
from orchestrator.identity.open_sessions import SessionService
from orchestrator.identity.service import IdentityService
from orchestrator.identity.users import UserService

Context = grpc.aio.ServicerContext[Any, Any]


class IdentityServicer(identity_service_pb2_grpc.AuthServiceServicer):
    """Decodes requests, calls the services of identity, encodes responses."""

    def __init__(self, service: IdentityService, keys: ApiKeyService, sessions: SessionService, users: UserService, peers: Peers) -> None:
        self._service = service
        self._keys = keys
        self._sessions = sessions
        self._users = users
        self._peers = peers

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        user = await self._service.register(request.username, request.password, self._origin(context))
        return pb.RegisterResponse(user=convert.user(user))

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.LoginResponse:
        return convert.login_response(await self._service.login(request.username, request.password, self._origin(context)))

    async def RefreshToken(self, request: pb.RefreshTokenRequest, context: Context) -> pb.RefreshTokenResponse:
        return convert.refresh_response(await self._service.refresh(request.refresh_token, self._origin(context)))

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> pb.LogoutResponse:
        await self._service.logout(caller.current(), self._origin(context))
        return pb.LogoutResponse()

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Context) -> pb.ChangePasswordResponse:
        passwords = request.current_password, request.new_password
        ended = await self._service.change_password(caller.current(), *passwords, self._origin(context))
        return pb.ChangePasswordResponse(ended_sessions=ended)

    async def GetCurrentUser(self, request: pb.GetCurrentUserRequest, context: Context) -> pb.GetCurrentUserResponse:
        who = caller.current()
        return convert.current_user(await self._service.user(who.user_id), who)

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Context) -> pb.CreateApiKeyResponse:
        who = caller.current()
        key = idempotency_key(request.idempotency_key, metadata_value(context, IDEMPOTENCY_KEY))
        made, secret = await self._keys.create(who, convert.new_api_key(request, who, key), self._origin(context))
        return pb.CreateApiKeyResponse(api_key=convert.api_key(made), secret=secret)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        after = read_page_token(request.page_token)
        return convert.api_key_page(await self._keys.list(caller.current(), request.user_id, page_size(request), after))

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Context) -> pb.RevokeApiKeyResponse:
        revoked = await self._keys.revoke(caller.current(), UUID(request.api_key_id), self._origin(context))
        return pb.RevokeApiKeyResponse(api_key=convert.api_key(revoked))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        who, after = caller.current(), read_page_token(request.page_token)
        return convert.session_page(await self._sessions.list(who, request.user_id, page_size(request), after), who)

    async def RevokeSession(self, request: pb.RevokeSessionRequest, context: Context) -> pb.RevokeSessionResponse:
        await self._sessions.revoke(caller.current(), UUID(request.session_id), self._origin(context))
        return pb.RevokeSessionResponse()

    async def RevokeAllSessions(self, request: pb.RevokeAllSessionsRequest, context: Context) -> pb.RevokeAllSessionsResponse:
        who, origin = caller.current(), self._origin(context)
        ended = await self._sessions.revoke_all(who, request.user_id, keep_current=request.keep_current, origin=origin)
        return pb.RevokeAllSessionsResponse(ended_sessions=ended)

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.CreateUserResponse:
        role = convert.new_role(request.role)
        user = await self._users.create(caller.current(), request.username, request.password, role, self._origin(context))
        return pb.CreateUserResponse(user=convert.user(user))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        after = read_number_token(request.page_token)
        return convert.user_page(await self._users.list(caller.current(), request.username, page_size(request), after))

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:
        role, disabled = convert.changed_role(request), request.disabled if request.HasField("disabled") else None
        user = await self._users.update(caller.current(), request.user_id, role, disabled, self._origin(context))
        return pb.UpdateUserResponse(user=convert.user(user))

    async def ListAuditEntries(self, request: pb.ListAuditEntriesRequest, context: Context) -> pb.ListAuditEntriesResponse:
        size, after = page_size(request), read_number_token(request.page_token)
        page = await self._users.audit_entries(caller.current(), request.actor_id, request.action, size, after)
        return convert.audit_page(page)

    def _origin(self, context: Context) -> Origin:
        return Origin(self._peers.address_of(context), correlation.current())
