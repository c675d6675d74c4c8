"""Users, sessions and keys in PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, Select, and_, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.security.caller import Role
from orchestrator.adapters.identity.rows import api_key, has_name, user
from orchestrator.adapters.identity.tables import api_keys, sessions, users
from orchestrator.adapters.identity.unit_of_work import PostgresIdentityWork
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.identity.model import Credentials, KeyHolder, SessionHolder, User

_A_MINUTE_AGO = func.clock_timestamp() - text("interval '1 minute'")


class PostgresIdentityStore:
    """Implements the ports `IdentityStore` and `SessionLedger`."""

    def __init__(self, engine: AsyncEngine, refresh_days: float) -> None:
        self._engine = engine
        self._refresh_days = refresh_days

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[PostgresIdentityWork]:
        """A transaction; see the port."""
        with unavailable():
            async with self._engine.begin() as connection:
                yield PostgresIdentityWork(connection, self._refresh_days)

    async def credentials(self, username: str) -> Credentials | None:
        """The user with that name, in any case."""
        return _credentials(await self._first(select(users).where(has_name(username))))

    async def credentials_of(self, user_id: int) -> Credentials | None:
        """The user with that id."""
        return _credentials(await self._first(select(users).where(users.c.id == user_id)))

    async def user(self, user_id: int) -> User | None:
        """The user with that id."""
        row = await self._first(select(users).where(users.c.id == user_id))
        return None if row is None else user(row)

    async def session_holder(self, session_id: UUID) -> SessionHolder | None:
        """The user of a session; see the port."""
        ended = sessions.c.revoked_at.is_not(None).label("ended")
        joined = sessions.join(users, users.c.id == sessions.c.user_id)
        row = await self._first(select(users, ended).select_from(joined).where(sessions.c.session_id == session_id))
        return None if row is None else SessionHolder(user(row), row["ended"])

    async def session_is_open(self, session_id: UUID) -> bool:
        """Whether the session exists and has not ended."""
        open_one = select(sessions.c.session_id).where(sessions.c.session_id == session_id, sessions.c.revoked_at.is_(None))
        return await self._first(open_one) is not None

    async def ended_sessions(self, within_seconds: float | None) -> Sequence[tuple[UUID, datetime]]:
        """Sessions that ended, recently or ever, before their last access token expires, and when that is."""
        ended = select(sessions.c.session_id, sessions.c.access_until).where(sessions.c.revoked_at.is_not(None))
        ended = ended.where(sessions.c.access_until > func.clock_timestamp())
        if within_seconds is not None:
            ended = ended.where(sessions.c.revoked_at > func.clock_timestamp() - timedelta(seconds=within_seconds))
        with unavailable():
            async with self._engine.connect() as connection:
                return [(row.session_id, row.access_until) for row in await connection.execute(ended)]

    async def use_api_key(self, key_hash: bytes) -> KeyHolder | None:
        """The key and its user; see the port."""
        row = await self._first(_holder(key_hash))
        if row is None:
            return None
        if row["due"]:
            with unavailable():
                async with self._engine.begin() as connection:
                    now = func.clock_timestamp()
                    await connection.execute(update(api_keys).where(api_keys.c.key_hash == key_hash).values(last_used_at=now))
        owner = User(row["user_id"], row["username"], Role(row["role"]), row["user_created_at"], row["disabled_at"])
        return KeyHolder(api_key(row), owner)

    async def _first(self, statement: Select[Any]) -> RowMapping | None:
        with unavailable():
            async with self._engine.connect() as connection:
                row: RowMapping | None = (await connection.execute(statement)).mappings().one_or_none()
        return row


def _credentials(row: RowMapping | None) -> Credentials | None:
    return None if row is None else Credentials(user(row), row["password_hash"])


def _holder(key_hash: bytes) -> Select[Any]:
    good = and_(api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.clock_timestamp()))
    unnoted = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < _A_MINUTE_AGO)
    whose = (users.c.username, users.c.role, users.c.disabled_at, users.c.created_at.label("user_created_at"))
    joined = api_keys.join(users, users.c.id == api_keys.c.user_id)
    return select(api_keys, *whose, and_(good, unnoted).label("due")).select_from(joined).where(api_keys.c.key_hash == key_hash)
