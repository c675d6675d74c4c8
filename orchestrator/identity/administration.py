"""Account administration by the command line. It needs access to the database; all changes are audited, without an actor."""

import secrets
from uuid import UUID, uuid4

from mesh.errors import MeshError
from mesh.security.caller import EVERY_SCOPE, Role
from orchestrator.identity.errors import ApiKeyNotFound, UsernameTaken
from orchestrator.identity.model import (
    RESERVED_USERNAMES,
    USERNAME,
    Action,
    ApiKey,
    AuditEntry,
    AuditRecord,
    NewApiKey,
    Origin,
    Page,
    User,
    check_new_password,
)
from orchestrator.identity.ports import IdentityLists, IdentityStore, Passwords
from orchestrator.identity.sessions import hashed, new_key
from orchestrator.identity.users import update_user

PREFIX_LENGTH = 10
PASSWORD_BYTES = 18


class AccountError(MeshError):
    """There is no user with that name, or the name is not valid; the message says which."""


class Administration:
    """Creates, lists and changes accounts, by user name."""

    def __init__(self, store: IdentityStore, lists: IdentityLists, passwords: Passwords) -> None:
        self._store = store
        self._lists = lists
        self._passwords = passwords
        self._origin = Origin("", f"req_accounts_{uuid4().hex}")

    async def create(self, username: str, password: str, role: Role) -> User:
        """A new user. Raises UsernameTaken, AccountError for an invalid name, ValidationFailed for the password."""
        if not USERNAME.fullmatch(username):
            problem = "use 3 to 100 letters, digits and ._@+-, beginning with a letter or digit"
            raise AccountError(f"invalid user name '{username}': {problem}")
        if username.casefold() in RESERVED_USERNAMES and role is not Role.ADMIN:
            raise AccountError(f"the name '{username}' is reserved for an administrator; add --role admin or choose another name")
        password_hash = await self._hash(password)
        async with self._store.begin() as work:
            user = await work.add_user(username, password_hash, role)
            if user is None:
                raise UsernameTaken(f"user '{username}' exists already; add --if-missing to leave it as it is", username=username)
            details = {"username": user.username, "role": role.value}
            await work.audit(AuditEntry(Action.USER_CREATED, None, f"user:{user.user_id}", self._origin, details))
        return user

    async def user(self, username: str) -> User:
        """The user with that name. Raises AccountError."""
        known = await self._store.credentials(username)
        if known is None:
            raise AccountError(f"there is no user with the name '{username}'; list-users lists all")
        return known.user

    async def users(self, size: int, after: int | None) -> Page[User]:
        """A page of users, by id."""
        return await self._lists.users("", size, after)

    async def update(self, username: str, role: Role | None = None, disabled: bool | None = None) -> User:
        """The changed user; every process notices within a second. Disabling ends all sessions. Raises AccountError."""
        user_id = (await self.user(username)).user_id
        async with self._store.begin() as work:
            user, _ = await update_user(work, user_id, role, disabled, None, self._origin)
        return user

    async def reset_password(self, username: str, password: str, *, keep_keys: bool) -> tuple[User, int]:
        """Sets a new password, ends all sessions and revokes all API keys unless they are kept; returns how many. Raises AccountError.

        Another person may know the old password, and could have created keys with it.
        """
        user = await self.user(username)
        password_hash = await self._hash(password)
        async with self._store.begin() as work:
            await work.update_user(user.user_id, password_hash=password_hash)
            await work.end_sessions_of(user.user_id)
            revoked = [] if keep_keys else await work.revoke_api_keys_of(user.user_id)
            details = {"username": user.username, "revoked_keys": len(revoked)}
            await work.audit(AuditEntry(Action.PASSWORD_RESET, None, f"user:{user.user_id}", self._origin, details))
        return user, len(revoked)

    async def create_key(self, username: str, name: str) -> str:
        """The secret of a new API key with every scope. Raises AccountError."""
        user = await self.user(username)
        secret = new_key()
        async with self._store.begin() as work:
            key, _ = await work.add_api_key(NewApiKey(user.user_id, name, EVERY_SCOPE, None), hashed(secret), secret[:PREFIX_LENGTH])
            details = {"name": name, "scopes": sorted(key.scopes), "prefix": key.prefix}
            await work.audit(AuditEntry(Action.KEY_CREATED, None, str(key.api_key_id), self._origin, details))
        return secret

    async def keys(self, username: str, size: int, after: UUID | None) -> Page[ApiKey]:
        """A page of a user's keys, newest first. Raises AccountError."""
        return await self._lists.api_keys((await self.user(username)).user_id, size, after)

    async def revoke_key(self, api_key_id: UUID) -> int:
        """Revokes a key and the keys that it created; returns how many were good until now. Raises ApiKeyNotFound."""
        async with self._store.begin() as work:
            key = await work.api_key(api_key_id)
            if key is None:
                raise ApiKeyNotFound(f"API key '{api_key_id}' not found; list-keys NAME lists the keys of a user")
            if revoked := await work.revoke_api_key(api_key_id):
                details = {"prefix": key.prefix, "user_id": key.user_id, "keys": len(revoked)}
                await work.audit(AuditEntry(Action.KEY_REVOKED, None, str(api_key_id), self._origin, details))
        return len(revoked)

    async def end_sessions(self, username: str) -> int:
        """Ends all sessions of a user; returns how many. Raises AccountError."""
        user = await self.user(username)
        async with self._store.begin() as work:
            ended = await work.end_sessions_of(user.user_id)
            details = {"sessions": len(ended)}
            await work.audit(AuditEntry(Action.LOGGED_OUT, None, f"user:{user.user_id}", self._origin, details))
        return len(ended)

    async def audit_entries(self, username: str, action: str, size: int, after: int | None) -> Page[AuditRecord]:
        """A page of the audit log, newest first; with a name, what that user did. Raises AccountError."""
        actor_id = (await self.user(username)).user_id if username else 0
        return await self._lists.audit_entries(actor_id, action, size, after)

    async def _hash(self, password: str) -> str:
        check_new_password(password)
        async with self._passwords.turn("", ""):
            return await self._passwords.hash(password)


def new_password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)
