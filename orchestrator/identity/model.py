"""Users, sessions, API keys and the audit log."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

from mesh.errors import ValidationFailed
from mesh.security.caller import Role, Scope
from orchestrator.idempotency.model import Claim

USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{2,99}")
RESERVED_USERNAMES = frozenset({"admin"})
"""Names that cannot be registered: `make up` creates an administrator with this name."""
LONGEST_PASSWORD_BYTES = 72
"""bcrypt ignores what follows."""
T = TypeVar("T")


def check_new_password(password: str, field: str = "password") -> None:
    r"""Raises ValidationFailed for a password of more than 72 bytes or with a control character.

    bcrypt repeats a short password with a NUL in between, so `secret` and `secret\0secret` have the same hash.
    """
    if (size := len(password.encode(errors="replace"))) > LONGEST_PASSWORD_BYTES:
        raise ValidationFailed.of(field, f"is {size} bytes long in UTF-8; use at most {LONGEST_PASSWORD_BYTES} bytes")
    for position, character in enumerate(password, start=1):
        if unicodedata.category(character) == "Cc":
            problem = f"contains the control character U+{ord(character):04X} at position {position}; use printable characters"
            raise ValidationFailed.of(field, problem)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a list, and whether there are more items after it."""

    items: Sequence[T]
    more: bool


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
    """A user and the hash of the password."""

    user: User
    password_hash: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from."""

    ip: str
    request_id: str


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The tokens that a login or refresh returns. `expires_in` is the lifetime of the access token in seconds."""

    access_token: str
    expires_in: int
    refresh_token: str


@dataclass(frozen=True, slots=True)
class RefreshRecord:
    """A stored refresh token, with its session and user."""

    session_id: UUID
    user: User
    revoked: bool
    """Whether the session has ended."""
    expired: bool
    used_seconds_ago: float | None
    """None if the token has not been used."""
    successor_hash: bytes | None
    access_until: datetime
    """When the last access token of the session expires."""


@dataclass(frozen=True, slots=True)
class Session:
    """A login. It ends at `expires_at` unless it is refreshed; `access_until` is when its last access token expires."""

    session_id: UUID
    user_id: int
    created_at: datetime
    access_until: datetime
    expires_at: datetime
    ip: str


@dataclass(frozen=True, slots=True)
class SessionHolder:
    """What an access token proves: the user, and whether the session has ended since."""

    user: User
    ended: bool


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret. A time is None if it has not come or never will."""

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
    """An API key to create, and the request's claim to its idempotency key, if it has one."""

    user_id: int
    name: str
    scopes: frozenset[Scope]
    expires_at: datetime | None
    created_by: UUID | None = None
    """The API key that makes the call; None for an access token."""
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """What an API key proves: the key and its user."""

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
    PASSWORD_CHANGED = "password.changed"
    PASSWORD_REJECTED = "password.rejected"
    USER_CREATED = "user.created"
    ADMINISTERED = "object.administered"
    DENIED = "access.denied"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to whom, and from where. `actor_id` is None if the actor is unknown or used the command line."""

    action: Action
    actor_id: int | None
    subject: str
    origin: Origin
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A stored entry of the audit log."""

    entry_id: int
    at: datetime
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class UserEvent:
    """An event about a user, for the event log."""

    event_type: str
    user_id: int
    data: Mapping[str, Any]
    request_id: str
