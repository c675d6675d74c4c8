"""What identity needs of the world."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from mesh.security.caller import Role
from orchestrator.identity.model import (
    ApiKey,
    AuditEntry,
    Authority,
    Credentials,
    KeyHolder,
    NewApiKey,
    Principal,
    RefreshRecord,
    User,
    UserEvent,
)


class IdentityWork(Protocol):
    """One transaction. It is committed when its block ends well, and not at all when it raises."""

    async def add_user(self, username: str, password_hash: str, role: Role) -> User | None:
        """A new user; None when another has the name, whatever its case."""
        ...

    async def set_role(self, username: str, role: Role) -> User | None:
        """The user with its new role; None when there is no such user."""
        ...

    async def set_disabled(self, username: str, *, disabled: bool) -> User | None:
        """The user, disabled or enabled; None when there is no such user. A user who is already disabled keeps the time of that."""
        ...

    async def set_password(self, username: str, password_hash: str) -> User | None:
        """The user, whose password fits the new hash from now on; None when there is no such user."""
        ...

    async def open_session(self, session_id: UUID, user_id: int, access_until: datetime) -> None:
        """Begins a session."""
        ...

    async def extend_session(self, session_id: UUID, access_until: datetime) -> None:
        """Notes that an access token of the session is good until then."""
        ...

    async def end_session(self, session_id: UUID) -> datetime | None:
        """Ends a session; says when the last of its access tokens expires, None when it had ended or never was."""
        ...

    async def end_sessions_of(self, user_id: int) -> Sequence[tuple[UUID, datetime]]:
        """Ends all sessions of a user; says which had not ended, and when their last access tokens expire."""
        ...

    async def add_refresh_token(self, token_hash: bytes, session_id: UUID) -> None:
        """A refresh token that can be used once."""
        ...

    async def refresh_token(self, token_hash: bytes) -> RefreshRecord | None:
        """A refresh token; until the transaction ends nobody else sees a token of the same session."""
        ...

    async def use_refresh_token(self, token_hash: bytes, successor_hash: bytes) -> None:
        """Marks a token as used, and names the one that follows it."""
        ...

    async def add_api_key(self, new: NewApiKey, key_hash: bytes, prefix: str) -> tuple[ApiKey, bool]:
        """A new API key and True, or the one that the idempotency key stands for and False. Raises IdempotencyConflict."""
        ...

    async def revoke_api_key(self, user_id: int, api_key_id: UUID) -> tuple[ApiKey, bytes, bool] | None:
        """The user's key, revoked; its hash; and whether it was good until now. None when the user has no such key."""
        ...

    async def publish(self, event: UserEvent) -> None:
        """Tells the world, if the transaction is committed."""
        ...

    async def audit(self, entry: AuditEntry) -> None:
        """Adds to the audit log."""
        ...


class IdentityStore(Protocol):
    """Users, sessions and keys. Raises ServiceUnavailable when they cannot be reached."""

    def begin(self) -> AbstractAsyncContextManager[IdentityWork]:
        """A transaction."""
        ...

    async def credentials(self, username: str) -> Credentials | None:
        """The user of that name, in any case."""
        ...

    async def user(self, user_id: int) -> User | None:
        """A user."""
        ...

    async def session_is_open(self, session_id: UUID) -> bool:
        """Whether there is such a session and it has not ended."""
        ...

    async def use_api_key(self, key_hash: bytes) -> KeyHolder | None:
        """The key of that hash, good or not, and its user; a good one is noted as used, to the minute."""
        ...

    async def api_keys(self, user_id: int) -> Sequence[ApiKey]:
        """A user's keys, the newest first, the revoked ones too."""
        ...


class Authorities(Protocol):
    """Who may act now. For work that outlives the call that started it: steps of runs, decisions of approvals."""

    async def of(self, principals: Collection[Principal]) -> Mapping[Principal, Authority]:
        """The authority of each principal, at most one second old. Raises ServiceUnavailable.

        A key that is unknown counts as revoked. A key that has expired since is no loss: what it started may finish.
        """
        ...


class Passwords(Protocol):
    """Hashes passwords, one at a time."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """A place in the queue. Raises TooManyAttempts at once when it is full."""
        ...

    async def hash(self, password: str) -> str:
        """The hash of a new password. To be called in one's turn."""
        ...

    async def fits(self, password: str, password_hash: str | None) -> bool:
        """Whether the password fits; without a hash it does not, and to find that out takes as long. To be called in one's turn."""
        ...


class RevocationList(Protocol):
    """Which sessions have ended while access tokens of theirs are still out."""

    async def add(self, session_id: UUID, until: datetime) -> None:
        """Spreads the word of a session that has ended in the store. Raises nothing: the store has the last word."""
        ...
