"""What only somebody with the database's password does to accounts. Everything stands in the audit log, with nobody as its actor."""

import secrets
from uuid import uuid4

from mesh.errors import MeshError
from mesh.security.caller import EVERY_SCOPE, Role
from orchestrator.identity.errors import UsernameTaken
from orchestrator.identity.model import USERNAME, Action, AuditEntry, NewApiKey, Origin, User
from orchestrator.identity.ports import IdentityStore, Passwords
from orchestrator.identity.service import check_password
from orchestrator.identity.sessions import hashed, new_key

PREFIX_LENGTH = 10
PASSWORD_BYTES = 18


class NoSuchAccount(MeshError):
    """There is no user of that name, or there cannot be one; the message says which."""


class Administration:
    """Makes accounts and changes them."""

    def __init__(self, store: IdentityStore, passwords: Passwords) -> None:
        self._store = store
        self._passwords = passwords
        self._origin = Origin("", f"req_accounts_{uuid4().hex}")

    async def create(self, username: str, password: str, role: Role) -> User:
        """A new user. Raises UsernameTaken, NoSuchAccount for what cannot be a name, ValidationFailed for the password."""
        if not USERNAME.fullmatch(username):
            raise NoSuchAccount("a user name has 3 to 100 letters, digits and ._@+-, and begins with a letter or digit")
        password_hash = await self._hash(password)
        async with self._store.begin() as work:
            user = await work.add_user(username, password_hash, role)
            if user is None:
                raise UsernameTaken(f"there is a user with the name '{username}' already", username=username)
            await work.audit(AuditEntry(Action.REGISTERED, None, user.username, self._origin, {"role": role.value}))
        return user

    async def set_role(self, username: str, role: Role) -> User:
        """The user with the new role; every process knows it within a second. Raises NoSuchAccount."""
        async with self._store.begin() as work:
            user = _found(await work.set_role(username, role), username)
            await work.audit(AuditEntry(Action.ROLE_CHANGED, None, user.username, self._origin, {"role": role.value}))
        return user

    async def reset_password(self, username: str, password: str) -> User:
        """The user with a new password; all its sessions have ended, and every process knows it within a second. Raises NoSuchAccount."""
        password_hash = await self._hash(password)
        async with self._store.begin() as work:
            user = _found(await work.set_password(username, password_hash), username)
            await work.end_sessions_of(user.user_id)
            await work.audit(AuditEntry(Action.PASSWORD_RESET, None, user.username, self._origin))
        return user

    async def create_key(self, username: str, name: str) -> str:
        """The secret of a new API key with every scope. Raises NoSuchAccount."""
        known = await self._store.credentials(username)
        user = _found(known.user if known else None, username)
        secret = new_key()
        async with self._store.begin() as work:
            key, _ = await work.add_api_key(NewApiKey(user.user_id, name, EVERY_SCOPE, None), hashed(secret), secret[:PREFIX_LENGTH])
            details = {"name": name, "scopes": sorted(key.scopes), "prefix": key.prefix}
            await work.audit(AuditEntry(Action.KEY_CREATED, None, str(key.api_key_id), self._origin, details))
        return secret

    async def _hash(self, password: str) -> str:
        check_password(password)
        async with self._passwords.turn():
            return await self._passwords.hash(password)


def new_password() -> str:
    """A password that nobody has thought of."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def _found(user: User | None, username: str) -> User:
    if user is None:
        raise NoSuchAccount(f"there is no user with the name '{username}'")
    return user
