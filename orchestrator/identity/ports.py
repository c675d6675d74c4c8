"""The ports of identity."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from mesh.security.caller import Role
from orchestrator.identity.model import (
    ApiKey,
    AuditEntry,
    AuditRecord,
    Authority,
    Credentials,
    KeyHolder,
    NewApiKey,
    Page,
    Principal,
    RefreshRecord,
    Session,
    SessionHolder,
    User,
    UserEvent,
)


class IdentityWork(Protocol):
    """One transaction: committed if its block ends without an exception, rolled back otherwise."""

    async def add_user(self, username: str, password_hash: str, role: Role) -> User | None:
        """Adds a user; None if another user has the name, in any case."""
        ...

    async def update_user(
        self, user_id: int, *, role: Role | None = None, disabled: bool | None = None, password_hash: str | None = None
    ) -> User | None:
        """Changes the given fields; None if there is no such user. A user who is already disabled keeps the original time."""
        ...

    async def lock_password(self, user_id: int) -> str | None:
        """The hash of a user's password, locked until the transaction ends; None if there is no such user."""
        ...

    async def open_session(self, session_id: UUID, user_id: int, access_until: datetime, ip: str) -> None:
        """Opens a session from this address."""
        ...

    async def extend_session(self, session_id: UUID, access_until: datetime) -> None:
        """Records that an access token of the session is valid until then."""
        ...

    async def end_session(self, session_id: UUID) -> Session | None:
        """Ends a session; None if it had ended or never existed."""
        ...

    async def end_sessions_of(self, user_id: int, keep: UUID | None = None) -> Sequence[Session]:
        """Ends all sessions of a user, except `keep`; returns those that had not ended."""
        ...

    async def add_refresh_token(self, token_hash: bytes, session_id: UUID) -> None:
        """Adds a refresh token that can be used once."""
        ...

    async def refresh_token(self, token_hash: bytes) -> RefreshRecord | None:
        """A refresh token. Locks its session until the transaction ends."""
        ...

    async def use_refresh_token(self, token_hash: bytes, successor_hash: bytes) -> None:
        """Marks a token as used and records its successor."""
        ...

    async def add_api_key(self, new: NewApiKey, key_hash: bytes, prefix: str) -> tuple[ApiKey, bool]:
        """A new API key and True, or the key that the original request created and False. Raises IdempotencyConflict."""
        ...

    async def count_api_keys(self, user_id: int) -> int:
        """The user's keys that work or were created in the last 24 h. Until the transaction ends, no other counts the user's keys."""
        ...

    async def api_key(self, api_key_id: UUID) -> ApiKey | None:
        """An API key, of any user. Locks it until the transaction ends."""
        ...

    async def revoke_api_key(self, api_key_id: UUID) -> Sequence[bytes]:
        """Revokes a key and, recursively, the keys that it created; returns the hashes of those that were good until now."""
        ...

    async def revoke_api_keys_of(self, user_id: int) -> Sequence[bytes]:
        """Revokes all keys of a user; returns the hashes of those that were good until now."""
        ...

    async def publish(self, event: UserEvent) -> None:
        """Publishes an event when the transaction is committed."""
        ...

    async def audit(self, entry: AuditEntry) -> None:
        """Adds an entry to the audit log."""
        ...


class IdentityStore(Protocol):
    """Users, sessions and keys. Raises ServiceUnavailable if the store cannot be reached."""

    def begin(self) -> AbstractAsyncContextManager[IdentityWork]: ...

    async def credentials(self, username: str) -> Credentials | None:
        """The user with that name, in any case."""
        ...

    async def credentials_of(self, user_id: int) -> Credentials | None:
        """The user with that id."""
        ...

    async def user(self, user_id: int) -> User | None:
        """The user with that id."""
        ...

    async def session_holder(self, session_id: UUID) -> SessionHolder | None:
        """The user of a session, and whether the session has ended; None if there is no such session."""
        ...

    async def session_is_open(self, session_id: UUID) -> bool:
        """Whether the session exists and has not ended."""
        ...

    async def use_api_key(self, key_hash: bytes) -> KeyHolder | None:
        """The key with that hash, good or not, and its user. Records the use of a good key, to the minute."""
        ...


class IdentityLists(Protocol):
    """Paged lists. `after` is the last id of the page before; None for the first page. Raises ServiceUnavailable."""

    async def users(self, username: str, size: int, after: int | None) -> Page[User]:
        """Users by id; with a `username`, only the user with that name, in any case."""
        ...

    async def api_keys(self, user_id: int, size: int, after: UUID | None) -> Page[ApiKey]:
        """A user's keys, newest first, revoked ones included."""
        ...

    async def sessions(self, user_id: int, size: int, after: UUID | None) -> Page[Session]:
        """A user's sessions that have neither ended nor expired, newest first."""
        ...

    async def audit_entries(self, actor_id: int, action: str, size: int, after: int | None) -> Page[AuditRecord]:
        """Entries of the audit log, newest first; 0 and an empty string stand for all actors and all actions."""
        ...


class Authorities(Protocol):
    """Who may act now. For work that outlives the call that started it: steps of runs, decisions of approvals."""

    async def of(self, principals: Collection[Principal]) -> Mapping[Principal, Authority]:
        """The authority of each principal, at most one second old. Raises ServiceUnavailable.

        An unknown key counts as revoked. A key that has expired in the meantime is not a loss: what it started may finish.
        """
        ...


class Passwords(Protocol):
    """Hashes passwords, one at a time."""

    def turn(self, address: str, username: str) -> AbstractAsyncContextManager[None]:
        """Waits for the caller's turn, fairly among addresses and user names. Raises RateLimitExceeded if too many wait."""
        ...

    async def hash(self, password: str) -> str:
        """The hash of a new password. Call it within a turn."""
        ...

    async def fits(self, password: str, password_hash: str | None) -> bool:
        """Whether the password fits the hash. False without a hash, after the same time. Call it within a turn."""
        ...


class RevocationList(Protocol):
    """The sessions that have ended although access tokens of theirs have not expired."""

    async def add(self, ended: Sequence[Session]) -> None:
        """Spreads the end of sessions that the store knows already. Never raises: the store decides in any case."""
        ...
