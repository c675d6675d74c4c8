"""Creating, listing and revoking API keys."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ValidationFailed
from mesh.limits.limiter import CallerKind, refusal
from mesh.security.caller import Caller
from mesh.security.errors import InvalidCredentials, ScopeMissing
from orchestrator.identity.access import AccountAccess
from orchestrator.identity.errors import ApiKeyNotFound
from orchestrator.identity.model import Action, ApiKey, AuditEntry, NewApiKey, Origin, Page
from orchestrator.identity.ports import IdentityLists, IdentityStore, IdentityWork
from orchestrator.identity.sessions import hashed, new_key
from orchestrator.policy.model import Action as Wanted

PREFIX_LENGTH = 10
MOST_KEYS = 100
TRY_AGAIN_SECONDS = 3600.0


class DenialLog(Protocol):
    """Records who was denied what; implemented by the policy's log."""

    def denied(self, who: Caller, what: str, rule: str) -> None:
        """Records a denial; never waits or raises."""
        ...


class ApiKeyService:
    """API keys. `forget` is called with the hash of every key that is revoked here, so that this process refuses it at once."""

    def __init__(
        self,
        store: IdentityStore,
        lists: IdentityLists,
        access: AccountAccess,
        denials: DenialLog,
        forget: Callable[[bytes], None],
        clock: Clock = SYSTEM_CLOCK,
        most_keys: int = MOST_KEYS,
    ) -> None:
        self._store = store
        self._lists = lists
        self._access = access
        self._denials = denials
        self._forget = forget
        self._clock = clock
        self._most_keys = most_keys

    async def create(self, caller: Caller, new: NewApiKey, origin: Origin) -> tuple[ApiKey, str]:
        """The new key and its secret. The secret is empty for a repeated request.

        A key that creates a key cannot give it more scopes or a longer life than its own. Raises ScopeMissing, ValidationFailed,
        IdempotencyConflict, and RateLimitExceeded if the user has too many keys.
        """
        for missing in sorted(new.scopes - caller.scopes):
            self._denials.denied(caller, f"create an API key with scope {missing}", "missing_scope")
            raise ScopeMissing.of(missing)
        _check(new, self._clock.now())
        secret = new_key()
        async with self._store.begin() as work:
            if new.created_by is not None:
                await _check_against_creator(work, new.created_by, new)
            key, made = await work.add_api_key(new, hashed(secret), secret[:PREFIX_LENGTH])
            if made:
                if await work.count_api_keys(new.user_id) > self._most_keys:
                    allowed = f"{self._most_keys:,} that work or were created in the last 24 h"
                    raise refusal("api_keys", CallerKind.USER, allowed, TRY_AGAIN_SECONDS, "revoke keys that nobody uses, or ")
                details = {"name": key.name, "scopes": sorted(key.scopes), "prefix": key.prefix}
                if new.created_by is not None:
                    details["created_by"] = str(new.created_by)
                await work.audit(AuditEntry(Action.KEY_CREATED, caller.user_id, str(key.api_key_id), origin, details))
        return key, secret if made else ""

    async def list(self, caller: Caller, user_id: int, size: int, after: UUID | None) -> Page[ApiKey]:
        """The keys of a user (0: the caller), newest first, revoked ones included. Raises UserNotFound and PolicyDenied."""
        return await self._lists.api_keys(await self._access.user(caller, user_id, Wanted.INSPECT), size, after)

    async def revoke(self, caller: Caller, api_key_id: UUID, origin: Origin) -> ApiKey:
        """The key, which is revoked now, as are all keys that it created. Raises ApiKeyNotFound, and PolicyDenied."""
        async with self._store.begin() as work:
            key = await work.api_key(api_key_id)
            if key is None:
                raise ApiKeyNotFound.of(api_key_id)
            if key.user_id != caller.user_id:
                await self._access.of_another_user(caller, Wanted.ADMINISTER, ApiKeyNotFound.of(api_key_id))
            revoked = await work.revoke_api_key(api_key_id)
            if revoked:
                details = {"prefix": key.prefix, "user_id": key.user_id, "keys": len(revoked)}
                await work.audit(AuditEntry(Action.KEY_REVOKED, caller.user_id, str(api_key_id), origin, details))
            now = await work.api_key(api_key_id)
        for key_hash in revoked:
            self._forget(key_hash)
        return now or key


def _check(new: NewApiKey, now: datetime) -> None:
    if new.expires_at is not None and new.expires_at <= now:
        raise ValidationFailed.of("expires_at", f"{new.expires_at:%Y-%m-%dT%H:%M:%SZ} has passed; give a time in the future")
    if "\x00" in new.name:
        raise ValidationFailed.of("name", "must not contain the character U+0000; remove it")


async def _check_against_creator(work: IdentityWork, creator_id: UUID, new: NewApiKey) -> None:
    """Under the creator's lock: a key that is being revoked creates no key that would survive it."""
    creator = await work.api_key(creator_id)
    if creator is None or creator.revoked_at is not None:
        raise InvalidCredentials("the API key of this call has been revoked; log in or use another key")
    if creator.expires_at is not None and (new.expires_at is None or new.expires_at > creator.expires_at):
        latest = f"{creator.expires_at:%Y-%m-%dT%H:%M:%SZ}"
        raise ValidationFailed.of("expires_at", f"must be at most {latest}, when the API key that makes this call expires")
