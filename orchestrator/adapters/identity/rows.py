"""Rows of the identity tables as what they stand for."""

from typing import Any

from sqlalchemy import RowMapping, func
from sqlalchemy.sql.elements import ColumnElement

from mesh.security.caller import Role, Scope
from orchestrator.adapters.identity.tables import users
from orchestrator.identity.model import ApiKey, User


def has_name(username: str) -> ColumnElement[bool]:
    """The condition that finds a user by name, in any case."""
    name: ColumnElement[Any] = func.lower(users.c.username)
    return name == func.lower(username)


def user(row: RowMapping) -> User:
    """A user."""
    return User(row["id"], row["username"], Role(row["role"]), row["created_at"], row["disabled_at"])


def api_key(row: RowMapping) -> ApiKey:
    """A key."""
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
