"""Converts rows of the identity tables."""

from typing import Any

from sqlalchemy import RowMapping, func
from sqlalchemy.sql.elements import ColumnElement

from mesh.security.caller import Role, Scope
from orchestrator.adapters.identity.tables import users
from orchestrator.identity.model import Action, ApiKey, AuditEntry, AuditRecord, Origin, Session, User


def has_name(username: str) -> ColumnElement[bool]:
    """The condition that finds a user by name, in any case."""
    name: ColumnElement[Any] = func.lower(users.c.username)
    return name == func.lower(username)


def user(row: RowMapping) -> User:
    return User(row["id"], row["username"], Role(row["role"]), row["created_at"], row["disabled_at"])


def api_key(row: RowMapping) -> ApiKey:
    return ApiKey(
        api_key_id=row["api_key_id"],
        user_id=row["user_id"],
        name=row["name"],
        prefix=row["prefix"],
        scopes=frozenset(map(Scope, row["scopes"])),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )


def session(row: RowMapping) -> Session:
    return Session(
        session_id=row["session_id"],
        user_id=row["user_id"],
        created_at=row["created_at"],
        access_until=row["access_until"],
        expires_at=row.get("expires_at") or row["access_until"],
        ip=row["ip"],
    )


def audit_record(row: RowMapping) -> AuditRecord:
    origin = Origin(row["ip"], row["request_id"])
    entry = AuditEntry(Action(row["action"]), row["actor_id"], row["subject"], origin, row["details"])
    return AuditRecord(row["id"], row["at"], entry)
