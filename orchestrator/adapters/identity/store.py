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
from orchestrator.identity.model import ApiKey, Credentials, KeyHolder, User

_A_MINUTE_AGO = func.clock_timestamp() - text("interval '1 minute'")


class PostgresIdentityStore:
    """Implements the port of the same name without the prefix."""

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
        """The user of that name, in any case."""
        row = await self._first(select(users).where(has_name(username)))
        return None if row is None else Credentials(user(row), row["password_hash"])

    async def user(self, user_id: int) -> User | None:
        """A user."""
        row = await self._first(select(users).where(users.c.id == user_id))
        return None if row is None else user(row)

    async def session_is_open(self, session_id: UUID) -> bool:
        """Whether there is such a session and it has not ended."""
        open_one = select(sessions.c.session_id).where(sessions.c.session_id == session_id, sessions.c.revoked_at.is_(None))
        return await self._first(open_one) is not None

    async def ended_sessions(self, within_seconds: float | None) -> Sequence[tuple[UUID, datetime]]:
        """Sessions that have ended, lately or ever, while access tokens of theirs are out, and until when these are."""
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

    async def api_keys(self, user_id: int) -> Sequence[ApiKey]:
        """A user's keys, the newest first."""
        statement = select(api_keys).where(api_keys.c.user_id == user_id).order_by(api_keys.c.api_key_id.desc())
        with unavailable():
            async with self._engine.connect() as connection:
                return [api_key(row) for row in (await connection.execute(statement)).mappings()]

    async def _first(self, statement: Select[Any]) -> RowMapping | None:
        with unavailable():
            async with self._engine.connect() as connection:
                row: RowMapping | None = (await connection.execute(statement)).mappings().one_or_none()
        return row


def _holder(key_hash: bytes) -> Select[Any]:
    good = and_(api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.clock_timestamp()))
    unnoted = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < _A_MINUTE_AGO)
    whose = (users.c.username, users.c.role, users.c.disabled_at, users.c.created_at.label("user_created_at"))
    joined = api_keys.join(users, users.c.id == api_keys.c.user_id)
    return select(api_keys, *whose, and_(good, unnoted).label("due")).select_from(joined).where(api_keys.c.key_hash == key_hash)
