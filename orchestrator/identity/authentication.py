"""From a credential to the caller that it proves."""

from datetime import UTC, datetime

from mesh.brief_memory import BriefMemory
from mesh.security.caller import Caller
from mesh.security.errors import InvalidCredentials, TokenExpired, TokenRevoked
from mesh.security.tokens import AccessTokens
from orchestrator.identity.model import KeyHolder, User
from orchestrator.identity.ports import IdentityStore
from orchestrator.identity.sessions import KEY_PREFIX, hashed, session_of

REMEMBERED_SECONDS = 1.0
"""For so long a role that changed, or a key that another process revoked, may go unnoticed."""
REMEMBERED = 10_000


class Authenticator:
    """Verifies access tokens and API keys; users and keys are remembered for a second.

    Whether the session of an access token has ended is asked where calls are counted: both in one trip to Redis.
    """

    def __init__(self, tokens: AccessTokens, store: IdentityStore) -> None:
        self._tokens = tokens
        self._users: BriefMemory[int, User] = BriefMemory(store.user, REMEMBERED_SECONDS, REMEMBERED)
        self._keys: BriefMemory[bytes, KeyHolder] = BriefMemory(store.use_api_key, REMEMBERED_SECONDS, REMEMBERED)

    async def authenticate(self, credential: str) -> Caller:
        """Who calls. Raises InvalidCredentials, TokenExpired, TokenRevoked, or ServiceUnavailable when nobody can tell."""
        return await (self._by_key(credential) if credential.startswith(KEY_PREFIX) else self._by_token(credential))

    def forget_key(self, key_hash: bytes) -> None:
        """Looks the key up anew from now on."""
        self._keys.forget(key_hash)

    async def _by_token(self, token: str) -> Caller:
        claims = self._tokens.verify(token)
        user = await self._users.get(claims.user_id)
        if user is None:
            raise InvalidCredentials("the user of this access token does not exist")
        check_enabled(user)
        return Caller(user.user_id, user.username, user.role, session_id=session_of(claims.token_id))

    async def _by_key(self, secret: str) -> Caller:
        holder = await self._keys.get(hashed(secret))
        if holder is None:
            raise InvalidCredentials("the API key is not known; check it for missing characters")
        key, user = holder.key, holder.user
        if key.revoked_at is not None:
            raise TokenRevoked("the API key has been revoked; make a new one")
        if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
            raise TokenExpired("the API key has expired; make a new one")
        check_enabled(user)
        return Caller(user.user_id, user.username, user.role, key.scopes, api_key_id=key.api_key_id)


def check_enabled(user: User) -> None:
    """Raises InvalidCredentials for a user that an administrator has disabled."""
    if user.disabled_at is not None:
        raise InvalidCredentials(f"the user '{user.username}' is disabled; ask an administrator to enable it")
