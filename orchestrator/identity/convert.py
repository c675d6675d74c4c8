"""Converts between identity and agentmesh.identity.v1."""

from datetime import UTC, datetime

from agentmesh.common.v1 import access_pb2
from agentmesh.identity.v1 import identity_pb2
from agentmesh.identity.v1 import identity_service_pb2 as pb

from mesh.rpc.convert import struct
from mesh.rpc.requests.paging import number_token, page_token
from mesh.security.caller import Caller, Role, Scope
from orchestrator.idempotency.model import Operation, claim
from orchestrator.identity.model import ApiKey, AuditRecord, NewApiKey, Page, Session, TokenPair, User

BEARER = "Bearer"
_ROLES = {Role.USER: identity_pb2.USER_ROLE_USER, Role.ADMIN: identity_pb2.USER_ROLE_ADMIN}
_ROLE = {message: role for role, message in _ROLES.items()}
_SCOPES = {
    Scope.READ: access_pb2.ACCESS_SCOPE_READ,
    Scope.EXECUTE: access_pb2.ACCESS_SCOPE_EXECUTE,
    Scope.MANAGE: access_pb2.ACCESS_SCOPE_MANAGE,
}
_SCOPE = {message: scope for scope, message in _SCOPES.items()}


def user(record: User) -> identity_pb2.User:
    disabled = record.disabled_at is not None
    message = identity_pb2.User(user_id=record.user_id, username=record.username, role=_ROLES[record.role], disabled=disabled)
    message.created_at.FromDatetime(record.created_at)
    return message


def current_user(record: User, caller: Caller) -> pb.GetCurrentUserResponse:
    return pb.GetCurrentUserResponse(user=user(record), scopes=_scopes(caller.scopes))


def login_response(pair: TokenPair) -> pb.LoginResponse:
    return pb.LoginResponse(access_token=pair.access_token, token_type=BEARER, expires_in=pair.expires_in, refresh_token=pair.refresh_token)


def refresh_response(pair: TokenPair) -> pb.RefreshTokenResponse:
    return pb.RefreshTokenResponse(
        access_token=pair.access_token, token_type=BEARER, expires_in=pair.expires_in, refresh_token=pair.refresh_token
    )


def new_api_key(request: pb.CreateApiKeyRequest, caller: Caller, idempotency_key: str) -> NewApiKey:
    expires_at = request.expires_at.ToDatetime(UTC) if request.HasField("expires_at") else None
    scopes = frozenset(_SCOPE[scope] for scope in request.scopes)
    body = [request.name, sorted(scopes), request.expires_at.ToJsonString() if request.HasField("expires_at") else None]
    of_request = claim(caller.user_id, Operation.CREATE_API_KEY, idempotency_key, body)
    return NewApiKey(caller.user_id, request.name, scopes, expires_at, caller.api_key_id, of_request)


def api_key(record: ApiKey) -> identity_pb2.ApiKey:
    message = identity_pb2.ApiKey(api_key_id=str(record.api_key_id), name=record.name, prefix=record.prefix, scopes=_scopes(record.scopes))
    message.created_at.FromDatetime(record.created_at)
    for field, moment in (("expires_at", record.expires_at), ("last_used_at", record.last_used_at), ("revoked_at", record.revoked_at)):
        _set(message, field, moment)
    return message


def new_role(role: identity_pb2.UserRole.ValueType) -> Role:
    """The role of a new user."""
    return _ROLE.get(role, Role.USER)


def changed_role(request: pb.UpdateUserRequest) -> Role | None:
    """The new role; None to leave it as it is."""
    return _ROLE.get(request.role)


def user_page(page: Page[User]) -> pb.ListUsersResponse:
    token = number_token(page.items[-1].user_id) if page.more else ""
    return pb.ListUsersResponse(users=map(user, page.items), next_page_token=token)


def api_key_page(page: Page[ApiKey]) -> pb.ListApiKeysResponse:
    token = page_token(page.items[-1].api_key_id) if page.more else ""
    return pb.ListApiKeysResponse(api_keys=map(api_key, page.items), next_page_token=token)


def session_page(page: Page[Session], caller: Caller) -> pb.ListSessionsResponse:
    token = page_token(page.items[-1].session_id) if page.more else ""
    return pb.ListSessionsResponse(sessions=[_session(one, caller) for one in page.items], next_page_token=token)


def audit_page(page: Page[AuditRecord]) -> pb.ListAuditEntriesResponse:
    token = number_token(page.items[-1].entry_id) if page.more else ""
    return pb.ListAuditEntriesResponse(entries=map(_audit_entry, page.items), next_page_token=token)


def _session(record: Session, caller: Caller) -> identity_pb2.Session:
    current = record.session_id == caller.session_id
    message = identity_pb2.Session(session_id=str(record.session_id), user_id=record.user_id, current=current, address=record.ip)
    message.created_at.FromDatetime(record.created_at)
    message.expires_at.FromDatetime(record.expires_at)
    return message


def _audit_entry(record: AuditRecord) -> identity_pb2.AuditEntry:
    entry = record.entry
    message = identity_pb2.AuditEntry(
        entry_id=record.entry_id,
        action=entry.action,
        actor_id=entry.actor_id or 0,
        subject=entry.subject,
        address=entry.origin.ip,
        request_id=entry.origin.request_id,
        details=struct(entry.details),
    )
    message.occurred_at.FromDatetime(record.at)
    return message


def _set(message: identity_pb2.ApiKey, field: str, moment: datetime | None) -> None:
    if moment is not None:
        getattr(message, field).FromDatetime(moment)


def _scopes(scopes: frozenset[Scope]) -> list[access_pb2.AccessScope.ValueType]:
    return [_SCOPES[scope] for scope in Scope if scope in scopes]
