"""API keys: made, listed, revoked."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from mesh.errors import ValidationFailed
from mesh.security.caller import Caller
from mesh.security.errors import ScopeMissing
from orchestrator.identity.errors import ApiKeyNotFound
from orchestrator.identity.model import Action, ApiKey, AuditEntry, NewApiKey, Origin
from orchestrator.identity.ports import IdentityStore
from orchestrator.identity.sessions import hashed, new_key

PREFIX_LENGTH = 10


class ApiKeyService:
    """A user's API keys. `forget` is told the hash of each key that is revoked here."""

    def __init__(self, store: IdentityStore, forget: Callable[[bytes], None]) -> None:
        self._store = store
        self._forget = forget

    async def create(self, caller: Caller, new: NewApiKey, origin: Origin) -> tuple[ApiKey, str]:
        """The new key and its secret; the secret is empty where the idempotency key stands for one that was made before.

        Raises IdempotencyConflict, ValidationFailed for an expiry in the past, and ScopeMissing when the caller is a key itself and
        has not all the scopes.
        """
        for missing in sorted(new.scopes - caller.scopes):
            raise ScopeMissing.of(missing)
        _check(new)
        secret = new_key()
        async with self._store.begin() as work:
            key, made = await work.add_api_key(new, hashed(secret), secret[:PREFIX_LENGTH])
            if made:
                details = {"name": key.name, "scopes": sorted(key.scopes), "prefix": key.prefix}
                await work.audit(AuditEntry(Action.KEY_CREATED, caller.user_id, str(key.api_key_id), origin, details))
        return key, secret if made else ""

    async def list(self, user_id: int) -> Sequence[ApiKey]:
        """All keys of the user, the newest first."""
        return await self._store.api_keys(user_id)

    async def revoke(self, caller: Caller, api_key_id: UUID, origin: Origin) -> ApiKey:
        """The key, which nobody can use any more. Raises ApiKeyNotFound when it is not the caller's."""
        async with self._store.begin() as work:
            found = await work.revoke_api_key(caller.user_id, api_key_id)
            if found is None:
                raise ApiKeyNotFound(f"API key '{api_key_id}' not found; GET /api/v1/auth/api-keys lists yours", api_key_id=str(api_key_id))
            key, key_hash, was_good = found
            if was_good:
                await work.audit(AuditEntry(Action.KEY_REVOKED, caller.user_id, str(api_key_id), origin, {"prefix": key.prefix}))
        self._forget(key_hash)
        return key


def _check(new: NewApiKey) -> None:
    if new.expires_at is not None and new.expires_at <= datetime.now(UTC):
        raise ValidationFailed.of("expires_at", "must be in the future")
    if "\x00" in new.name:
        raise ValidationFailed.of("name", "must not contain the character U+0000")
