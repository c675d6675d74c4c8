"""Users, sessions, API keys and the audit log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from mesh.security.caller import Role, Scope
from orchestrator.idempotency.model import Claim

USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{2,99}")
LONGEST_PASSWORD_BYTES = 72
"""bcrypt reads no more."""


@dataclass(frozen=True, slots=True)
class User:
    """A user; ids begin at 1. While `disabled_at` is set, no credential of the user works."""

    user_id: int
    username: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user, and the hash that the password must fit."""

    user: User
    password_hash: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from."""

    ip: str
    request_id: str


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login or refresh answers; `expires_in` is in seconds, for the access token."""

    access_token: str
    expires_in: int
    refresh_token: str


@dataclass(frozen=True, slots=True)
class RefreshRecord:
    """A refresh token as the store has it, with its session and its user."""

    session_id: UUID
    user: User
    revoked: bool
    """Whether the session has ended."""
    expired: bool
    used_seconds_ago: float | None
    """None for a token that has not been used."""
    successor_hash: bytes | None
    access_until: datetime
    """When the last access token of the session expires."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret; None where a time has not come or never will."""

    api_key_id: UUID
    user_id: int
    name: str
    prefix: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key to be made, and the request's claim to its idempotency key, if it has one."""

    user_id: int
    name: str
    scopes: frozenset[Scope]
    expires_at: datetime | None
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """What an API key proves: the key, and the user whose it is."""

    key: ApiKey
    user: User


@dataclass(frozen=True, slots=True)
class Principal:
    """On whose behalf work runs: a user, and the API key that started the work (None: an access token)."""

    user_id: int
    api_key_id: UUID | None = None


class Loss(StrEnum):
    """Why a principal may not act any more."""

    USER_DELETED = "user_deleted"
    USER_DISABLED = "user_disabled"
    API_KEY_REVOKED = "api_key_revoked"


@dataclass(frozen=True, slots=True)
class Authority:
    """What a principal may do now. With a `loss` it may do nothing; the name and role of a deleted user are empty and `user`."""

    username: str
    role: Role
    loss: Loss | None = None


class Action(StrEnum):
    """What the audit log records."""

    REGISTERED = "user.registered"
    LOGGED_IN = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGGED_OUT = "session.ended"
    REFRESH_REUSED = "refresh_token.reused"
    KEY_CREATED = "api_key.created"
    KEY_REVOKED = "api_key.revoked"
    ROLE_CHANGED = "role.changed"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    PASSWORD_RESET = "password.reset"
    DENIED = "access.denied"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who (`actor_id`, None where nobody is known) did what to whom, from where."""

    action: Action
    actor_id: int | None
    subject: str
    origin: Origin
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UserEvent:
    """A fact about a user for the world (lld.md 6.2)."""

    event_type: str
    user_id: int
    data: Mapping[str, Any]
    request_id: str
