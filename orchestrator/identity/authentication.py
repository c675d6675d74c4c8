"""Verifies access tokens and API keys."""

from uuid import UUID

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.memory.brief_memory import BriefMemory
from mesh.security.caller import Caller
from mesh.security.errors import InvalidCredentials, TokenExpired, TokenRevoked
from mesh.security.tokens import AccessTokens
from orchestrator.identity.model import KeyHolder, SessionHolder, User
from orchestrator.identity.ports import IdentityStore
from orchestrator.identity.sessions import KEY_PREFIX, hashed, session_of

REMEMBERED_SECONDS = 1.0
"""How long a changed role, a disabled user or a key revoked by another process may go unnoticed."""
REMEMBERED = 10_000


class Authenticator:
    """Verifies access tokens and API keys. Sessions and keys are remembered for one second.

    The limits interceptor also asks Redis whether the session has ended, on the round trip that counts the call, so that a logout
    takes effect at once. Redis can only end a session sooner: a session that PostgreSQL does not have is refused in any case.
    """

    def __init__(self, tokens: AccessTokens, store: IdentityStore, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._tokens = tokens
        self._sessions: BriefMemory[UUID, SessionHolder] = BriefMemory(store.session_holder, REMEMBERED_SECONDS, REMEMBERED, clock)
        self._keys: BriefMemory[bytes, KeyHolder] = BriefMemory(store.use_api_key, REMEMBERED_SECONDS, REMEMBERED, clock)

    async def authenticate(self, credential: str) -> Caller:
        """The caller. Raises InvalidCredentials, TokenExpired, TokenRevoked, or ServiceUnavailable."""
        return await (self._by_key(credential) if credential.startswith(KEY_PREFIX) else self._by_token(credential))

    def forget_key(self, key_hash: bytes) -> None:
        """Makes the next call with this key look it up again."""
        self._keys.forget(key_hash)

    async def _by_token(self, token: str) -> Caller:
        claims = self._tokens.verify(token)
        session_id = session_of(claims.token_id)
        holder = await self._sessions.get(session_id)
        if holder is None or holder.user.user_id != claims.user_id:
            raise InvalidCredentials("the session or the user of this access token does not exist any more; log in again")
        user = holder.user
        check_enabled(user)
        if holder.ended:
            raise TokenRevoked("the session of this access token has ended; log in again")
        return Caller(user.user_id, user.username, user.role, session_id=session_id)

    async def _by_key(self, secret: str) -> Caller:
        holder = await self._keys.get(hashed(secret))
        if holder is None:
            raise InvalidCredentials("unknown API key; check that it is complete")
        key, user = holder.key, holder.user
        if key.revoked_at is not None:
            raise TokenRevoked("the API key has been revoked; create a new one")
        if key.expires_at is not None and key.expires_at <= self._clock.now():
            raise TokenExpired("the API key has expired; create a new one")
        check_enabled(user)
        return Caller(user.user_id, user.username, user.role, key.scopes, api_key_id=key.api_key_id)


def check_enabled(user: User) -> None:
    """Raises InvalidCredentials for a user that an administrator has disabled."""
    if user.disabled_at is not None:
        raise InvalidCredentials(f"the user '{user.username}' is disabled; ask an administrator to enable it")
