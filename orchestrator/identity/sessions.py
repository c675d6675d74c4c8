"""The tokens of sessions, and how one follows from another. Only their hashes are stored."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from mesh.security.tokens import AccessTokens
from orchestrator.identity.model import User

REFRESH_PREFIX = "amr_"
KEY_PREFIX = "amk_"
SECRET_BYTES = 32


class SessionTokens:
    """Creates access and refresh tokens. The successor of a refresh token is derived from it and a secret, so it can be returned again."""

    def __init__(self, access: AccessTokens, secrets_: Sequence[str]) -> None:
        self._access = access
        self._refresh_keys = [hmac.digest(secret.encode(), b"agentmesh refresh tokens", "sha256") for secret in secrets_]

    @property
    def access_seconds(self) -> int:
        """The lifetime of access tokens."""
        return self._access.lifetime_seconds

    def access(self, user: User, session_id: UUID) -> tuple[str, datetime]:
        """A new access token of a session, and when it expires."""
        token, expires_at = self._access.issue(user.user_id, user.username, f"{session_id.hex}.{secrets.token_hex(8)}")
        return token, datetime.fromtimestamp(expires_at, UTC)

    def first(self) -> str:
        """The refresh token of a new session."""
        return _text(REFRESH_PREFIX, secrets.token_bytes(SECRET_BYTES))

    def successor(self, token: str) -> str:
        """The successor of a refresh token."""
        return _successor(token, self._refresh_keys[0])

    def repeated(self, token: str, successor_hash: bytes | None) -> str | None:
        """The successor that was returned for the token; None if its secret is not known any more."""
        known = (_successor(token, key) for key in self._refresh_keys)
        return next((successor for successor in known if hashed(successor) == successor_hash), None)


def session_of(token_id: str) -> UUID:
    """The session in the verified `jti` of an access token."""
    return UUID(hex=token_id.partition(".")[0])


def new_key() -> str:
    """The secret of a new API key."""
    return _text(KEY_PREFIX, secrets.token_bytes(SECRET_BYTES))


def hashed(token: str) -> bytes:
    """The stored hash of a token. Tokens have 256 random bits, so a fast hash is enough."""
    return sha256(token.encode()).digest()


def _successor(token: str, key: bytes) -> str:
    return _text(REFRESH_PREFIX, hmac.digest(key, token.encode(), "sha256"))


def _text(prefix: str, secret: bytes) -> str:
    return prefix + urlsafe_b64encode(secret).decode().rstrip("=")
