"""The tables of identity, as the migrations create them."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from orchestrator.adapters.postgres.tables import metadata

_NOW = func.clock_timestamp()

users = Table(
    "users",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("username", String(255), nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("role", String(20), nullable=False, server_default="user"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    # While it is set, the user cannot log in and none of the user's credentials work.
    Column("disabled_at", DateTime(timezone=True)),
    # The user's share of the workers' time, in proportion to the weights of the others who have steps waiting.
    Column("weight", Integer, CheckConstraint("weight > 0"), nullable=False, server_default="1"),
    # Names are ASCII: lower() is all that two spellings of one name can differ in.
    Index("users_username_key", text("lower(username::text)"), unique=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    # When the last access token of the session expires. Until then, the end of the session must be known.
    Column("access_until", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    Column("ip", String(45), nullable=False, server_default=""),
    Index("ix_sessions_user_id", "user_id", text("session_id DESC")),
    Index("ix_sessions_revoked", "revoked_at", postgresql_where=text("revoked_at IS NOT NULL")),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("session_id", Uuid, ForeignKey("sessions.session_id", ondelete="CASCADE"), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
    Column("successor_hash", LargeBinary),
    Index("ix_refresh_tokens_session_id", "session_id"),
    Index("ix_refresh_tokens_expires_at", "expires_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("api_key_id", Uuid, primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("prefix", String(20), nullable=False),
    Column("scopes", ARRAY(String(20)), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("expires_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    # The key that made the call that created this one. Revoking that key revokes this one too.
    Column("created_by", Uuid),
    Index("ix_api_keys_user_id", "user_id", text("api_key_id DESC")),
    Index("ix_api_keys_created_by", "created_by", postgresql_where=text("created_by IS NOT NULL")),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("action", String(50), nullable=False),
    # No foreign key to users: entries stay when a user is deleted.
    Column("actor_id", Integer),
    Column("subject", Text, nullable=False),
    Column("ip", String(45), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("details", JSONB, nullable=False),
    Index("ix_audit_log_at", "at"),
    Index("ix_audit_log_actor_id", "actor_id", text("id DESC")),
    Index("ix_audit_log_action", "action", text("id DESC")),
)
