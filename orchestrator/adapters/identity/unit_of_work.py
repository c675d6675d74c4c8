"""A transaction on users, sessions and keys."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, and_, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement
from uuid_utils.compat import uuid7

from mesh.security.caller import Role
from orchestrator.adapters.events.tables import outbox
from orchestrator.adapters.idempotency import keys
from orchestrator.adapters.identity.rows import api_key, session, user
from orchestrator.adapters.identity.tables import api_keys, audit_log, refresh_tokens, sessions, users
from orchestrator.identity.model import ApiKey, AuditEntry, NewApiKey, RefreshRecord, Session, User, UserEvent

SOURCE = "orchestrator"
_NOW = func.clock_timestamp()


class PostgresIdentityWork:
    """Implements the port `IdentityWork`."""

    def __init__(self, connection: AsyncConnection, refresh_days: float) -> None:
        self._connection = connection
        self._refresh_time = timedelta(days=refresh_days)

    async def add_user(self, username: str, password_hash: str, role: Role) -> User | None:
        """Adds a user; see the port."""
        new = upsert(users).values(username=username, password_hash=password_hash, role=role.value)
        taken = [text("lower(username::text)")]  # of users_username_key; a conflict of anything else is a fault
        row = await self._one(new.on_conflict_do_nothing(index_elements=taken).returning(users))
        return None if row is None else user(row)

    async def update_user(
        self, user_id: int, *, role: Role | None = None, disabled: bool | None = None, password_hash: str | None = None
    ) -> User | None:
        """Changes a user; see the port."""
        values: dict[Any, Any] = {}
        if role is not None:
            values[users.c.role] = role.value
        if disabled is not None:
            values[users.c.disabled_at] = func.coalesce(users.c.disabled_at, _NOW) if disabled else None
        if password_hash is not None:
            values[users.c.password_hash] = password_hash
        row = await self._one(update(users).where(users.c.id == user_id).values(values).returning(users))
        return None if row is None else user(row)

    async def lock_password(self, user_id: int) -> str | None:
        """The hash of a user's password, locked; see the port."""
        row = await self._one(select(users.c.password_hash).where(users.c.id == user_id).with_for_update(read=True))
        return None if row is None else row["password_hash"]

    async def open_session(self, session_id: UUID, user_id: int, access_until: datetime, ip: str) -> None:
        values = {"session_id": session_id, "user_id": user_id, "access_until": access_until, "ip": ip}
        await self._connection.execute(insert(sessions).values(values))

    async def extend_session(self, session_id: UUID, access_until: datetime) -> None:
        """Records that an access token of the session is valid until then."""
        later = func.greatest(sessions.c.access_until, access_until)
        await self._connection.execute(update(sessions).where(sessions.c.session_id == session_id).values(access_until=later))

    async def end_session(self, session_id: UUID) -> Session | None:
        """Ends a session; see the port."""
        of_it = (sessions.c.session_id == session_id, sessions.c.revoked_at.is_(None))
        row = await self._one(update(sessions).where(*of_it).values(revoked_at=_NOW).returning(sessions))
        return None if row is None else session(row)

    async def end_sessions_of(self, user_id: int, keep: UUID | None = None) -> Sequence[Session]:
        """Ends all sessions of a user; see the port."""
        of_them = sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None)
        ended = update(sessions).where(*of_them).values(revoked_at=_NOW).returning(sessions)
        if keep is not None:
            ended = ended.where(sessions.c.session_id != keep)
        return [session(row) for row in (await self._connection.execute(ended)).mappings()]

    async def add_refresh_token(self, token_hash: bytes, session_id: UUID) -> None:
        """Adds a refresh token."""
        values = {"token_hash": token_hash, "session_id": session_id, "expires_at": _NOW + self._refresh_time}
        await self._connection.execute(insert(refresh_tokens).values(values))

    async def refresh_token(self, token_hash: bytes) -> RefreshRecord | None:
        """A refresh token; its session is locked."""
        session = select(refresh_tokens.c.session_id).where(refresh_tokens.c.token_hash == token_hash).scalar_subquery()
        await self._connection.execute(select(sessions.c.session_id).where(sessions.c.session_id == session).with_for_update())
        # Read under the lock, with the current time: another request may have used the token in the meantime.
        t = refresh_tokens
        joined = t.join(sessions, sessions.c.session_id == t.c.session_id).join(users, users.c.id == sessions.c.user_id)
        columns = (
            *(users, t.c.session_id, t.c.successor_hash, sessions.c.access_until),
            sessions.c.revoked_at.is_not(None).label("revoked"),
            (t.c.expires_at <= _NOW).label("expired"),
            func.extract("epoch", _NOW - t.c.used_at).label("used_seconds_ago"),
        )
        row = await self._one(select(*columns).select_from(joined).where(t.c.token_hash == token_hash))
        return None if row is None else _refresh_record(row)

    async def use_refresh_token(self, token_hash: bytes, successor_hash: bytes) -> None:
        """Marks a token as used."""
        used = update(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash)
        await self._connection.execute(used.values(used_at=_NOW, successor_hash=successor_hash))

    async def add_api_key(self, new: NewApiKey, key_hash: bytes, prefix: str) -> tuple[ApiKey, bool]:
        """A new API key, or the one that the original request created; see the port."""
        api_key_id = uuid7()
        if new.claim and (original := await keys.claim_one(self._connection, api_key_id, new.claim)):
            original.check(new.claim)
            of_it = (api_keys.c.api_key_id == original.resource_id, api_keys.c.user_id == new.user_id)
            row = await self._one(select(api_keys).where(*of_it))
            assert row is not None  # keys are never deleted while their user exists
            return api_key(row), False
        values = {
            "api_key_id": api_key_id,
            "user_id": new.user_id,
            "name": new.name,
            "key_hash": key_hash,
            "prefix": prefix,
            "scopes": sorted(scope.value for scope in new.scopes),
            "expires_at": new.expires_at,
            "created_by": new.created_by,
        }
        row = await self._one(insert(api_keys).values(values).returning(api_keys))
        assert row is not None
        return api_key(row), True

    async def count_api_keys(self, user_id: int) -> int:
        """The keys that count against a user's limit; see the port."""
        await self._connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True))
        now = func.clock_timestamp()
        works = and_(api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now))
        counted = or_(works, api_keys.c.created_at > now - timedelta(days=1))
        statement = select(func.count()).select_from(api_keys).where(api_keys.c.user_id == user_id, counted)
        return int(await self._connection.scalar(statement) or 0)

    async def api_key(self, api_key_id: UUID) -> ApiKey | None:
        """An API key, locked; see the port."""
        row = await self._one(select(api_keys).where(api_keys.c.api_key_id == api_key_id).with_for_update())
        return None if row is None else api_key(row)

    async def revoke_api_key(self, api_key_id: UUID) -> Sequence[bytes]:
        """Revokes a key and the keys that it created; see the port."""
        family = select(api_keys.c.api_key_id).where(api_keys.c.api_key_id == api_key_id).cte("family", recursive=True)
        family = family.union(select(api_keys.c.api_key_id).where(api_keys.c.created_by == family.c.api_key_id))
        return await self._revoke(api_keys.c.api_key_id.in_(select(family.c.api_key_id)))

    async def revoke_api_keys_of(self, user_id: int) -> Sequence[bytes]:
        """Revokes all keys of a user; see the port."""
        return await self._revoke(api_keys.c.user_id == user_id)

    async def _revoke(self, which: ColumnElement[bool]) -> Sequence[bytes]:
        revoked = update(api_keys).where(which, api_keys.c.revoked_at.is_(None)).values(revoked_at=_NOW)
        return list(await self._connection.scalars(revoked.returning(api_keys.c.key_hash)))

    async def publish(self, event: UserEvent) -> None:
        """Puts the event into the outbox."""
        values = {
            "event_id": uuid7(),
            "event_type": event.event_type,
            "aggregate_id": str(event.user_id),
            "source": SOURCE,
            "data": dict(event.data),
            "metadata": {"request_id": event.request_id},
        }
        await self._connection.execute(insert(outbox).values(values))

    async def audit(self, entry: AuditEntry) -> None:
        """Adds to the audit log."""
        await self._connection.execute(insert(audit_log).values(audit_values(entry)))

    async def _one(self, statement: Any) -> RowMapping | None:
        return (await self._connection.execute(statement)).mappings().one_or_none()


def audit_values(entry: AuditEntry) -> dict[str, Any]:
    """The column values of an audit entry."""
    return {
        "action": entry.action.value,
        "actor_id": entry.actor_id,
        "subject": entry.subject,
        "ip": entry.origin.ip,
        "request_id": entry.origin.request_id,
        "details": dict(entry.details),
    }


def _refresh_record(row: RowMapping) -> RefreshRecord:
    used = row["used_seconds_ago"]
    return RefreshRecord(
        session_id=row["session_id"],
        user=user(row),
        revoked=row["revoked"],
        expired=row["expired"],
        used_seconds_ago=None if used is None else float(used),
        successor_hash=row["successor_hash"],
        access_until=row["access_until"],
    )
