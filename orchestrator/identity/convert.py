"""Between users, keys and agentmesh.identity.v1."""

from datetime import UTC, datetime

from agentmesh.common.v1 import access_pb2
from agentmesh.identity.v1 import identity_pb2
from agentmesh.identity.v1 import identity_service_pb2 as pb

from mesh.security.caller import Caller, Role, Scope
from orchestrator.idempotency.model import Operation, claim
from orchestrator.identity.model import ApiKey, NewApiKey, TokenPair, User

BEARER = "Bearer"
_ROLES = {Role.USER: identity_pb2.USER_ROLE_USER, Role.ADMIN: identity_pb2.USER_ROLE_ADMIN}
_SCOPES = {
    Scope.READ: access_pb2.ACCESS_SCOPE_READ,
    Scope.EXECUTE: access_pb2.ACCESS_SCOPE_EXECUTE,
    Scope.MANAGE: access_pb2.ACCESS_SCOPE_MANAGE,
}
_SCOPE = {message: scope for scope, message in _SCOPES.items()}


def user(record: User) -> identity_pb2.User:
    """A user."""
    message = identity_pb2.User(user_id=record.user_id, username=record.username, role=_ROLES[record.role])
    message.created_at.FromDatetime(record.created_at)
    return message


def current_user(record: User, caller: Caller) -> pb.GetCurrentUserResponse:
    """Who calls, and what the credential may do."""
    return pb.GetCurrentUserResponse(user=user(record), scopes=_scopes(caller.scopes))


def login_response(pair: TokenPair) -> pb.LoginResponse:
    """The tokens of a new session."""
    return pb.LoginResponse(access_token=pair.access_token, token_type=BEARER, expires_in=pair.expires_in, refresh_token=pair.refresh_token)


def refresh_response(pair: TokenPair) -> pb.RefreshTokenResponse:
    """The next tokens of a session."""
    return pb.RefreshTokenResponse(
        access_token=pair.access_token, token_type=BEARER, expires_in=pair.expires_in, refresh_token=pair.refresh_token
    )


def new_api_key(request: pb.CreateApiKeyRequest, user_id: int, idempotency_key: str) -> NewApiKey:
    """The key that is asked for."""
    expires_at = request.expires_at.ToDatetime(UTC) if request.HasField("expires_at") else None
    scopes = frozenset(_SCOPE[scope] for scope in request.scopes)
    body = [request.name, sorted(scopes), request.expires_at.ToJsonString() if request.HasField("expires_at") else None]
    return NewApiKey(user_id, request.name, scopes, expires_at, claim(user_id, Operation.CREATE_API_KEY, idempotency_key, body))


def api_key(record: ApiKey) -> identity_pb2.ApiKey:
    """A key, without its secret."""
    message = identity_pb2.ApiKey(api_key_id=str(record.api_key_id), name=record.name, prefix=record.prefix, scopes=_scopes(record.scopes))
    message.created_at.FromDatetime(record.created_at)
    for field, moment in (("expires_at", record.expires_at), ("last_used_at", record.last_used_at), ("revoked_at", record.revoked_at)):
        _set(message, field, moment)
    return message


def _set(message: identity_pb2.ApiKey, field: str, moment: datetime | None) -> None:
    if moment is not None:
        getattr(message, field).FromDatetime(moment)


def _scopes(scopes: frozenset[Scope]) -> list[access_pb2.AccessScope.ValueType]:
    return [_SCOPES[scope] for scope in Scope if scope in scopes]
