"""Paged lists of users, keys, sessions and audit entries from PostgreSQL."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import RowMapping, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.identity import rows
from orchestrator.adapters.identity.tables import api_keys, audit_log, refresh_tokens, sessions, users
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.identity.model import ApiKey, AuditRecord, Page, Session, User

T = TypeVar("T")

_NOW = func.clock_timestamp()


class PostgresIdentityLists:
    """Implements the port `IdentityLists`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def users(self, username: str, size: int, after: int | None) -> Page[User]:
        """Users by id; see the port."""
        statement = select(users).order_by(users.c.id)
        if username:
            statement = statement.where(rows.has_name(username))
        if after is not None:
            statement = statement.where(users.c.id > after)
        return await self._page(statement, size, rows.user)

    async def api_keys(self, user_id: int, size: int, after: UUID | None) -> Page[ApiKey]:
        """A user's keys; see the port."""
        statement = select(api_keys).where(api_keys.c.user_id == user_id).order_by(api_keys.c.api_key_id.desc())
        if after is not None:
            statement = statement.where(api_keys.c.api_key_id < after)
        return await self._page(statement, size, rows.api_key)

    async def sessions(self, user_id: int, size: int, after: UUID | None) -> Page[Session]:
        """A user's sessions; see the port."""
        of_it = (refresh_tokens.c.session_id == sessions.c.session_id, refresh_tokens.c.used_at.is_(None))
        refreshable_until = select(func.max(refresh_tokens.c.expires_at)).where(*of_it).correlate(sessions).scalar_subquery()
        expires_at = func.greatest(sessions.c.access_until, refreshable_until)
        statement = select(sessions, expires_at.label("expires_at")).order_by(sessions.c.session_id.desc())
        statement = statement.where(sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None))
        statement = statement.where(or_(sessions.c.access_until > _NOW, refreshable_until > _NOW))
        if after is not None:
            statement = statement.where(sessions.c.session_id < after)
        return await self._page(statement, size, rows.session)

    async def audit_entries(self, actor_id: int, action: str, size: int, after: int | None) -> Page[AuditRecord]:
        """Entries of the audit log; see the port."""
        statement = select(audit_log).order_by(audit_log.c.id.desc())
        if actor_id:
            statement = statement.where(audit_log.c.actor_id == actor_id)
        if action:
            statement = statement.where(audit_log.c.action == action)
        if after is not None:
            statement = statement.where(audit_log.c.id < after)
        return await self._page(statement, size, rows.audit_record)

    async def _page(self, statement: Select[Any], size: int, read: Callable[[RowMapping], T]) -> Page[T]:
        with unavailable():
            async with self._engine.connect() as connection:
                found = (await connection.execute(statement.limit(size + 1))).mappings().all()
        return Page([read(row) for row in found[:size]], more=len(found) > size)
